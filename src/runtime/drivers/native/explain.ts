/** From a failed operation to an error a person can act on. */
import { statfsSync } from "node:fs";
import type { TsbuildError } from "../../../errors.ts";
import { errnoName } from "../../../kernel/libc.ts";
import { commandNotExecutable, commandNotFound, runtimeFailed } from "../errors.ts";
import type { Failure } from "./launch.ts";
import { overlayDoing } from "./root.ts";

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

/** `upperdir`: of the overlay that is the container's root, if there is one. */
export function explainFailure(
  { op, errno, head }: Failure,
  args: readonly string[],
  upperdir?: string | undefined,
): TsbuildError {
  if (op === undefined || op.kind === "label") {
    return runtimeFailed(`the launcher refused its program: ${errnoText(errno)}`);
  }
  const command = args[0] ?? "";
  if (!op.doing.startsWith("executing ")) {
    const what = `${op.doing}: ${errnoText(errno)}`;
    if (op.exitCode === 126) return commandNotExecutable(command, what);
    return runtimeFailed(what, op.doing.startsWith(overlayDoing) ? overlayHint(upperdir) : needsHint(errno));
  }
  if (head !== undefined) return explainHead(command, head);
  if (op.exitCode === 127) return commandNotFound(command, notFoundReason(command));
  return commandNotExecutable(command, errnoText(errno));
}

const overlayMagic = 0x794c7630;

/** The commonest reason for which an overlay is refused: the store lies in a container's own root. */
function overlayHint(upperdir: string | undefined): string | undefined {
  if (upperdir === undefined || statfsSync(upperdir).type !== overlayMagic) return undefined;
  return "the store lies on an overlay itself, which cannot carry another: name a folder of ext4, xfs, btrfs or tmpfs with --root, such as a volume";
}

function needsHint(errno: number): string | undefined {
  return errnoName(errno) === "EPERM" ? "inside another container, that one must be privileged" : undefined;
}

function notFoundReason(command: string): string {
  return command.includes("/") ? "no such file in the image" : "not found in the PATH of the image";
}

/** ELF's e_machine by the names of Node; source: elf(5). */
const machines = new Map([
  [3, "ia32"],
  [20, "ppc"],
  [21, "ppc64"],
  [22, "s390x"],
  [40, "arm"],
  [62, "x64"],
  [183, "arm64"],
  [243, "riscv64"],
  [258, "loong64"],
]);

/** The file is there, and still the kernel did not run it: what it begins with says why. */
function explainHead(command: string, head: Buffer): TsbuildError {
  if (head.toString("latin1", 0, 2) === "#!") {
    const interpreter = head.toString("utf8", 2).split("\n")[0]?.trim().split(/\s+/)[0] ?? "";
    return commandNotFound(command, `its interpreter ${interpreter} is not in the image`);
  }
  if (head.toString("latin1", 0, 4) !== "\x7fELF" || head.length < 64) {
    return commandNotExecutable(command, "exec format error: neither a program nor a script that begins with #!");
  }
  const machine = head.readUInt16LE(18);
  const name = machines.get(machine) ?? `machine ${machine}`;
  if (name !== process.arch) {
    return commandNotExecutable(
      command,
      `exec format error: it is a program for ${name}, this machine is ${process.arch}`,
      "programs of other machines run with QEMU: apt-get install qemu-user-static binfmt-support",
    );
  }
  return commandNotFound(command, `its loader ${loaderOf(head) ?? "(of another C library)"} is not in the image`);
}

/** PT_INTERP of a 64-bit little-endian ELF file, if it lies in the part we have. */
function loaderOf(head: Buffer): string | undefined {
  const table = Number(head.readBigUInt64LE(32));
  const size = head.readUInt16LE(54);
  const count = head.readUInt16LE(56);
  for (let index = 0; index < count; index += 1) {
    const entry = table + index * size;
    if (entry + 56 > head.length) return undefined;
    if (head.readUInt32LE(entry) !== 3) continue;
    const offset = Number(head.readBigUInt64LE(entry + 8));
    const end = head.indexOf(0, offset);
    return end < 0 ? undefined : head.toString("utf8", offset, end);
  }
  return undefined;
}
