// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of a Dockerfile
// What --fix writes, what it leaves alone, and that a build of the file stays the same.
import fc from "fast-check";
import { expect, test } from "vitest";
import { fixWarnings } from "../../src/checks/fix.ts";
import { parse } from "../../src/parser/parse.ts";
import { dockerfileText } from "../parser/generated-dockerfile.ts";
import { graphOf } from "../planner/support/graph.ts";
import { checkText, namesOf } from "./findings.ts";

async function fixedText(text: string): Promise<string> {
  const { dockerfile, warnings } = await checkText(text);
  return fixWarnings(dockerfile, warnings).text.replaceAll("\n", "⏎");
}

test.for([
  { text: "FROM scratch⏎copy a /⏎COPY b /", after: "FROM scratch⏎COPY a /⏎COPY b /" },
  { text: "from scratch⏎COPY a /⏎copy b /", after: "from scratch⏎copy a /⏎copy b /" },
  { text: "FROM scratch as b", after: "FROM scratch AS b" },
  { text: "from scratch AS b⏎COPY a /⏎COPY b /", after: "FROM scratch AS b⏎COPY a /⏎COPY b /" },
  { text: "from scratch as b⏎COPY a /⏎COPY b /", after: "FROM scratch AS b⏎COPY a /⏎COPY b /" },
  { text: "From scratch As b⏎COPY a /", after: "FROM scratch AS b⏎COPY a /" },
  {
    text: "# check=skip=ConsistentInstructionCasing⏎from scratch AS b⏎COPY a /⏎COPY a /",
    after: "# check=skip=ConsistentInstructionCasing⏎from scratch as b⏎COPY a /⏎COPY a /",
  },
  {
    text: "FROM scratch AS Build⏎FROM scratch⏎COPY --from=Build / /⏎COPY --from=BUILD /a /⏎RUN --mount=from=Build,target=/m x",
    after:
      "FROM scratch AS build⏎FROM scratch⏎COPY --from=build / /⏎COPY --from=build /a /⏎RUN --mount=from=build,target=/m x",
  },
  { text: "FROM scratch⏎ENV a b⏎LABEL c d", after: "FROM scratch⏎ENV a=b⏎LABEL c=d" },
  { text: "FROM scratch⏎ENV a b  c $PATH", after: 'FROM scratch⏎ENV a="b  c $PATH"' },
  { text: "FROM scratch⏎ENV a b=c", after: "FROM scratch⏎ENV a=b=c" },
  { text: 'FROM scratch⏎ENV a "b"', after: 'FROM scratch⏎ENV a="b"' },
  { text: 'FROM scratch⏎ENV a "b" c', after: 'FROM scratch⏎ENV a="b c"' },
  { text: "FROM scratch⏎ENV a b\\ c", after: "FROM scratch⏎ENV a=b\\ c" },
  { text: "FROM scratch⏎ENV a 'b  c'", after: "FROM scratch⏎ENV a='b  c'" },
  { text: "FROM scratch⏎ENV a 'b \"$c\"' d", after: 'FROM scratch⏎ENV a="b \\"\\$c\\" d"' },
  { text: "FROM scratch⏎ENV a it\\'s $B", after: 'FROM scratch⏎ENV a="it\'s $B"' },
  { text: "FROM scratch⏎ENV a C:\\\\x y", after: 'FROM scratch⏎ENV a="C:\\\\x y"' },
  { text: "# escape=`⏎FROM scratch⏎ENV a C:\\x 'y`'", after: '# escape=`⏎FROM scratch⏎ENV a="C:\\x y``"' },
  { text: 'FROM scratch⏎ENV a ${b:-"c d"} e', after: 'FROM scratch⏎ENV a ${b:-"c d"} e' },
  { text: "FROM scratch⏎ENV a ${b:-c d} 'e'", after: 'FROM scratch⏎ENV a="${b:-c d} e"' },
  { text: 'FROM scratch⏎LABEL a "b=c" "d"', after: 'FROM scratch⏎LABEL a="b=c d"' },
  { text: "FROM scratch⏎ENV a \\⏎ b", after: "FROM scratch⏎ENV a \\⏎ b" },
  { text: "FROM b⏎RUN a \\⏎⏎# x⏎  ⏎ && b⏎⏎RUN c", after: "FROM b⏎RUN a \\⏎# x⏎ && b⏎⏎RUN c" },
  { text: "FROM b⏎RUN \\⏎⏎<<E⏎a⏎⏎b⏎E⏎", after: "FROM b⏎RUN \\⏎<<E⏎a⏎⏎b⏎E⏎" },
  { text: "FROM scratch⏎EXPOSE 53/UDP 80/tcp", after: "FROM scratch⏎EXPOSE 53/udp 80/tcp" },
  { text: "FROM scratch⏎EXPOSE 53/UDP 53/tcp", after: "FROM scratch⏎EXPOSE 53/UDP 53/tcp" },
  { text: "FROM --platform=$TARGETPLATFORM scratch", after: "FROM scratch" },
  { text: "FROM --platform=${TARGETPLATFORM}   scratch", after: "FROM scratch" },
  {
    text: "ARG TARGETPLATFORM=linux/amd64⏎FROM --platform=$TARGETPLATFORM scratch",
    after: "ARG TARGETPLATFORM=linux/amd64⏎FROM --platform=$TARGETPLATFORM scratch",
  },
  { text: "FROM scratch⏎MAINTAINER x⏎WORKDIR a⏎CMD x", after: "FROM scratch⏎MAINTAINER x⏎WORKDIR a⏎CMD x" },
])("$text becomes $after", async ({ text, after }) => {
  expect(await fixedText(text)).toBe(after);
});

test("pairs of old, of any characters, say the same when they are rewritten", async () => {
  const piece = fc.constantFrom(
    "a",
    " ",
    "  ",
    '"',
    "'",
    "\\",
    "$A",
    "${B}",
    "${C:-x y}",
    "=",
    "`",
    "#",
    '"b c"',
    "'d  e'",
  );
  const value = fc.array(piece, { minLength: 1, maxLength: 6 }).map((pieces) => pieces.join(""));
  let rewritten = 0;
  await fc.assert(
    fc.asyncProperty(value, fc.constantFrom("", "# escape=`\n"), async (text, directive) => {
      const file = `${directive}FROM scratch\nARG A=1 B='x  y'\nENV k ${text}\nENV after=$k`;
      const before = await comparableGraph(file);
      fc.pre(before.startsWith("{"));
      const { dockerfile, warnings } = await checkText(file);
      const { text: after } = fixWarnings(dockerfile, warnings);
      if (after !== file) rewritten++;
      expect(await comparableGraph(after)).toBe(before);
    }),
    { numRuns: 300 },
  );
  expect(rewritten).toBeGreaterThan(100);
});

test("one that would change the meaning does not keep the others from being made", async () => {
  const text = "FROM scratch as b⏎EXPOSE 53/UDP 53/tcp⏎ENV a b";
  expect(await fixedText(text)).toBe("FROM scratch AS b⏎EXPOSE 53/UDP 53/tcp⏎ENV a=b");
});

test("line ends and everything else stay as they are", async () => {
  const text = "FROM  scratch as\tb\r⏎\r⏎# note  \r⏎env a b\r⏎COPY x  /";
  expect(await fixedText(text)).toBe("FROM  scratch AS\tb\r⏎\r⏎# note  \r⏎ENV a=b\r⏎COPY x  /");
});

/** The graph without what only tells where something stands, and how its line and its stage were written. */
async function comparableGraph(text: string): Promise<string> {
  const images: Record<string, object> = new Proxy({}, { get: () => ({}) });
  const graph: unknown = await graphOf(text, { images }).catch((error: unknown) => String(error));
  const places = new Set(["text", "range", "label"]);
  return JSON.stringify(graph, (key, value: unknown) => (places.has(key) ? undefined : value));
}

test.for([
  "FROM b as Build⏎env a b  $PATH c⏎EXPOSE 53/UDP⏎RUN x \\⏎⏎ y⏎from --platform=$TARGETPLATFORM b⏎copy --from=Build /a /b⏎LABEL x y",
  "ARG T=b⏎FROM $T AS One⏎LABEL a b⏎FROM One⏎env q r",
])("the graph of %s stays what it was", async (text) => {
  const { dockerfile, warnings } = await checkText(text);
  const { text: after, fixed } = fixWarnings(dockerfile, warnings);
  expect(fixed.length).toBeGreaterThan(1);
  expect(await comparableGraph(after)).toBe(await comparableGraph(text));
});

test("the graph of any file stays what it was", async () => {
  let rewritten = 0;
  await fc.assert(
    fc.asyncProperty(dockerfileText, async (text) => {
      fc.pre(!text.includes("⏎"));
      const { dockerfile, warnings } = await checkText(text);
      const { text: after } = fixWarnings(dockerfile, warnings);
      if (after !== text) rewritten++;
      expect(await comparableGraph(after)).toBe(await comparableGraph(text));
    }),
    { numRuns: 300 },
  );
  expect(rewritten).toBeGreaterThan(30);
});

test("what was fixed is found no more, and nothing new is", async () => {
  await fc.assert(
    fc.asyncProperty(dockerfileText, async (text) => {
      fc.pre(!parse(text, { file: "D" }).diagnostics.some(({ severity }) => severity === "error"));
      const { dockerfile, warnings } = await checkText(text);
      const { text: after, fixed } = fixWarnings(dockerfile, warnings);
      const left = warnings.filter((warning) => !fixed.includes(warning)).map(({ code }) => code);
      const found = (await namesOf(after)).map((name) => name.replace(/^\d+ /, ""));
      expect(found.sort()).toEqual(left.sort());
      expect(fixWarnings((await checkText(after)).dockerfile, (await checkText(after)).warnings).text).toBe(after);
    }),
    { numRuns: 300 },
  );
});
