/**
 * The launcher as something to execute: a sealed copy in memory. Container root that reopens /proc/<pid>/exe finds
 * nothing it could write to (CVE-2019-5736), and the permissions of the installation do not matter.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { check, errno, libc } from "../../../kernel/libc.ts";
import { programFolder } from "../../../program-file.ts";
import { launcherMissing, runtimeFailed } from "../errors.ts";

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const MFD_EXEC = 0x10;
const F_ADD_SEALS = 1033;
const SEAL_ALL = 0x1 | 0x2 | 0x4 | 0x8; // seal, shrink, grow, write

let executable: string | undefined;

/**
 * A path to give to spawn; valid for as long as this process lives.
 * @throws {TsbuildError} `RUNTIME_FAILED` when the launcher has not been built.
 */
export function launcherExecutable(): string {
  executable ??= makeExecutable(launcherPath());
  return executable;
}

function launcherPath(): string {
  const path = join(programFolder(), `launcher-${process.arch}`);
  if (!existsSync(path)) throw launcherMissing(process.arch);
  return path;
}

function makeExecutable(path: string): string {
  const fd = createMemfd();
  // vm.memfd_noexec=2 forbids executable memory files: then the file itself, if nobody but root could change it.
  if (fd === -errno.EACCES || fd === -errno.ENOSYS) return trustedFile(path);
  check(fd, "making a memory file for the launcher");
  const bytes = readFileSync(path);
  check(libc("write", fd, bytes, bytes.length), "copying the launcher");
  check(libc("fcntlNumber", fd, F_ADD_SEALS, SEAL_ALL), "sealing the launcher");
  return `/proc/${process.pid}/fd/${fd}`;
}

function createMemfd(): number {
  const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  const fd = libc("memfd_create", "tsbuild-launcher", flags | MFD_EXEC);
  // Before 6.3 the flag is unknown.
  return fd === -errno.EINVAL ? libc("memfd_create", "tsbuild-launcher", flags) : fd;
}

function trustedFile(path: string): string {
  const stat = statSync(path);
  if (stat.uid !== 0 || (stat.mode & 0o022) !== 0) {
    throw runtimeFailed(`memory files are not executable here, and ${path} may be changed by others than root`);
  }
  return path;
}
