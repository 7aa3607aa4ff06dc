/** Dockerfiles for properties: all instructions, forms and flags, written as untidily as the language allows. */
import fc from "fast-check";

/** A whole file without errors: directives, comments, stages. */
export const dockerfileText: fc.Arbitrary<string> = fc.constantFrom<"\\" | "`">("\\", "\\", "`").chain((escaper) =>
  fc
    .tuple(head(escaper), fc.array(instruction(escaper), { minLength: 1, maxLength: 8 }), fc.constantFrom("", "\n"))
    .map(([directives, lines, end]) => {
      const text = `${directives}FROM scratch\n${lines.join("\n")}${end}`;
      return text.replace(/^\n+(?=# escape)/, "\n");
    }),
);

const pick = <T>(...values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);

function head(escaper: "\\" | "`"): fc.Arbitrary<string> {
  const must = escaper === "`" ? pick("# escape=`\n", "#escape = `\n", "  #\tEscape=`  \n") : pick("", "# escape=\\\n");
  const before = pick("", "# syntax=docker/dockerfile:1\n", "# check=skip=all\n", "\ufeff");
  const after = pick(
    "",
    "\n",
    "# about this\n",
    "  # other=1\n",
    "\n# check=skip=NoEmptyContinuation\n",
    "\n# escape=x\n",
    "#\n# A\n#\n# B\n",
  );
  return fc.tuple(before, must, after).map((parts) => parts.join(""));
}

// Blanks and continuations -----------------------------------------------------------------------------------------

function gap(escaper: string): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 6, arbitrary: pick(" ", "  ", "\t", " \t ") },
    {
      weight: 3,
      arbitrary: pick(
        ` ${escaper}\n`,
        ` ${escaper} \t\n    `,
        ` ${escaper}\n\t`,
        ` ${escaper}\n  # why\n  `,
        ` ${escaper}\r\n `,
      ),
    },
    { weight: 1, arbitrary: pick(` ${escaper}\n\n `, ` ${escaper}\n# a\n\n# b\n `, ` ${escaper}\n ${escaper}\n `) },
  );
}

const joinedBy = (words: readonly string[], gaps: readonly string[]): string =>
  words.map((word, index) => (index === 0 ? word : (gaps[index % gaps.length] ?? " ") + word)).join("");

/** Words with gaps between them. */
function line(escaper: string, words: fc.Arbitrary<readonly string[]>): fc.Arbitrary<string> {
  return fc
    .tuple(words, fc.array(gap(escaper), { minLength: 1, maxLength: 5 }))
    .map(([all, gaps]) => joinedBy(all, gaps));
}

const keyword = (name: string): fc.Arbitrary<string> =>
  pick(name, name, name.toLowerCase(), `${name.slice(0, 1)}${name.slice(1).toLowerCase()}`);

// Words ------------------------------------------------------------------------------------------------------------

function word(escaper: string): fc.Arbitrary<string> {
  const piece = pick(
    "a",
    "src/x",
    "é",
    "😀",
    "$b",
    "${c}",
    "${d:-e}",
    "${f:+${g-h}}",
    "${i#*/}",
    "${j%%.*}",
    "${k/l/m}",
    "${n//\\*/o}",
    "'it''s'",
    '"q"',
    '"a$b"',
    `${escaper}$`,
    `${escaper}${escaper}x`,
    "*",
    ".",
    "-",
    "#",
    "[x]",
    "<<y",
  );
  return fc.array(piece, { minLength: 1, maxLength: 3 }).map((pieces) => pieces.join(""));
}

/** May hold blanks inside quotes. */
const pairWord = (escaper: string): fc.Arbitrary<string> =>
  fc.oneof(word(escaper), pick('"b c"', "'d  e'", `f${escaper} g`, '""', "", '"h\'i"', `"j${escaper}"k"`));

const name = pick("A", "b_1", "path", "x.y", "--z", "'q r'", "$k");

const json = (values: fc.Arbitrary<string>, min: number): fc.Arbitrary<string> =>
  fc
    .tuple(fc.array(values, { minLength: min, maxLength: 4 }), pick(",", ", ", " ,\t"))
    .map(([all, comma]) => `[${all.map((value) => JSON.stringify(value)).join(comma)}]`);

const jsonValue = pick(
  "a",
  "b c",
  "",
  "/d",
  'q"r',
  "s\\t",
  "tab\tu",
  "é😀",
  "$v",
  "--w",
  "# x",
  "<<E",
  "\u2028",
  "\\u00e9",
);
const jsonPath = pick("a", "b c", "/d/", "tab\te", "é", "$v", "--w", "<<E", "f\u00a0", "[g");

/** The rest of a line. It begins with what is neither flag nor comment, wherever a continuation puts it. */
const shellText = (escaper: string): fc.Arbitrary<string> =>
  fc
    .array(
      pick(
        "echo a",
        "  b",
        "&& c",
        '"d e"',
        "'f",
        "# g",
        `| h ${escaper}\n    i`,
        `${escaper}\n# note\n  j`,
        "k\tl",
        "[ m ]",
        '["n"',
        "$(o)",
        "é",
        "--p",
        `q${escaper}${escaper}`,
        `r${escaper}\u00a0`,
      ),
      { minLength: 1, maxLength: 4 },
    )
    .map((parts) => ["x", ...parts].join(" "));

const quoteless = (escaper: string): fc.Arbitrary<string> =>
  shellText(escaper).map((text) => text.replaceAll(/['"]/g, ""));

const command = (escaper: string): fc.Arbitrary<string> => fc.oneof(shellText(escaper), json(jsonValue, 1));

// Flags ------------------------------------------------------------------------------------------------------------

function flagValue(escaper: string): fc.Arbitrary<string> {
  return pick(
    "1:2",
    "$u",
    "'a b'",
    '"c"d',
    `e${escaper} f`,
    `g${escaper}${escaper}h`,
    `"i${escaper}${escaper}${escaper}'j"`,
    "é",
  );
}

const flag = (names: readonly string[], value: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(fc.constantFrom(...names), value).map(([flagName, text]) => `${flagName}=${text}`);

const some = (...flags: readonly fc.Arbitrary<string>[]): fc.Arbitrary<readonly string[]> =>
  fc.tuple(...flags.map((one) => fc.option(one, { freq: 2 }))).map((all) => all.filter((one) => one !== null));

const mount = (escaper: string): fc.Arbitrary<string> =>
  fc
    .tuple(
      fc.constantFrom(
        "type=cache,target=/a,sharing=locked",
        "type=cache,id=$b,mode=0700,uid=1,gid=2,from=c,source=/d,target=/a",
        "target=/e,rw",
        "type=bind,src=f,dst=/g,ro=false,from=h",
        "type=tmpfs,target=/i,size=64m",
        "type=secret,id=j,required,env=K",
        "type=secret,src=l,target=/m,mode=0400,required=false",
        "type=ssh,id=n,required=1",
      ),
      fc.constantFrom("", ",destination=/with blank", ',"target=/o,p"'),
    )
    .map(([options, more]) => {
      if (more === "") return `--mount=${options}`;
      return `--mount="${(options + more).replaceAll('"', `${escaper}"`)}"`;
    });

const durations = pick("1s", "1m30s", "0", "250ms", "1.5h", "90m");

// Instructions -----------------------------------------------------------------------------------------------------

function instruction(escaper: "\\" | "`"): fc.Arbitrary<string> {
  const w = word(escaper);
  const value = flagValue(escaper);
  const chmod = pick("--chmod=0644", "--chmod=u+x", "--chmod='755'");
  const copyFlags = [flag(["--chown"], value), chmod, pick("--link", "--link=false"), flag(["--exclude"], value)];
  const optional = (text: fc.Arbitrary<string>): fc.Arbitrary<readonly string[]> =>
    fc.option(text, { freq: 4 }).map((one) => (one === null ? [] : [one]));
  const of = (
    kind: string,
    flags: fc.Arbitrary<readonly string[]>,
    ...args: readonly fc.Arbitrary<readonly string[]>[]
  ): fc.Arbitrary<string> =>
    line(
      escaper,
      fc
        .tuple(keyword(kind), flags, fc.tuple(...args))
        .map(([first, given, rest]) => [first, ...given, ...rest.flat()]),
    );
  const none = fc.constant<readonly string[]>([]);
  const one = (text: fc.Arbitrary<string>): fc.Arbitrary<readonly string[]> => text.map((single) => [single]);
  const paths = fc.oneof(
    fc.array(w, { minLength: 2, maxLength: 3 }).filter((words) => !words.some((text) => /^(<<|-)/.test(text))),
    one(json(jsonPath, 2)),
  );
  const pair = fc.tuple(name, pairWord(escaper)).map(([key, text]) => `${key}=${text}`);
  const pairs = fc
    .tuple(pick<readonly string[]>([], ["--"]), fc.array(pair, { minLength: 1, maxLength: 3 }))
    .map(([end, all]) => (all[0]?.startsWith("--") ? ["--", ...all] : [...end, ...all]));
  const legacy = fc.tuple(pick("A", "b.c"), quoteless(escaper));
  const devices = flag(["--device"], pick("vendor/class=name", "'a b'", ""));
  return fc.oneof(
    of(
      "FROM",
      some(flag(["--platform"], pick("linux/amd64", "'$P'"))),
      one(pick("a", "b:1", "$B", '"c"')),
      pick<readonly string[]>([], ["AS", "d"], ["as", "E.f"]),
    ),
    of(
      "RUN",
      some(mount(escaper), mount(escaper), pick("--network=none"), pick("--security=insecure"), devices),
      optional(command(escaper)),
    ),
    of("COPY", some(flag(["--from"], pick("a", "0", "'b'")), ...copyFlags, pick("--parents", "--parents=True")), paths),
    of("ADD", some(...copyFlags, pick("--keep-git-dir"), pick("--unpack", "--unpack=false")), paths),
    of("CMD", none, optional(command(escaper))),
    of("ENTRYPOINT", none, optional(command(escaper))),
    of("SHELL", none, one(json(jsonValue, 1))),
    of(
      "HEALTHCHECK",
      some(
        flag(["--interval"], durations),
        flag(["--timeout"], durations),
        flag(["--start-period"], durations),
        flag(["--start-interval"], durations),
        flag(["--retries"], pick("0", "3")),
      ),
      pick(["CMD"], ["cmd"]),
      one(command(escaper)),
    ),
    of("HEALTHCHECK", none, pick(["NONE"], ["none"])),
    of("ENV", none, pairs),
    of("LABEL", none, pairs),
    of("ENV", none, legacy),
    of(
      "ARG",
      none,
      fc.array(
        fc.oneof(
          pair.filter((text) => !text.startsWith("--")),
          pick("A", "b"),
        ),
        { minLength: 1, maxLength: 3 },
      ),
    ),
    of("EXPOSE", none, pick(["80"], ["80/tcp", "90-91"], ["$P"])),
    of("VOLUME", none, fc.oneof(pick(["/a"], ["/b", "$c"], ["[d"]), one(json(jsonPath, 1)))),
    of(
      "USER",
      none,
      one(
        fc.oneof(
          w.filter((text) => !text.startsWith("-")),
          pick("a b", "-- --c"),
        ),
      ),
    ),
    of("WORKDIR", none, one(pick("/a b", "$c/d", '["/e"]', "'f'"))),
    of("STOPSIGNAL", none, one(pick("SIGTERM", "9", "$S"))),
    of("MAINTAINER", none, one(shellText(escaper))),
    of(
      "ONBUILD",
      none,
      pick(["RUN x"], ["COPY  a b "], ["env a=b"], ["FOO"], ["RUN <<E\nx\nE"], ["COPY <<A <<-B /d\n1\nA\n\t2\n\tB"]),
    ),
    heredoc(),
    pick("", "# note", "   # aside", "#", "# check=skip=all", "\t\n", "# a\n\n# b", "#!no"),
  );
}

/** Whole lines: the bodies follow the line that holds the markers. */
function heredoc(): fc.Arbitrary<string> {
  const body = fc
    .array(pick("x", "\ty", "$z", "# no comment", "FROM a", " E", "E ", "", "w\r", "é"), { maxLength: 3 })
    .map((lines) => lines.map((text) => `${text}\n`).join(""));
  const plain = fc.tuple(
    pick(
      "RUN <<E",
      "run <<-E",
      "RUN --network=none <<'E'",
      'COPY <<"E" /d',
      "ADD --chmod=1 <<E a /d/",
      "RUN cat <<E && x 3<<-F",
      "copy <<E <<F /d",
      "COPY << E /d",
      "RUN << E",
    ),
    body,
    body,
    pick("", "\t"),
  );
  return plain.map(([first, a, b, tab]) => {
    const strip = first.includes("<<-");
    const one = `${first}\n${a}${strip && !first.includes("F") ? tab : ""}E`;
    return first.includes("F") && /<<-?F/.test(first) ? `${one}\n${b}F` : one;
  });
}
