/** An error as a person reads it: where, what, one hint. */
import { styleText } from "node:util";
import { TsbuildError } from "../../errors.ts";
import { DockerfileInvalid } from "../../parser/errors.ts";
import { isSystemError } from "../exit-code.ts";
import { diagnosticLines, hintLine, messageLines } from "./diagnostic.ts";
import { printable } from "./printable.ts";

export interface ErrorStyle {
  /** With the stack and the causes. */
  readonly debug: boolean;
  /** Where it will be written: decides about colour. */
  readonly stream: NodeJS.WriteStream;
}

export function renderError(error: unknown, style: ErrorStyle): string {
  const described = describe(firstOf(error), style);
  const lines = style.debug ? [...described, ...stacks(error)] : described;
  return `${lines.join("\n")}\n`;
}

/** What went wrong first; letting go may have failed because of it. */
export function firstOf(error: unknown): unknown {
  return error instanceof SuppressedError ? firstOf(error.suppressed) : error;
}

function describe(error: unknown, style: ErrorStyle): readonly string[] {
  if (error instanceof DockerfileInvalid) return describeFile(error, style);
  if (error instanceof TsbuildError) return describeOurs(error, style);
  if (isSystemError(error)) return [`${red("error:", style)} ${systemErrorText(error)}`];
  const text = error instanceof Error ? error.message : String(error);
  return [
    `${red("error:", style)} a defect of tsbuild: ${printable(text)}`,
    "   hint: please report it with the output of the same command and --debug",
  ];
}

function describeFile({ dockerfile, diagnostics, others }: DockerfileInvalid, style: ErrorStyle): readonly string[] {
  const lines = [...diagnosticLines(dockerfile, diagnostics, style.stream)];
  for (const other of others) lines.push(...(lines.length === 0 ? [] : [""]), ...describeOurs(other, style));
  return lines;
}

function describeOurs(error: TsbuildError, style: ErrorStyle): readonly string[] {
  if (error.code !== "USAGE") {
    return messageLines({ severity: "error", text: error.message, where: error.where, hint: error.hint }, style.stream);
  }
  const lines = `tsbuild: ${printable(error.message)}`.split("\n");
  return error.hint === undefined ? lines : [...lines, hintLine(error.hint)];
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
  if (error instanceof SuppressedError) {
    return [...stacks(error.suppressed), "and, when letting go:", ...stacks(error.error)];
  }
  for (let current = error; current instanceof Error; current = current.cause) {
    lines.push(...(lines.length === 0 ? [] : ["caused by:"]), current.stack ?? current.message);
  }
  return lines;
}

function red(text: string, style: ErrorStyle): string {
  return styleText("red", text, { stream: style.stream });
}
