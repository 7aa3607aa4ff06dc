/** An error as a person reads it: where, what, one hint. SURFACE and STYLE fix the words around it. */
import { styleText } from "node:util";
import { TsbuildError, type Where } from "../../errors.ts";
import { isSystemError } from "../exit-code.ts";

export interface ErrorStyle {
  /** With the stack and the causes. */
  readonly debug: boolean;
  /** Where it will be written: decides about colour. */
  readonly stream: NodeJS.WriteStream;
}

export function renderError(error: unknown, style: ErrorStyle): string {
  const lines = describe(error, style);
  if (style.debug) lines.push(...stacks(error));
  return `${lines.join("\n")}\n`;
}

function describe(error: unknown, style: ErrorStyle): string[] {
  if (error instanceof TsbuildError) return describeOurs(error, style);
  if (isSystemError(error)) return [`${red("error:", style)} ${systemErrorText(error)}`];
  const text = error instanceof Error ? error.message : String(error);
  return [
    `${red("error:", style)} a defect of tsbuild: ${printable(text)}`,
    "   hint: please report it with the output of the same command and --debug",
  ];
}

function describeOurs(error: TsbuildError, style: ErrorStyle): string[] {
  const [first = "", ...more] = printable(error.message).split("\n");
  const head = error.code === "USAGE" ? `tsbuild: ${first}` : `${place(error.where)}${red("error:", style)} ${first}`;
  const lines = [head, ...more];
  if (error.where?.kind === "source") lines.push(...excerpt(error.where));
  if (error.hint !== undefined) lines.push(`   hint: ${printable(error.hint)}`);
  return lines;
}

function place(where: Where | undefined): string {
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

/** The source line with carets under the range; a range that goes on below is marked to the end of the line. */
function excerpt(where: Extract<Where, { kind: "source" }>): readonly string[] {
  const text = where.sourceLine.replace(/\r?\n$/, "");
  const end = where.endLine > where.line ? text.length + 1 : where.endColumn;
  const width = Math.max(1, Math.min(end, text.length + 1) - where.column);
  const number = String(where.line).padStart(5);
  // Tabs stay tabs in both lines, so that the carets stand below what they mean.
  const indent = text.slice(0, where.column - 1).replace(/[^\t]/g, " ");
  return [`${number} | ${printable(text)}`, `${" ".repeat(5)} | ${indent}${"^".repeat(width)}`];
}

const systemTexts: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EEXIST: "it exists already",
  EISDIR: "it is a directory",
  ELOOP: "too many symbolic links",
  EMFILE: "too many open files",
  ENAMETOOLONG: "the name is too long",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left on its file system",
  ENOTDIR: "not a directory",
  ENOTEMPTY: "directory not empty",
  EPERM: "operation not permitted",
  EROFS: "its file system is read-only",
};

function systemErrorText(error: NodeJS.ErrnoException): string {
  const why = systemTexts[error.code ?? ""] ?? error.message;
  return error.path === undefined ? `${error.syscall ?? ""}: ${why}` : `${printable(error.path)}: ${why}`;
}

function stacks(error: unknown): string[] {
  const lines: string[] = [];
  for (let current = error; current instanceof Error; current = current.cause) {
    lines.push(...(lines.length === 0 ? [] : ["caused by:"]), current.stack ?? current.message);
  }
  return lines;
}

/** Text that came from elsewhere loses its control characters before it meets a terminal; tab and newline stay. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "\ufffd");
}

function red(text: string, style: ErrorStyle): string {
  return styleText("red", text, { stream: style.stream });
}
