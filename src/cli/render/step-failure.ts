/** The report of a failed step. */
import { styleText } from "node:util";
import type { StepFailed } from "../../executor/step-failed.ts";
import { printable } from "./printable.ts";

const shownLines = 40;
const contextLines = 4;

export interface FailureReport {
  readonly error: StepFailed;
  /** What the step printed and nobody has seen yet. */
  readonly output: Uint8Array;
  /** The Dockerfile's text. */
  readonly dockerfile: string;
}

export function renderStepFailure({ error, output, dockerfile }: FailureReport, stream: NodeJS.WriteStream): string {
  const { failure } = error;
  const red = (text: string): string => styleText("red", text, { stream });
  const lines = [
    "",
    `[${failure.label}] ${printable(failure.text)}`,
    ...outputLines(output),
    ...excerpt(error, dockerfile),
    `${red("ERROR:")} ${printable(failure.sentence)}`,
    ...failure.causes.map((cause) => `   ${printable(cause)}`),
  ];
  if (failure.hint !== undefined) lines.push(`   hint: ${printable(failure.hint)}`);
  if (failure.failedTree !== undefined) lines.push(`   its files are kept in ${failure.failedTree}`);
  return `${lines.join("\n")}\n`;
}

function outputLines(output: Uint8Array): readonly string[] {
  const lines = printableLog(Buffer.from(output).toString("utf8")).split("\n");
  if (lines.at(-1) === "") lines.pop();
  const hidden = lines.length - shownLines;
  if (hidden <= 0) return lines;
  return [`… ${hidden} lines before these; all of them with --progress=plain`, ...lines.slice(-shownLines)];
}

/** Escape sequences of colour may stay; what moves a cursor or rings may not. */
function printableLog(text: string): string {
  return text
    .replace(/\r\n/g, "\n")
    .split("\n")
    .map((line) =>
      printable((line.split("\r").findLast((part) => part !== "") ?? "").replace(/\u001b\[[0-9;?]*[A-Za-z]/g, "")),
    )
    .join("\n");
}

/** Some lines round the failing ones, which are marked. */
function excerpt(error: StepFailed, dockerfile: string): readonly string[] {
  const { where } = error;
  if (where?.kind !== "source") return [];
  const text = dockerfile.split(/\r?\n/);
  if (text.at(-1) === "") text.pop();
  const first = Math.max(1, where.line - contextLines);
  const last = Math.min(text.length, where.endLine + contextLines);
  const width = String(last).length;
  const lines = [`${where.file}:${where.line}`, "-".repeat(20)];
  for (let number = first; number <= last; number++) {
    const mark = number >= where.line && number <= where.endLine ? ">>>" : "   ";
    lines.push(`${String(number).padStart(width + 1)} | ${mark} ${printable(text[number - 1] ?? "")}`.trimEnd());
  }
  return [...lines, "-".repeat(20)];
}
