/** A bit of everything: words, configuration, COPY and ADD, small changes by RUN, stages and ignore files. */
import fc from "fast-check";
import { contextTime, type Entry, type Tree } from "../../fixtures/parity/case.ts";
import type { RawEntry } from "../../test/support/raw-tar.ts";
import type { Draft } from "./draft.ts";

// Words --------------------------------------------------------------------------------------------------------------

const variable = fc.constantFrom("a", "v", "e", "nope", "X_1", "PATH", "p");
const letters = fc.constantFrom("x", "foo", "a.b", "-", "7", "ä", "/", ":", "#", "@", "[", "*", "~", "%");

const expression = fc.oneof(
  variable.map((name) => `$${name}`),
  variable.map((name) => `\${${name}}`),
  fc
    .tuple(
      variable,
      fc.constantFrom(":-", ":+"),
      fc.constantFrom("", "w", "$v", "${a}", "'q'", '"q"', "${v:-d}", "a/b"),
    )
    .map(([name, operator, word]) => `\${${name}${operator}${word}}`),
);

const quoted = fc.oneof(
  fc
    .array(fc.oneof(letters, expression, fc.constantFrom(" ", "'", '\\"', "\\\\", "\\$", "\\n", "\\t")), {
      maxLength: 4,
    })
    .map((parts) => `"${parts.join("")}"`),
  fc
    .array(fc.oneof(letters, fc.constantFrom(" ", '"', "\\", "$v", "\\n")), { maxLength: 3 })
    .map((parts) => `'${parts.join("")}'`),
);

const word = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: letters },
      { weight: 2, arbitrary: expression },
      { weight: 2, arbitrary: quoted },
      fc.constantFrom("\\ ", "\\x", "\\\\", '\\"', "\\$v", "$", "$1", "="),
    ),
    { maxLength: 5 },
  )
  .map((parts) => parts.join(""));

const pair = fc
  .tuple(fc.constantFrom("a", "v", "e", "X_1", "p", "a.b", '"q r"'), word)
  .map(([name, value]) => `${name}=${value}`);
const pairs = fc.array(pair, { minLength: 1, maxLength: 3 }).map((all) => all.join(" "));

// Instructions -------------------------------------------------------------------------------------------------------

const json = fc
  .array(fc.constantFrom("a", "b c", "$v", "\\n", 'q"', "ü", ""), { maxLength: 3 })
  .map((all) => JSON.stringify(all));

const configLine = fc.oneof(
  pairs.map((text) => `ENV ${text}`),
  pairs.map((text) => `ENV ${text}`),
  fc.tuple(fc.constantFrom("a", "v", "e"), word).map(([name, value]) => `ENV ${name} ${value} x  y`),
  pairs.map((text) => `LABEL ${text}`),
  pair.filter((text) => !/^[$"]/.test(text)).map((text) => `ARG ${text}`),
  variable.filter((name) => name !== "PATH").map((name) => `ARG ${name}`),
  word.map((text) => `USER ${text}`).filter((text) => text.length < 12),
  json.map((text) => `CMD ${text}`),
  word.map((text) => `CMD ${text} && b`),
  json.map((text) => `ENTRYPOINT ${text}`),
  fc.constantFrom(
    "EXPOSE 80",
    "EXPOSE 81/udp 80-82",
    "EXPOSE $p",
    "VOLUME /v",
    "VOLUME /v $v",
    "STOPSIGNAL 9",
    "STOPSIGNAL $v",
    "MAINTAINER a  <b> $v",
    'SHELL ["/bin/sh", "-ec"]',
    "HEALTHCHECK NONE",
    "HEALTHCHECK --retries=3 CMD a  $v",
    "ONBUILD RUN x $v",
    "ONBUILD env a=b c",
  ),
);

const names = ["f", "g.md", "d/f", "d/g.md", "d/e/h", "d/e/i.txt", "l", "d/l", "s/t/u", "s/x y", "k"] as const;

function archive(name: string): readonly RawEntry[] {
  return [
    { name: "in/", type: "5", mode: 0o711, uid: 3, gid: 4, mtime: 1000 },
    { name: "in/f", type: "0", content: name, mode: 0o640, uid: 3, gid: 4, mtime: 2000 },
    { name: "in/l", type: "2", linkName: "../f" },
    { name: "h", type: "1", linkName: "in/f", mode: 0o640, uid: 3, gid: 4, mtime: 2000 },
    { name: "deep/er/f", type: "0", content: "deep", mtime: 3000 },
  ];
}

const contextTree = fc
  .record({
    modes: fc.array(fc.constantFrom(0o644, 0o755, 0o600, 0o4755, 0o2644, 0o666, 0o400), {
      minLength: names.length,
      maxLength: names.length,
    }),
    kinds: fc.array(fc.constantFrom("file", "file", "file", "link", "hardlink", "folder", "archive", "none"), {
      minLength: names.length,
      maxLength: names.length,
    }),
    targets: fc.array(fc.constantFrom("f", "../f", "d", "/f", "/d/e", "nowhere", "..", "e/h"), {
      minLength: names.length,
      maxLength: names.length,
    }),
    folderMode: fc.constantFrom(0o755, 0o700, 0o1777, 0o2755),
  })
  .map(({ modes, kinds, targets, folderMode }): Tree => {
    const tree: Record<string, string | Entry> = { f: "first", d: { kind: "folder", mode: folderMode } };
    for (const [index, name] of names.entries()) {
      if (name === "f") continue;
      const kind = kinds[index];
      if (kind === "link") tree[name] = { link: targets[index] ?? "f" };
      else if (kind === "hardlink") tree[name] = { hardlink: "f" };
      else if (kind === "folder") tree[name] = { kind: "folder", mode: folderMode };
      else if (kind === "archive") tree[name] = { tar: archive(name), ...(index % 2 === 0 && { compression: "gzip" }) };
      else if (kind === "file") tree[name] = { text: name, mode: modes[index] ?? 0o644, mtime: contextTime + index };
    }
    return tree;
  });

const source = fc.constantFrom(
  "f",
  "g.md",
  "d",
  "d/",
  "d/e",
  "d/f",
  "./d/../f",
  "/f",
  "l",
  "d/l",
  ".",
  "*",
  "d/*",
  "*.md",
  "d/[ef]*",
  "s",
  "s/t",
  "k",
  "?",
  "$v",
  "d/e/",
  "l/f",
);
const destination = fc.constantFrom(
  "/",
  "/x",
  "/x/",
  "/new/y",
  "/new/y/",
  ".",
  "./",
  "z",
  "/dir",
  "/dir/",
  "/dir/sub",
  "/lnk",
  "/lnk/",
  "/file",
  "/lf",
  "/tmp/../q",
  "$a/",
  "/lnk/deep/er",
);
const owner = fc.constantFrom(
  "",
  "",
  "",
  "--chown=7 ",
  "--chown=7:8 ",
  "--chown=bob ",
  "--chown=bob:staff ",
  "--chown=:5 ",
  "--chown=1000 ",
);

const copyLine = fc
  .tuple(fc.constantFrom("COPY", "ADD"), owner, fc.array(source, { minLength: 1, maxLength: 2 }), destination)
  .map(([name, flags, sources, to]) => {
    const isFolder = sources.length > 1 || sources.some((each) => /[*?[]/.test(each));
    // The reference is too old to give the files of an archive an owner.
    return `${name} ${name === "ADD" ? "" : flags}${sources.join(" ")} ${isFolder ? to.replace(/\/?$/, "/") : to}`;
  });

const runLine = fc
  .constantFrom(
    "mkdir -p /dir/sub /new",
    "mkdir -p /dir && ln -sfn dir /lnk",
    "ln -sfn /dir /lnk; mkdir -p /dir",
    "echo 1 > /file && ln -sf /file /lf",
    "rm -rf /dir /x",
    "rm -rf /new && mkdir /new",
    "mkdir -p /x && touch -d @1000 /x/t && chmod 1777 /x",
    "touch -d @2000 /file && chown 5:6 /file",
    "ln -f /file /file2 2>/dev/null || echo 2 > /file2",
    "mknod /fifo p; mkdir -p /dir && touch /dir/null; true",
    "chmod -R 700 /new 2>/dev/null; true",
    "echo $a $v > /vars; true",
    "pwd > /cwd && id -u >> /cwd && id -g >> /cwd",
    "env | grep -v ^HOME | grep -v ^HOSTNAME | sort > /env",
    "rm -f /etc/group && mv /etc/passwd /p && mv /p /etc/passwd",
    "mv /dir /moved 2>/dev/null; mkdir -p /dir/sub",
    "rm -rf /tmp && mkdir /tmp",
    "ln -sfn nowhere /lnk",
    "true",
  )
  .map((command) => `RUN ${command}`);

/** A few changes of a small tree, which fail or not as they come. */
const place = fc.constantFrom(
  "/dir",
  "/dir/a",
  "/dir/a/c",
  "/dir/b",
  "/file",
  "/tmp/x",
  "/dir/ä b",
  "/lnk",
  "/etc/group2",
  "/home/bob/f",
  "/new/d/e",
);
const change = fc.oneof(
  place.map((path) => `rm -rf '${path}'`),
  place.map((path) => `mkdir -p '${path}'`),
  fc.tuple(place, fc.nat(9)).map(([path, number]) => `echo ${number} > '${path}'`),
  fc
    .tuple(place, fc.constantFrom("dir", "/dir/a", "nowhere", "../tmp", "/file"))
    .map(([path, target]) => `ln -sfn ${target} '${path}'`),
  fc.tuple(place, place).map(([from, to]) => `ln '${from}' '${to}'`),
  fc.tuple(place, place).map(([from, to]) => `mv '${from}' '${to}'`),
  fc.tuple(place, place).map(([from, to]) => `cp -a '${from}' '${to}'`),
  fc
    .tuple(place, fc.constantFrom("700", "4755", "1777", "444", "2750"))
    .map(([path, mode]) => `chmod ${mode} '${path}'`),
  fc.tuple(place, fc.constantFrom("7:8", "1000", ":5")).map(([path, who]) => `chown -h ${who} '${path}'`),
  fc.tuple(place, fc.constantFrom("1000", "1500000000")).map(([path, time]) => `touch -d @${time} '${path}'`),
);
const changesLine = fc
  .array(change, { minLength: 1, maxLength: 8 })
  .map((all) => `RUN (${all.join("; ")}) 2>/dev/null; true`);

const workdirLine = fc
  .constantFrom("/w", "w/v", "/dir", "/lnk", "/a/../b", "..", "/x//y/")
  .map((path) => `WORKDIR ${path}`);

const stageLine = fc.oneof(
  { weight: 3, arbitrary: configLine },
  { weight: 4, arbitrary: copyLine },
  { weight: 2, arbitrary: runLine },
  { weight: 4, arbitrary: changesLine },
  { weight: 1, arbitrary: workdirLine },
  { weight: 1, arbitrary: fc.constantFrom("USER 7", "USER bob", "USER 0:0", "USER bob:staff") },
  { weight: 1, arbitrary: fc.constantFrom("# comment", "", "   ", "# a \\") },
);

const fromStage = fc
  .tuple(
    owner,
    fc.constantFrom(
      "/dir",
      "/new/y",
      "/file",
      "/x",
      "/w",
      "/lnk",
      "/tmp",
      "/dir/*",
      "/dir/a",
      "/dir/",
      "/home",
      "/new",
    ),
    destination,
  )
  .map(([flags, from, to]) => `COPY --from=one ${flags}${from} ${from.includes("*") ? to.replace(/\/?$/, "/") : to}`);

/** A blank of a line becomes another, or a continuation. */
const layout = fc.constantFrom("as it is", "continued", "tabs");

const stage = (base: fc.Arbitrary<string>, line: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(base, fc.array(line, { minLength: 1, maxLength: 7 }), layout)
    .map(([from, lines, how]) => [from, ...lines.map((each) => laidOut(each, how))].join("\n"));

function laidOut(line: string, how: string): string {
  if (!/^[A-Z]+ /.test(line)) return line;
  if (how === "tabs") return line.replace(" ", " \t ");
  return how === "continued" ? line.replace(" ", " \\\n# between\n  ") : line;
}

const text = fc.oneof(
  {
    weight: 2,
    arbitrary: stage(
      fc.constantFrom("FROM b", "FROM b", "FROM scratch"),
      fc.oneof({ weight: 5, arbitrary: stageLine }, { weight: 1, arbitrary: configLine }),
    ),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        stage(fc.constant("FROM b AS one"), stageLine),
        stage(
          fc.constantFrom("FROM b", "FROM one", "FROM scratch"),
          fc.oneof({ weight: 2, arbitrary: stageLine }, { weight: 2, arbitrary: fromStage }),
        ),
      )
      .map((stages) => stages.join("\n")),
  },
  {
    weight: 1,
    arbitrary: fc
      .array(configLine, { minLength: 2, maxLength: 8 })
      .map((lines) => ["FROM scratch", "ENV v=foo a=/x e=", ...lines].join("\n")),
  },
);

/** Newer BuildKits read a negation below an excluded folder in another way, so these come after a `*` only. */
const ignore = fc.option(
  fc
    .tuple(
      fc.constantFrom([], ["*"]),
      fc.array(
        fc.constantFrom(
          "d",
          "**/*.md",
          "*.md",
          "d/*",
          "?",
          "d/e/",
          "/f",
          "s/t",
          "# c",
          "",
          "**/e",
          "d/**",
          "[a-f]",
          "./k",
          ".dockerignore",
        ),
        { minLength: 1, maxLength: 4 },
      ),
      fc.array(fc.constantFrom("!f", "!g.md", "!d"), { maxLength: 3 }),
    )
    .map(([all, hidden, shown]) => (all.length === 0 ? hidden : [...all, ...shown]).join("\n")),
  { nil: undefined, freq: 3 },
);

export const mixed: fc.Arbitrary<Draft> = fc.tuple(text, contextTree, ignore).map(([lines, context, hidden]) => ({
  dockerfile: lines,
  context,
  ...(hidden !== undefined && { ignore: hidden }),
  flags: [] as readonly string[],
}));
