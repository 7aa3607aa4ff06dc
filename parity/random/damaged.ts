/** Dockerfiles with mistakes: a few characters of a valid one are gone, doubled, moved or others. Both refuse, or both read the same. */
import fc from "fast-check";
import type { Draft } from "./draft.ts";

/** Each stage stands on the one above: a mistake in a stage that is not needed is one here, and there it is not looked at. */
const line = fc.constantFrom(
  "FROM one AS two",
  "ARG a=1",
  "ARG v",
  'ARG e="x y" f=z',
  "ENV a=1 b=2",
  "ENV a=\"x y\" b='$c' d=e\\ f",
  "ENV legacy the rest",
  "ENV v=${a:-x} w=${b:+y}",
  "LABEL a.b=c",
  'LABEL "a b"="c d" \\\n  e=f \\\n# in between\n  g=h',
  "COPY f /",
  "COPY --chown=1:2 f d/ /x/",
  'COPY ["f", "s p", "/y/"]',
  "COPY --from=0 /f /g",
  "COPY --from=one /f /h",
  "ADD d /z/",
  "ADD f g.tar /t/",
  "WORKDIR /w",
  "WORKDIR rel/$a",
  "USER bob",
  "USER 1:2",
  "EXPOSE 80 443/tcp 53/udp 90-92",
  "VOLUME /v /w",
  'VOLUME ["/v", "/w"]',
  "STOPSIGNAL SIGTERM",
  "CMD echo  $a",
  'CMD ["a", "b"]',
  'ENTRYPOINT ["x"]',
  'SHELL ["/bin/sh", "-c"]',
  "HEALTHCHECK NONE",
  "HEALTHCHECK --interval=30s --timeout=1m --start-period=5s --retries=3 CMD x",
  'HEALTHCHECK CMD ["x", "y"]',
  "ONBUILD RUN x",
  "RUN true $a",
  'RUN ["true", "x"]',
  "RUN --mount=type=tmpfs,target=/mnt true",
  "RUN echo a \\\n  b > /r",
  "ONBUILD COPY f /",
  "MAINTAINER me <a@b>",
  "# comment",
  "#escape=x",
  "",
);

const start = fc.constantFrom(
  "",
  "",
  "",
  "# escape=`\n",
  "# escape=\\\n",
  "# comment\n",
  "ARG base=scratch\n",
  "\ufeff",
);

const valid = fc
  .tuple(
    start,
    fc.constantFrom(
      "FROM scratch",
      "FROM scratch AS one",
      "FROM b",
      "from b as one",
      "FROM $base AS one",
      "FROM --platform=linux/amd64 b AS one",
    ),
    fc.array(line, { maxLength: 4 }),
  )
  .map(([head, from, rest]) => head + [from, ...rest].join("\n"));

const inserted = fc.constantFrom(
  " ",
  "\t",
  "\n",
  "\r",
  "\r\n",
  "\\",
  "`",
  '"',
  "'",
  "$",
  "{",
  "}",
  "${",
  "$a",
  "[",
  "]",
  ",",
  "=",
  ":",
  "-",
  "--",
  "#",
  "/",
  "\\\n",
  "\\\n\n",
  " \\ \n",
  "\f",
  "\v",
  "\u00a0",
  "\u2028",
  "\0",
  "ä",
  "é",
  "x",
  "0",
  "-1",
  ".",
  "..",
  "@",
  "*",
  "?",
  "!",
  "<",
  ">",
  "&",
  "~",
  "+",
  "%",
);

type Damage = {
  readonly how: "delete" | "double" | "insert" | "swap" | "cut" | "case";
  readonly at: number;
  readonly text: string;
  readonly length: number;
};

const damage: fc.Arbitrary<Damage> = fc.record({
  how: fc.constantFrom("delete", "delete", "double", "insert", "insert", "insert", "swap", "cut", "case"),
  at: fc.nat(1000),
  text: inserted,
  length: fc.integer({ min: 1, max: 3 }),
});

function damaged(text: string, { how, at, text: other, length }: Damage): string {
  const place = at % (text.length + 1);
  const [before, part, after] = [text.slice(0, place), text.slice(place, place + length), text.slice(place + length)];
  switch (how) {
    case "delete":
      return before + after;
    case "double":
      return before + part + part + after;
    case "insert":
      return before + other + text.slice(place);
    case "swap":
      return before + [...part].reverse().join("") + after;
    case "cut":
      return how === "cut" && at % 7 === 0 ? before : `${before}\n${text.slice(place)}`;
    case "case":
      return before + (part === part.toUpperCase() ? part.toLowerCase() : part.toUpperCase()) + after;
  }
}

/** What the reference is too old to know, or reads in another way than BuildKit does today. */
const newer: readonly RegExp[] = [
  // Heredocs.
  /<</,
  // Modifiers without a colon, and patterns.
  /\$\{\w*[^\w:}]/,
  // A list of words with something behind it was a list nevertheless.
  /\][^\n\]"]*\S/,
];

export const damagedFiles: fc.Arbitrary<Draft> = fc
  .tuple(valid, fc.array(damage, { minLength: 1, maxLength: 2 }))
  .map(([text, all]) => all.reduce(damaged, text))
  // Of a file without any FROM the reference's daemon dies.
  .filter((text) => /^\s*from[ \t]/im.test(text) && !newer.some((pattern) => pattern.test(text)))
  .map((dockerfile) => ({
    dockerfile,
    context: { f: "f", "d/g": "g", "s p": "s", "g.tar": { tar: [{ name: "in", type: "0", content: "1" }] } },
  }));
