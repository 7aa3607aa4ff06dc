/**
 * What every program of ours begins with: a launcher without signals, a channel between it and its child, the clone.
 * The child goes on behind `cloneOps`, the launcher at `superviseOps`.
 */
import { at, builtin, label, type Op, space, struct, syscall, text } from "../../launcher-program.ts";
import * as linux from "../../linux-constants.ts";
import type { SyscallArch } from "../../syscall-table.ts";
import { CHILD_SYNC_FD, registers } from "./registers.ts";

/**
 * What every launcher begins with. The child inherits the mask and clears it just before execve; the launcher itself
 * lives without signals. What is ignored would be inherited up to the command: SIGPIPE and SIGXFSZ by Node, SIGHUP
 * under nohup, SIGINT and SIGQUIT in a shell's background, and by posix_spawn the two that glibc keeps for itself.
 */
export function beginLauncher(): Op[] {
  const doing = "setting up the launcher";
  const ignoredSomewhere = [1, 2, 3, 13, 15, 20, 21, 22, 25, 32, 33];
  const allSignals = struct(Buffer.alloc(8, 0xff), "all signals");
  return [
    syscall("rt_sigprocmask", [linux.SIG_SETMASK, allSignals, 0, 8], { doing }),
    ...ignoredSomewhere.map((signal) =>
      syscall("rt_sigaction", [signal, struct(Buffer.alloc(32), "SIG_DFL"), 0, 8], { doing }),
    ),
    // Else a launcher that lives long keeps the folder it was started from busy.
    syscall("chdir", [text("/")], { doing }),
  ];
}

export function makeSync(): Op[] {
  const pair = space(8, "sync");
  const doing = "making the channel to the child";
  return [
    syscall("socketpair", [linux.AF_UNIX, linux.SOCK_STREAM | linux.SOCK_CLOEXEC, 0, pair], { doing }),
    builtin("load32", [pair], { into: registers.parentSync }),
    builtin("load32", [at(pair, 4)], { into: registers.childSync }),
  ];
}

export interface ClonePlan {
  readonly flags: number;
  /** v2: the child is born in this cgroup. */
  readonly cgroupFolder: string | undefined;
  readonly arch: SyscallArch;
  readonly doing: string;
  /** After the cgroup has been opened by its path on the host. */
  readonly beforeClone: readonly Op[];
}

/** clone3 with a pidfd: the child goes on behind these operations, the parent at `parentGoes`. */
export function cloneOps({ flags, cgroupFolder, arch, doing, beforeClone }: ClonePlan): Op[] {
  const bytes = Buffer.alloc(88);
  bytes.writeBigUInt64LE(BigInt(flags + (cgroupFolder === undefined ? 0 : linux.CLONE_INTO_CGROUP)), 0);
  bytes.writeBigUInt64LE(BigInt(linux.SIGCHLD), 32);
  const pidfd = space(8, "pidfd");
  const args = struct(bytes, `{flags 0x${flags.toString(16)}, SIGCHLD}`, [{ at: 8, to: pidfd }]);
  const openCgroup: Op[] =
    cgroupFolder === undefined
      ? []
      : [
          syscall(
            "openat",
            [linux.AT_FDCWD, text(cgroupFolder), linux.O_PATH | linux.O_CLOEXEC | linux.directoryFlag(arch)],
            { into: registers.cgroup, doing: `opening the cgroup ${cgroupFolder}` },
          ),
          builtin("store32", [at(args, 80), registers.cgroup]),
        ];
  return [
    ...openCgroup,
    ...beforeClone,
    syscall("clone3", [args, 88], { into: registers.child, jump: { when: "positive", to: "parent" }, doing }),
    // The child's copy of the parent's end would keep the stream open for ever.
    syscall("close", [registers.parentSync], { doing }),
    syscall("dup3", [registers.childSync, CHILD_SYNC_FD, linux.O_CLOEXEC], { doing }),
    syscall("close", [registers.childSync], { doing }),
    // Dies with the launcher; set again at the end, because a change of credentials clears it.
    syscall("prctl", [linux.PR_SET_PDEATHSIG, linux.SIGKILL, 0, 0, 0], { doing }),
    // Nobody may look into our memory and descriptors while we are still half the host's (CVE-2016-9962).
    syscall("prctl", [linux.PR_SET_DUMPABLE, 0, 0, 0, 0], { jump: { when: "always", to: "childGoes" }, doing }),
    label("parent"),
    builtin("load32", [pidfd], { into: registers.pidfd, jump: { when: "always", to: "parentGoes" } }),
    label("childGoes"),
  ];
}
