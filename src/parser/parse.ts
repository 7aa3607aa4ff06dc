/**
 * The Dockerfile language: a file's text comes in, a tree and every problem of the file go out. Nothing is evaluated
 * here and nothing is thrown on input: a line with an error becomes an `invalid` node, and a diagnostic says why.
 * `logical-lines.ts` joins lines, `tokens.ts` and `grammar.ts` read them, `build-ast.ts` makes nodes and checks them.
 * Load this folder with `import()`: the grammar is built when the first file is parsed.
 */
import type { Diagnostic, Directive, Instruction, ParseResult } from "./ast.ts";
import { buildInstructions } from "./build-ast.ts";
import {
  badTrigger,
  beforeFrom,
  emptyFile,
  noInstruction,
  noStage,
  notDockerfile,
  notOneTrigger,
  notText,
  type Report,
} from "./diagnostics.ts";
import { checkOfDoc, parseCheck } from "./directives.ts";
import { parseTokens } from "./grammar.ts";
import { logicalLines } from "./logical-lines.ts";
import { lexerFor } from "./tokens.ts";

export interface ParseOptions {
  /** The name that messages show. */
  readonly file: string;
}

/** Everything in `text`, whatever it is. */
export function parse(text: string, options: ParseOptions): ParseResult {
  const result = parseLines(text, options, checkFile);
  const failed = result.diagnostics.some((diagnostic) => diagnostic.severity === "error");
  // What is wrong with each line of a program or a picture helps nobody.
  if (failed && isBinary(text)) return { ...result, diagnostics: [notText({ start: 0, end: 0 })] };
  const { instructions } = result.dockerfile;
  const [first] = instructions;
  // So is it of a file in another language; one that has a few lines may be a Dockerfile's beginning.
  const foreign = instructions.length > 2 && result.diagnostics.filter(({ code }) => code === "unknown-instruction");
  if (!foreign || foreign.length < instructions.length || foreign.some(({ hint }) => hint?.startsWith("did you mean")))
    return result;
  return { ...result, diagnostics: first === undefined ? [] : [notDockerfile(first.keyword.range)] };
}

/** An ONBUILD trigger as a base image holds it: one instruction, always with backslash as the escape. */
export function parseTrigger(trigger: string, options: ParseOptions): ParseResult {
  return parseLines(trigger, options, (instructions, report) => {
    const [first, second] = instructions;
    if (first === undefined || second !== undefined) report(notOneTrigger({ start: 0, end: trigger.length }));
    for (const { kind, keyword } of instructions) {
      if (kind === "from" || kind === "onbuild" || kind === "maintainer") {
        report(badTrigger(keyword.text.toUpperCase(), keyword.range));
      }
    }
  });
}

type FileCheck = (instructions: readonly Instruction[], report: Report, text: string) => void;

function parseLines(text: string, { file }: ParseOptions, check: FileCheck): ParseResult {
  const diagnostics: Diagnostic[] = [];
  const report: Report = (diagnostic) => diagnostics.push(diagnostic);
  const lines = logicalLines(text, report);
  const { cst, errors } = parseTokens(lexerFor(lines.escape).tokenize(lines.joined.text).tokens);
  const instructions = buildInstructions(cst, errors, lines, report);
  check(instructions, report, text);
  const { escape: escaper, directives, comments } = lines;
  return {
    dockerfile: { text, file, escape: escaper, directives, comments, instructions },
    diagnostics: unskipped(
      diagnostics.sort((a, b) => a.range.start - b.range.start),
      lines.directives,
      instructions,
    ),
  };
}

/** In order of place, without the warnings that `# check=skip=` names, of the file or of an instruction. Checks see to theirs themselves. */
function unskipped(
  diagnostics: readonly Diagnostic[],
  directives: readonly Directive[],
  instructions: readonly Instruction[],
): readonly Diagnostic[] {
  const isOurs = ({ severity, code }: Diagnostic): boolean => severity === "warning" && code !== "NoEmptyContinuation";
  if (!diagnostics.some(isOurs)) return diagnostics;
  const directive = directives.find(({ name }) => name === "check")?.value;
  const ofFile = directive === undefined ? undefined : parseCheck(directive);
  const skips = (check: ReturnType<typeof parseCheck> | undefined, code: string): boolean =>
    typeof check === "object" && (check.skip.includes("all") || check.skip.includes(code));
  let next = 0;
  return diagnostics.filter((diagnostic) => {
    if (!isOurs(diagnostic)) return true;
    if (skips(ofFile, diagnostic.code)) return false;
    while ((instructions[next]?.range.start ?? Number.POSITIVE_INFINITY) <= diagnostic.range.start) next++;
    const doc = instructions[next - 1]?.doc;
    return doc === undefined || !skips(checkOfDoc(doc), diagnostic.code);
  });
}

/** What only the whole file can tell. */
function checkFile(instructions: readonly Instruction[], report: Report, text: string): void {
  const last = instructions.at(-1);
  if (last === undefined) {
    const nowhere = { start: 0, end: 0 };
    report(text === "" ? emptyFile(nowhere) : noInstruction(nowhere));
    return;
  }
  for (const { kind, keyword } of instructions) {
    // A broken line may have been the FROM.
    if (kind === "from" || (kind === "invalid" && keyword.text.toLowerCase() !== "arg")) return;
    if (kind !== "arg" && kind !== "invalid") {
      report(beforeFrom(keyword.text, keyword.range));
      return;
    }
  }
  report(noStage(last.range));
}

/** NUL, or more than one character in twenty that no text has. */
function isBinary(text: string): boolean {
  const sample = text.slice(0, 65_536);
  if (sample.includes("\0")) return true;
  const strange = sample.match(/[\u0001-\u0008\u000e-\u001a\u001c-\u001f\ufffd]/g)?.length ?? 0;
  return strange * 20 > sample.length;
}
