/** From a failed operation to an error a person can act on. */
import type { TsbuildError } from "../../../errors.ts";
import { errnoName } from "../../../kernel/libc.ts";
import type { Op } from "../../launcher-program.ts";
import { commandNotExecutable, commandNotFound, runtimeFailed } from "../errors.ts";

const sentences: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EAGAIN: "no more processes are allowed here",
  EEXIST: "it exists already",
  EINVAL: "the kernel refuses it as invalid",
  EISDIR: "it is a directory",
  ELOOP: "a symbolic link is in the way",
  ENOENT: "no such file or directory",
  ENOEXEC: "not a program for this machine (or a script without #!)",
  ENOMEM: "not enough memory",
  ENOSPC: "no space left, or a limit on namespaces or mounts is reached",
  ENOSYS: "this kernel (or a filter around us) does not have the system call",
  ENOTDIR: "a part of the path is not a directory",
  EPERM: "not permitted",
  ETXTBSY: "the program is being written to",
  E2BIG: "arguments and environment are too long",
  EPIPE: "the launcher has ended",
};

export function errnoText(errno: number): string {
  const name = errnoName(errno);
  const sentence = sentences[name];
  return sentence === undefined ? name : `${sentence} (${name})`;
}

/** `op` is undefined when the launcher refused the program as a whole. */
export function explainFailure(op: Op | undefined, errno: number, args: readonly string[]): TsbuildError {
  if (op === undefined || op.kind === "label")
    return runtimeFailed(`the launcher refused its program: ${errnoText(errno)}`);
  const command = args[0] ?? "";
  if (op.exitCode === 127) return commandNotFound(command, notFoundReason(command));
  if (op.exitCode === 126 && op.doing.startsWith("executing ")) return commandNotExecutable(command, errnoText(errno));
  return runtimeFailed(`${op.doing}: ${errnoText(errno)}`);
}

function notFoundReason(command: string): string {
  return command.includes("/")
    ? "no such file in the image (or the interpreter that it names is missing)"
    : "not found in the PATH of the image";
}
