// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of a Dockerfile
// No input of any bytes makes the parser throw or hang, or take more than linear time.
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatDockerfile } from "../../src/parser/format.ts";
import { parse, parseTrigger } from "../../src/parser/parse.ts";
import { printDockerfile } from "../../src/parser/print.ts";
import { meaningOf } from "../../src/parser/same-meaning.ts";
import { withReferences } from "../../src/planner/problems.ts";
import { dockerfileText } from "./generated-dockerfile.ts";
import { parseText } from "./parsed.ts";

const repeat = (text: string, times: number): string => text.repeat(Math.floor(times));
const numbered = (count: number, line: (at: number) => string): readonly string[] =>
  Array.from({ length: Math.floor(count) }, (_, at) => line(at));

/** About `n` characters of each. */
const shapes: Readonly<Record<string, (n: number) => string>> = {
  "one line RUN": (n) => `FROM a\nRUN ${repeat("x", n)}`,
  "one line RUN words": (n) => `FROM a\nRUN ${repeat("x ", n / 2)}`,
  "ENV pairs": (n) => `FROM a\nENV ${repeat("a=1 ", n / 4)}`,
  "ENV bad words": (n) => `FROM a\nENV a=1 ${repeat("b ", n / 2)}`,
  "ENV bad alternating": (n) => `FROM a\nENV a=1 ${repeat("b c=1 ", n / 6)}`,
  "ENV legacy": (n) => `FROM a\nENV a ${repeat("b ", n / 2)}`,
  "ENV quotes": (n) => `FROM a\nENV a=${repeat("'x'", n / 3)}`,
  "ENV dquotes": (n) => `FROM a\nENV a=${repeat('"x"', n / 3)}`,
  "ENV escapes": (n) => `FROM a\nENV a=${repeat("\\x", n / 2)}`,
  "ENV vars": (n) => `FROM a\nENV a=${repeat("$b", n / 2)}`,
  "ENV braces": (n) => `FROM a\nENV a=${repeat("${b}", n / 4)}`,
  "ENV nested": (n) => `FROM a\nENV a=${repeat("${b:-", n / 6)}${repeat("}", n / 6)}`,
  "ENV open": (n) => `FROM a\nENV ${repeat("a=${b:-x ", n / 9)}`,
  "ENV long name": (n) => `FROM a\nENV a=$${repeat("b", n)}`,
  "ENV digits": (n) => `FROM a\nENV a=$${repeat("1", n)}`,
  "ENV pattern": (n) => `FROM a\nENV a=\${b#${repeat("\\*", n / 2)}}`,
  "ENV parts pattern": (n) => `FROM a\nENV a=\${b#${repeat("$c\\*", n / 4)}}`,
  USER: (n) => `FROM a\nUSER ${repeat("x ", n / 2)}`,
  EXPOSE: (n) => `FROM a\nEXPOSE ${repeat("80 ", n / 3)}`,
  "EXPOSE bad": (n) => `FROM a\nEXPOSE ${repeat("8:", n / 2)}`,
  "EXPOSE bad long": (n) => `FROM a\nEXPOSE ${repeat("8", n)}x`,
  "COPY words": (n) => `FROM a\nCOPY ${repeat("ab ", n / 3)}`,
  "COPY quotes": (n) => `FROM a\nCOPY ${repeat("'b ", n / 3)}`,
  "COPY json": (n) => `FROM a\nCOPY [${repeat('"b",', n / 4)}"c"]`,
  "COPY markers": (n) => `FROM a\nCOPY ${repeat("<<a ", n / 8)}/d\n${repeat("a\n", n / 8)}`,
  "COPY distinct markers": (n) =>
    `FROM a
COPY ${numbered(n / 16, (at) => `<<e${at}`).join(" ")} /d
${numbered(
  n / 16,
  (at) => `e${at}
`,
).join("")}`,
  "RUN markers": (n) => `FROM a\nRUN x ${repeat("<<a ", n / 8)}\n${repeat("a\n", n / 8)}`,
  "RUN marker words": (n) => `FROM a\nRUN x ${repeat("<< ", n / 3)}`,
  "RUN digits": (n) => `FROM a\nRUN <<x ${repeat("1", n)}\nx\n`,
  "RUN open markers": (n) => `FROM a\nRUN <<x ${repeat("$(", n / 2)}\nx\n`,
  "RUN dollar braces": (n) => `FROM a\nRUN <<x ${repeat("${a", n / 3)}\nx\n`,
  "RUN dollars in quotes": (n) => `FROM a\nRUN <<x "${repeat("${a}", n / 4)}"\nx\n`,
  "RUN quotes marker": (n) => `FROM a\nRUN <<x ${repeat("'a' ", n / 4)}\nx\n`,
  heredocs: (n) => `FROM a\n${repeat("RUN <<E\nx\nE\n", n / 12)}`,
  "heredocs COPY": (n) => `FROM a\n${repeat("COPY <<E /d\n$x\nE\n", n / 17)}`,
  "heredoc body": (n) => `FROM a\nCOPY <<E /d\n${repeat("$x \\y ${z:-w}\n", n / 14)}E\n`,
  "heredoc tabs": (n) => `FROM a\nCOPY <<-E /d\n${repeat("\tx\n", n / 3)}E\n`,
  "heredoc open": (n) => `FROM a\nRUN <<E\n${repeat("x\n", n / 2)}`,
  "many open heredocs": (n) => `FROM a\n${repeat("RUN <<E\n", n / 8)}`,
  "RUN json": (n) => `FROM a\nRUN [${repeat('"b",', n / 4)}"c"]`,
  "json escapes": (n) => `FROM a\nCMD ["${repeat("\\n", n / 2)}"]`,
  "json u": (n) => `FROM a\nCMD ["${repeat("\\u0041", n / 6)}"]`,
  "json copy escapes": (n) => `FROM a\nCOPY ["${repeat("\\n", n / 2)}","x"]`,
  "json deep": (n) => `FROM a\nCMD ${repeat("[", n / 2)}${repeat("]", n / 2)}`,
  "json deep objects": (n) => `FROM a\nCMD [${repeat('{"a":', n / 6)}1${repeat("}", n / 6)}]`,
  "json others": (n) => `FROM a\nCMD [${repeat("1,", n / 2)}1]`,
  "json broken": (n) => `FROM a\nCMD [${repeat('"a",', n / 4)}`,
  "json quote": (n) => `FROM a\nCMD ["${repeat("a", n)}`,
  "json backs": (n) => `FROM a\nCMD ["${repeat("\\", n)}`,
  flags: (n) => `FROM a\nCOPY ${repeat("--link ", n / 7)}a b`,
  "flags exclude": (n) => `FROM a\nCOPY ${repeat("--exclude=x ", n / 12)}a b`,
  "flags unknown": (n) => `FROM a\nCOPY ${repeat("--foo ", n / 6)}a b`,
  "flag long": (n) => `FROM a\nCOPY --${repeat("foo", n / 3)} a b`,
  "flag quotes": (n) => `FROM a\nCOPY --chown=${repeat("'a'", n / 3)} a b`,
  "flag escapes": (n) => `FROM a\nCOPY --chown=${repeat("\\a", n / 2)} a b`,
  "mount fields": (n) => `FROM a\nRUN --mount=type=bind${repeat(",ro", n / 3)} x`,
  "mount bad": (n) => `FROM a\nRUN --mount=type=bind${repeat(",foo", n / 4)} x`,
  "mount quotes": (n) => `FROM a\nRUN --mount='type=bind${repeat(',"ro"', n / 5)}' x`,
  "mount csv": (n) => `FROM a\nRUN --mount='type=bind,"target=${repeat('""', n / 2)}"' x`,
  mounts: (n) => `FROM a\nRUN ${repeat("--mount=target=/x ", n / 18)} x`,
  continuations: (n) => `FROM a\nRUN x ${repeat("\\\ny", n / 3)}`,
  "continuation ENV": (n) => `FROM a\nENV ${repeat("a=b \\\n", n / 6)}`,
  "continuation words": (n) => `FROM a\nEXPOSE ${repeat("8\\\n ", n / 4)}`,
  "continuation empty": (n) => `FROM a\nRUN x ${repeat("\\\n", n / 2)}y`,
  "continuation blank": (n) => `FROM a\nRUN x \\\n${repeat("\n", n)}y`,
  "continuation spaces": (n) => `FROM a\nRUN x \\${repeat(" ", n)}\ny`,
  "continuation comments": (n) => `FROM a\nRUN x \\\n${repeat("# c\n", n / 4)}y`,
  "continuation in quote": (n) => `FROM a\nENV a="${repeat("x\\\n", n / 3)}"`,
  "continuation flag": (n) => `FROM a\nCOPY --chown="${repeat("x\\\n", n / 3)}" a b`,
  "continuation json": (n) => `FROM a\nCOPY [${repeat('"a",\\\n', n / 6)}"b"]`,
  "continuation mount": (n) => `FROM a\nRUN --mount=type=bind${repeat(",ro\\\n", n / 5)} x`,
  spaces: (n) => `FROM a\nRUN ${repeat(" ", n)}x`,
  "spaces end": (n) => `FROM a\nRUN x${repeat(" ", n)}y${repeat(" ", n)}`,
  nbsp: (n) => `FROM a\nRUN x${repeat("\u00a0", n)}y`,
  tabs: (n) => `${repeat("\t", n)}FROM a`,
  CR: (n) => `FROM a${repeat("\r", n)}\n`,
  "CR inside": (n) => `FROM a\nRUN x${repeat("\r", n)}y`,
  comments: (n) => `FROM a\n${repeat("# c\n", n / 4)}`,
  doc: (n) => `${repeat("# c\n", n / 4)}FROM a\n`,
  "one comment": (n) => `#${repeat(" c", n / 2)}\nFROM a`,
  directive: (n) => `#${repeat(" ", n)}escape=\\\nFROM a`,
  "directive value": (n) => `# syntax=${repeat("a ", n / 2)}\nFROM a`,
  "directive slashes": (n) => `# syntax=docker/dockerfile:${repeat("1", n)}\nFROM a`,
  "directive check": (n) => `# check=skip=${repeat("a,", n / 2)}\nFROM a`,
  "blank lines": (n) => `FROM a\n${repeat("\n", n)}`,
  instructions: (n) => `FROM a\n${repeat("USER b\n", n / 7)}`,
  unknown: (n) => `FROM a\n${repeat("foo b\n", n / 6)}`,
  "unknown one word": (n) => `FROM a\n${repeat("EOF\n", n / 4)}`,
  "unknown long": (n) => `FROM a\n${repeat("f", n)}`,
  "unknown distinct": (n) => `FROM a\n${numbered(n / 8, (i) => `f${i}`).join("\n")}`,
  stages: (n) => numbered(n / 16, (i) => `FROM ${i ? `s${i - 1}` : "a"} AS s${i}`).join("\n"),
  "stages copy": (n) =>
    `FROM a AS s0\n${numbered(n / 32, (i) => `FROM a AS s${i + 1}\nCOPY --from=s${i} a b`).join("\n")}`,
  "stages wrong": (n) =>
    `FROM a AS s0\nFOO\n${numbered(n / 32, (i) => `FROM a AS s${i + 1}\nCOPY --from=x${i} a b`).join("\n")}`,
  "copy all": (n) =>
    numbered(n / 32, (i) => `FROM a AS s${i + 1}`).join("\n") +
    "\nFROM b\n" +
    numbered(n / 32, (i) => `COPY --from=s${i + 1} a b`).join("\n"),
  onbuild: (n) => `FROM a\n${repeat("ONBUILD RUN x\n", n / 14)}`,
  "onbuild long": (n) => `FROM a\n${repeat("ONBUILD ", n / 8)}`,
  "onbuild heredoc": (n) => `FROM a\nONBUILD RUN <<E\n${repeat("x\n", n / 2)}E\n`,
  healthcheck: (n) => `FROM a\nHEALTHCHECK --interval=${repeat("1s", n / 2)} CMD x`,
  "healthcheck digits": (n) => `FROM a\nHEALTHCHECK --interval=${repeat("1", n)} CMD x`,
  "healthcheck bad": (n) => `FROM a\nHEALTHCHECK --interval=${repeat("1.1", n / 3)}x CMD x`,
  retries: (n) => `FROM a\nHEALTHCHECK --retries=${repeat("1", n)} CMD x`,
  chmod: (n) => `FROM a\nCOPY --chmod=${repeat("0", n)}x a b`,
  "chmod sym": (n) => `FROM a\nCOPY --chmod=${repeat("u+r,", n / 4)} a b`,
  stopsignal: (n) => `FROM a\nSTOPSIGNAL ${repeat("1", n)}`,
  "signal text": (n) => `FROM a\nSTOPSIGNAL ${repeat("A", n)}`,
  "from name": (n) => `FROM ${repeat("a", n)} AS ${repeat("b", n)}`,
  "from bad name": (n) => `FROM a AS ${repeat("b/", n / 2)}`,
  url: (n) => `FROM a\nCOPY git@${repeat("a", n)} /x`,
  surplus: (n) => `FROM a ${repeat("b ", n / 2)}`,
  "surplus AS": (n) => `FROM a ${repeat("AS ", n / 3)}`,
  NUL: (n) => repeat("\0", n),
  noise: (n) => repeat("\u0001\ufffd", n / 2),
  shell: (n) => `FROM a\nSHELL ${repeat("a ", n / 2)}`,
  "near json": (n) => `FROM a\nCMD [${repeat("a ", n / 2)}]`,
  maintainer: (n) => `FROM a\nMAINTAINER ${repeat("a ", n / 2)}`,
};

const SMALL = 12_000;
const FACTOR = 16;

function timeOf(work: () => void): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}

test.for(Object.entries(shapes))("sixteen times as much of %s takes no square of the time", ([, make]) => {
  const [small, large] = [make(SMALL), make(SMALL * FACTOR)];
  const read = (text: string) => () => {
    const { diagnostics } = withReferences(parseText(text));
    if (diagnostics.some(({ severity }) => severity === "error")) return;
    formatDockerfile(text);
    printDockerfile(parseText(text).dockerfile);
  };
  timeOf(read(small));
  const base = Math.max(3, timeOf(read(small)), timeOf(read(small)));
  const bound = base * FACTOR * 6;
  // A machine that has other work may need a second chance.
  const time = timeOf(read(large));
  expect(time < bound ? time : Math.min(time, timeOf(read(large)))).toBeLessThan(bound);
});

test.for([
  { name: "one line of 10 MB", text: () => `FROM a\nRUN ${repeat("echo ", 2_000_000)}`, nodes: 2 },
  {
    name: "10 MB joined from continuations",
    text: () => `FROM a\nENV a="${repeat("0123456789 \\\n", 780_000)}"`,
    nodes: 2,
  },
  { name: "100,000 instructions", text: () => `FROM a\n${repeat("ENV a=$b\n", 100_000)}`, nodes: 100_001 },
  { name: "10,000 heredocs", text: () => `FROM a\n${repeat("RUN <<E\nx\nE\n", 10_000)}`, nodes: 10_001 },
  {
    name: "10,000 heredocs of one instruction",
    text: () => `FROM a\nRUN ${repeat("<<E ", 10_000)}\n${repeat("E\n", 10_000)}`,
    nodes: 2,
  },
  { name: "a million open braces", text: () => `FROM a\nENV a=${repeat("${b:-", 1_000_000)}`, nodes: 2 },
  { name: "a million open brackets", text: () => `FROM a\nCMD ${repeat("[", 1_000_000)}`, nodes: 2 },
])("$name: every line is a node", ({ text, nodes }) => {
  expect(parseText(text()).dockerfile.instructions).toHaveLength(nodes);
});

test("bytes of any kind are answered", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const { dockerfile } = withReferences(parse(Buffer.from(bytes).toString("utf8"), { file: "Dockerfile" }));
      expect(meaningOf(dockerfile)).toBeTypeOf("string");
      parseTrigger(Buffer.from(bytes).toString("latin1"), { file: "ONBUILD" });
    }),
    { numRuns: 3000 },
  );
});

test("a file that lost, doubled or swapped a part is answered, and formats to the same if it is right", () => {
  const cut = fc.record({
    at: fc.nat(),
    length: fc.nat({ max: 12 }),
    to: fc.nat(),
    insert: fc.constantFrom("", "\\", "`", "\n", '"', "'", "$", "${", "<<", "\0", "#", " ", "\r", "[", "--", "\u00a0"),
  });
  fc.assert(
    fc.property(dockerfileText, fc.array(cut, { minLength: 1, maxLength: 4 }), (text, cuts) => {
      let mutated = text;
      for (const { at, length, to, insert } of cuts) {
        const start = at % (mutated.length + 1);
        const taken = mutated.slice(start, start + length);
        const rest = mutated.slice(0, start) + insert + mutated.slice(start + length);
        const place = to % (rest.length + 1);
        mutated = rest.slice(0, place) + taken + rest.slice(place);
      }
      const { dockerfile, diagnostics } = withReferences(parseText(mutated));
      if (diagnostics.some(({ severity }) => severity === "error")) return;
      const formatted = formatDockerfile(mutated);
      expect(meaningOf(parseText(formatted).dockerfile)).toBe(meaningOf(dockerfile));
      expect(formatDockerfile(formatted)).toBe(formatted);
      expect(meaningOf(parseText(printDockerfile(dockerfile)).dockerfile)).toBe(meaningOf(dockerfile));
    }),
    { numRuns: 4000 },
  );
});
