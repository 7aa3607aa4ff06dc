/** Short ways to ask the parser something. */
import type { Diagnostic, Instruction, ParseResult, Word } from "../../src/parser/ast.ts";
import { parse } from "../../src/parser/parse.ts";

export const parseText = (text: string): ParseResult => parse(text, { file: "Dockerfile" });

/** Kinds in order. */
export const kindsOf = (text: string): readonly string[] =>
  parseText(text).dockerfile.instructions.map((instruction) => instruction.kind);

/** The first node behind `FROM scratch`. */
export function nodeOf(line: string, head = "FROM scratch\n"): Instruction {
  const { instructions } = parseText(head + line).dockerfile;
  const node = instructions.find((instruction) => instruction.range.start >= head.length);
  if (node === undefined) throw new Error(`no instruction in ${JSON.stringify(line)}`);
  return node;
}

export interface Problem {
  readonly code: string;
  /** The text that it points at. */
  readonly at: string;
  readonly hint: string | undefined;
}

/** Errors of the whole text. */
export const problemsOf = (text: string): readonly Problem[] => problems(text, "error");
export const warningsOf = (text: string): readonly Problem[] => problems(text, "warning");

function problems(text: string, severity: Diagnostic["severity"]): readonly Problem[] {
  return parseText(text)
    .diagnostics.filter((diagnostic) => diagnostic.severity === severity)
    .map(({ code, range, hint }) => ({ code, at: text.slice(range.start, range.end), hint }));
}

/** Errors of a line behind `FROM scratch`, as `code: text`. */
export const rejected = (line: string): readonly string[] =>
  problemsOf(`FROM scratch\n${line}`).map(({ code, at }) => `${code}: ${at}`);

/** A word in short: quoted text in `«»`, variables as `${name operator word}`. */
export function show(word: Word | undefined): string {
  if (word === undefined) return "none";
  return word.parts
    .map((part) => {
      if (part.kind === "text") return part.quoted ? `«${part.value}»` : part.value;
      const { modifier } = part;
      const name = part.quoted ? `«${part.name}»` : part.name;
      if (modifier === undefined) return `\${${name}}`;
      if (modifier.kind === "default") return `\${${name} ${modifier.operator} ${show(modifier.word)}}`;
      if (modifier.kind === "remove") return `\${${name} ${modifier.operator} ${show(modifier.pattern)}}`;
      return `\${${name} ${modifier.operator} ${show(modifier.pattern)} / ${show(modifier.replacement)}}`;
    })
    .join("");
}
