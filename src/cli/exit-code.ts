/** One function from what went wrong to what the shell sees. */
import { constants } from "node:os";
import { TsbuildError } from "../errors.ts";

export interface FailureCodes {
  /** 125 for `run`, `create` and `exec`. */
  readonly failureCode?: 125;
}

/** EX_SOFTWARE: a defect of tsbuild. */
export const defectCode = 70;

export function exitCodeOf(error: unknown, command: FailureCodes): number {
  if (!(error instanceof TsbuildError)) return isSystemError(error) ? (command.failureCode ?? 1) : defectCode;
  switch (error.code) {
    case "USAGE":
      return command.failureCode ?? 2;
    case "TEMPLATE_INVALID":
      return 64;
    case "COMMAND_NOT_EXECUTABLE":
      return command.failureCode === undefined ? 1 : 126;
    case "COMMAND_NOT_FOUND":
      return command.failureCode === undefined ? 1 : 127;
    default:
      return command.failureCode ?? 1;
  }
}

export function signalExitCode(signal: string): number {
  const numbers: Readonly<Record<string, number>> = constants.signals;
  return 128 + (numbers[signal] ?? 0);
}

/** A failure of the machine that reached us as Node raised it: it has an errno and a system call. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "code" in error && "syscall" in error && typeof error.code === "string";
}
