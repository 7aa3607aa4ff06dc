/** One message with its place, the source line and a hint; and all that a Dockerfile has of them. */
import { styleText } from "node:util";
import type { Where } from "../../errors.ts";
import type { Diagnostic, Dockerfile } from "../../parser/ast.ts";
import { whereOf } from "../../parser/position.ts";
import { printable } from "./printable.ts";

export interface Message {
  readonly severity: Diagnostic["severity"];
  readonly text: string;
  readonly where: Where | undefined;
  readonly hint: string | undefined;
}

/** Blocks with an empty line between them. A file that has no end of mistakes is cut off, and that is said. */
export function diagnosticLines(
  dockerfile: Dockerfile,
  diagnostics: readonly Diagnostic[],
  stream: NodeJS.WritableStream,
): readonly string[] {
  const lines: string[] = [];
  for (const { severity, message, range, hint } of diagnostics.slice(0, MAX_SHOWN)) {
    if (lines.length > 0) lines.push("");
    lines.push(...messageLines({ severity, text: message, where: whereOf(dockerfile, range), hint }, stream));
  }
  if (diagnostics.length > MAX_SHOWN) lines.push("", `and ${diagnostics.length - MAX_SHOWN} more`);
  return lines;
}

const MAX_SHOWN = 200;

export function messageLines(
  { severity, text, where, hint }: Message,
  stream: NodeJS.WritableStream,
): readonly string[] {
  const label = styleText(severity === "error" ? "red" : "yellow", `${severity}:`, { stream });
  const [first = "", ...more] = printable(text).split("\n");
  const lines = [`${place(where)}${label} ${first}`, ...more];
  if (where?.kind === "source") lines.push(...excerpt(where));
  if (hint !== undefined) lines.push(hintLine(hint));
  return lines;
}

export const hintLine = (hint: string): string => `   hint: ${printable(hint)}`;

export function place(where: Where | undefined): string {
  switch (where?.kind) {
    case "source":
      return `${where.file}:${where.line}:${where.column}: `;
    case "path":
      return `${printable(where.path)}: `;
    case "url":
      return `${printable(where.url)}: `;
    case "flag":
      return `${where.flag}: `;
    case "container":
      return `${where.container}: `;
    default:
      return "";
  }
}

const MAX_COLUMNS = 160;

/**
 * The source line with carets under the range; a range that goes on below is marked to the end of the line. Of a very
 * long line only what is round the range.
 */
export function excerpt(where: Extract<Where, { kind: "source" }>): readonly string[] {
  const { sourceLine: text, column } = where;
  const until = where.endLine > where.line ? text.length + 1 : Math.min(where.endColumn, text.length + 1);
  const from = text.length > MAX_COLUMNS ? Math.max(0, column - 1 - MAX_COLUMNS / 2) : 0;
  const shown = text.slice(from, from + MAX_COLUMNS);
  const before = from > 0 ? "…" : "";
  const width = Math.max(1, Math.min(until - column, shown.length - (column - 1 - from)));
  // Tabs stay tabs in both lines, so that the carets stand below what they mean.
  const indent = (before + text.slice(from, column - 1)).replace(/[^\t]/g, " ");
  const cut = from + shown.length < text.length ? "…" : "";
  const number = String(where.line).padStart(5);
  return [`${number} | ${printable(before + shown + cut)}`, `${" ".repeat(5)} | ${indent}${"^".repeat(width)}`];
}
