/** Words of every instruction that expands them: quotes, escapes of either kind, modifiers within each other, continuations. */
import fc from "fast-check";
import type { Draft } from "./draft.ts";

type Text = fc.Arbitrary<string>;

const variable = fc.constantFrom("a", "v", "e", "n", "nope", "PATH", "A_1", "1", "ä");
/** `@` stands for the file's escape character. */
const letters = fc.constantFrom(
  "x",
  "foo",
  "7",
  "/",
  ".",
  "-",
  "ä",
  ":",
  ",",
  "=",
  "#",
  "*",
  "?",
  "[",
  "]",
  "~",
  "%",
  "&",
  "<",
  ">",
  "(",
  "|",
  ";",
  "!",
  "^",
  "@@",
  "@$",
  '@"',
  "@'",
  "@ ",
  "@x",
  "@n",
  "$",
  "$$",
  "$@",
  "{",
  "\\",
  "`",
);

const { word } = fc.letrec<{ word: string; expression: string; double: string; single: string }>((tie) => ({
  expression: fc.oneof(
    { depthSize: "small" },
    variable.map((name) => `$${name}`),
    variable.map((name) => `\${${name}}`),
    fc
      .tuple(variable, fc.constantFrom(":-", ":+", ":-", ":+"), tie("word"))
      .map(([name, operator, inner]) => `\${${name}${operator}${inner}}`),
  ),
  double: fc
    .array(
      fc.oneof(
        { weight: 3, arbitrary: letters },
        { weight: 1, arbitrary: tie("expression") as Text },
        fc.constantFrom(" ", "  ", "\t", "'"),
      ),
      { maxLength: 4 },
    )
    .map((parts) => `"${parts.join("")}"`),
  single: fc
    .array(
      fc.oneof(
        letters,
        variable.map((name) => `$${name}`),
        fc.constantFrom(" ", '"'),
      ),
      { maxLength: 3 },
    )
    .map((parts) => `'${parts.join("").replaceAll("'", "")}'`),
  word: fc
    .array(
      fc.oneof(
        { depthSize: "small" },
        { weight: 5, arbitrary: letters },
        { weight: 3, arbitrary: tie("expression") as Text },
        { weight: 2, arbitrary: tie("double") as Text },
        { weight: 2, arbitrary: tie("single") as Text },
      ),
      { maxLength: 4 },
    )
    .map((parts) => parts.join("")),
}));

/** The reference expands names of ARG as well, and its history has no flags, which end at a blank. */
const unbroken = word.map((text) => text.replaceAll(/\s|@ /g, ""));
const key = fc.constantFrom("a", "v", "e", "A_1", '"k k"', "k$v", "'k'", "a.b", "ä", "n");
const pair = fc.tuple(key, word).map(([name, value]) => `${name}=${value}`);
const pairs = fc.array(pair, { minLength: 1, maxLength: 3 }).map((all) => all.join(" "));
const gap = fc.constantFrom(" ", "  ", "\t", " \t ", " @\n ", "@\n\t", " @\n# note\n  ", " @  \n  ", "@\n\n ");

const line = fc
  .tuple(
    fc.oneof(
      { weight: 4, arbitrary: pairs.map((text) => ["ENV", text]) },
      { weight: 2, arbitrary: pairs.map((text) => ["LABEL", text]) },
      fc.tuple(fc.constantFrom("a", "v", "A_1"), word).map(([name, value]) => ["ENV", `${name} ${value}`]),
      fc.tuple(fc.constantFrom("a", "v", "n", "e"), unbroken).map(([name, value]) => ["ARG", `${name}=${value}`]),
      fc.constantFrom("a", "v", "nope").map((name) => ["ARG", name]),
      word.map((text) => ["USER", text]),
      word.map((text) => ["WORKDIR", text]),
      word.map((text) => ["STOPSIGNAL", text]),
      fc.array(word, { minLength: 1, maxLength: 2 }).map((all) => ["VOLUME", all.join(" ")]),
      fc.array(word, { minLength: 1, maxLength: 2 }).map((all) => ["VOLUME", JSON.stringify(all)]),
      fc
        .array(fc.oneof(word, fc.constantFrom("80", "$n", '"81 82"', "'83'/udp", "${n:-84}")), {
          minLength: 1,
          maxLength: 2,
        })
        .map((all) => ["EXPOSE", all.join(" ")]),
      word.map((text) => ["CMD", text]),
      fc.array(word, { maxLength: 2 }).map((all) => ["CMD", JSON.stringify(all)]),
      word.map((text) => ["MAINTAINER", text]),
      word.map((text) => ["HEALTHCHECK CMD", text]),
      fc.tuple(word, word).map(([from, to]) => ["COPY", `${from} /o${to}`]),
      word.map((to) => ["COPY", `f /o/${to}`]),
      fc.array(word, { minLength: 1, maxLength: 2 }).map((all) => ["COPY", JSON.stringify([...all, "/o/"])]),
      unbroken.map((who) => ["COPY", `--chown=${who} f /o/`]),
      word.map((text) => ["ONBUILD ENV", `a=${text}`]),
    ),
    gap,
  )
  .map(([[name = "", text = ""], blank]) => `${name}${blank}${text}`);

/** What the reference reads in another way than BuildKit does today. */
const newer: readonly RegExp[] = [/<</, /\$\{[^}:]*[^\w}:]/, /^(VOLUME|CMD|COPY)\s+\[.*\]./m, /^COPY[\s\S]*?\[/m];

export const words: fc.Arbitrary<Draft> = fc
  .tuple(
    fc.constantFrom("\\", "\\", "`"),
    fc.constantFrom("", "ARG v=global\nARG n=80\n", "ARG a=x b=$a\n"),
    fc.constantFrom(
      "FROM scratch",
      "FROM b",
      "FROM scratch\nENV v=foo a=/x e= n=80",
      "FROM b\nARG v=one\nENV a=$v n=80",
    ),
    fc.array(line, { minLength: 1, maxLength: 4 }),
  )
  .map(([escapeWith, globals, from, lines]) => {
    const text = `${globals}${from}\n${lines.join("\n")}`.replaceAll("@", escapeWith);
    return escapeWith === "`" ? `# escape=\`\n${text}` : text;
  })
  .filter((text) => !newer.some((pattern) => pattern.test(text)))
  .map((dockerfile) => ({ dockerfile, context: { f: "f", foo: "foo", x: "x", "7": "7" } }));
