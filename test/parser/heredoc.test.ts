// Heredocs, and ONBUILD with them.
import { expect, test } from "vitest";
import { kindsOf, nodeOf, parseText, problemsOf, rejected, show } from "./parsed.ts";

const heredocsOf = (line: string) => {
  const node = nodeOf(line);
  if (node.kind === "run" && node.command.form === "shell") return node.command.heredocs;
  return node.kind === "copy" || node.kind === "add" ? node.heredocs : [];
};

test.for([
  { name: "one marker", line: "RUN <<EOF\nx\nEOF", text: "<<EOF", bodies: ["x\n"] },
  { name: "an empty body", line: "RUN <<EOF\nEOF", text: "<<EOF", bodies: [""] },
  {
    name: "several, in order",
    line: "RUN cat <<A && x <<'B'\na\nA\nb\nB",
    text: "cat <<A && x <<'B'",
    bodies: ["a\n", "b\n"],
  },
  { name: "with a file descriptor", line: "RUN cat 3<<EOF\nx\nEOF", text: "cat 3<<EOF", bodies: ["x\n"] },
  {
    name: "comments, blank lines, escapes, CRs and directives mean nothing inside",
    line: "RUN <<E\n# a\n\nb \\\n\r\n# escape=`\nE\r\n",
    text: "<<E",
    bodies: ["# a\n\nb \\\n\r\n# escape=`\n"],
  },
  { name: "blanks behind << join", line: "RUN cat << EOF\nx\nEOF", text: "cat << EOF", bodies: ["x\n"] },
  { name: "behind flags", line: "RUN --network=none <<E\nx\nE", text: "<<E", bodies: ["x\n"] },
  { name: "the word takes all up to the blank", line: "RUN cat <<E;\nx\nE\nE;", text: "cat <<E;", bodies: ["x\nE\n"] },
  { name: "an indented terminator is none", line: "RUN <<E\nx\n E\nE \nE", text: "<<E", bodies: ["x\n E\nE \n"] },
  {
    name: "with - the terminator may have tabs, and the body keeps them",
    line: "RUN <<-E\n\tx\n\t\tE",
    text: "<<-E",
    bodies: ["\tx\n"],
  },
  { name: "with - blanks in front are no tabs", line: "RUN <<-E\n E\nE", text: "<<-E", bodies: [" E\n"] },
  { name: "the marker may be split", line: "RUN <<\\\nE\nx\nE", text: "<<E", bodies: ["x\n"] },
  { name: "$ in the name is literal", line: "RUN <<$E\nx\n$E", text: "<<$E", bodies: ["x\n"] },
  {
    name: "quotes and backslashes leave the name",
    line: "RUN <<\"a b\"\\c'd'\nx\na bcd",
    text: "<<\"a b\"\\c'd'",
    bodies: ["x\n"],
  },
])("$name", ({ line, text, bodies }) => {
  expect(rejected(line)).toEqual([]);
  expect(nodeOf(line)).toMatchObject({ kind: "run", command: { form: "shell", text } });
  expect(heredocsOf(line).map((heredoc) => heredoc.body)).toEqual(bodies);
});

test.for([
  { name: "inside a word", line: "RUN cat<<EOF" },
  { name: "<<<", line: "RUN cat <<<EOF" },
  { name: "<<- with a blank behind", line: "RUN cat <<- EOF" },
  { name: "with nothing behind", line: "RUN cat <<" },
  { name: "an empty name", line: `RUN cat <<""` },
  { name: "inside quotes", line: `RUN echo "x <<EOF"` },
  { name: "escaped", line: "RUN echo \\<<EOF" },
  { name: "in the JSON form", line: `RUN ["cat", "<<EOF"]` },
  { name: "in the JSON form of COPY", line: `COPY ["<<EOF", "/d"]` },
  { name: "behind an unbalanced quote", line: "RUN echo it's <<EOF" },
  { name: "in CMD", line: "CMD cat <<EOF" },
  { name: "in ENV", line: "ENV a <<EOF" },
  { name: "in HEALTHCHECK", line: "HEALTHCHECK CMD cat <<EOF" },
])("no heredoc: $name", ({ line }) => {
  expect(kindsOf(`FROM a\n${line}\nUSER x`).at(-1)).toBe("user");
  expect(heredocsOf(line)).toEqual([]);
});

test.for([
  { marker: "<<E", quoted: false },
  { marker: "<<'E'", quoted: true },
  { marker: '<<"E"', quoted: true },
  { marker: "<<E''", quoted: true },
  { marker: "<<\\E", quoted: false },
])("$marker: quoted = $quoted", ({ marker, quoted }) => {
  expect(heredocsOf(`COPY ${marker} /f\n$x\nE`)).toMatchObject([{ name: "E", marker, quoted }]);
  expect(heredocsOf(`RUN ${marker}\n$x\nE`)).toMatchObject([{ name: "E", quoted, stripTabs: false }]);
});

test("an unbalanced quote makes the body lines instructions", () => {
  expect(problemsOf("FROM B\nRUN echo it's <<E\nhi\nE")).toMatchObject([
    { code: "unknown-instruction", at: "hi" },
    { code: "unknown-instruction", at: "E" },
  ]);
});

test("a missing terminator is one message, at the marker", () => {
  expect(problemsOf("FROM B\nRUN cat <<E; echo x\nhi\nE\nUSR x\n")).toEqual([
    { code: "unterminated-heredoc", at: "<<E;", hint: "the name goes up to the next blank: write <<E ;" },
  ]);
  expect(problemsOf("FROM B\nCOPY <<A <<B /\nhi\nUSER x\n")).toMatchObject([
    { code: "unterminated-heredoc", at: "<<A" },
  ]);
});

test("ranges: the marker, the body, and the node up to its terminator", () => {
  const text = "FROM a\nRUN x <<E\nb\nE\nUSER y\n";
  const run = parseText(text).dockerfile.instructions[1];
  if (run?.kind !== "run" || run.command.form !== "shell") throw new Error("no RUN");
  const [heredoc] = run.command.heredocs;
  const at = (range: { start: number; end: number } | undefined) => text.slice(range?.start, range?.end);
  expect([at(run.range), at(heredoc?.range), at(heredoc?.bodyRange)]).toEqual(["RUN x <<E\nb\nE", "<<E", "b\n"]);
  expect(run.joined).toBe("RUN x <<E");
});

// COPY and ADD ------------------------------------------------------------------------------------------------------

test("sources and heredocs are told apart", () => {
  const node = nodeOf("COPY <<a b <<-'c' /d/\n1\na\n\t2\n\tc");
  if (node.kind !== "copy") throw new Error("no COPY");
  expect(node.sources.map((word) => word.raw)).toEqual(["b"]);
  expect(node.heredocs).toMatchObject([
    { name: "a", body: "1\n", stripTabs: false },
    { name: "c", body: "\t2\n", stripTabs: true, quoted: true },
  ]);
  expect(node.destination.raw).toBe("/d/");
});

test("unquoted bodies are words by the rules of bodies, with their tabs gone", () => {
  const [heredoc, quoted] = heredocsOf("ADD <<-a <<'b' /d/\n\t$x 'y' \\n\n\t\tz\n\ta\n$x\nb");
  expect(show(heredoc?.word)).toBe("${x} 'y' «n»\nz\n");
  expect(quoted?.word).toBeUndefined();
});

test("a body always uses the backslash", () => {
  const node = nodeOf("COPY <<E /f\n\\$x\nE", "# escape=`\nFROM scratch\n");
  expect(node.kind === "copy" && show(node.heredocs[0]?.word)).toBe("«$»x\n");
});

test("two markers of one name both get the last body", () => {
  expect(heredocsOf("COPY <<a <<a /d/\n1\na\n2\na").map((heredoc) => heredoc.body)).toEqual(["2\n", "2\n"]);
});

test.for([
  ["COPY a <<E\nx\nE", "heredoc-destination: <<E"],
  ["COPY <<E\nx\nE", "missing-argument: <<E"],
  ["COPY <<E /d\n${x\nE", "bad-substitution: ${x\n"],
] as const)("%s is rejected", ([line, problem]) => {
  expect(rejected(line)).toEqual([problem]);
});

// ONBUILD -----------------------------------------------------------------------------------------------------------

test("ONBUILD keeps the bodies in the trigger", () => {
  expect(nodeOf("ONBUILD COPY <<A <<B /d/ \n$1\nA\n2\nB\n")).toMatchObject({
    kind: "onbuild",
    trigger: "COPY <<A <<B /d/ \n$1\nA\n2\nB",
  });
  expect(kindsOf("FROM a\nONBUILD RUN <<E\nx\nE\nUSER y")).toEqual(["from", "onbuild", "user"]);
});
