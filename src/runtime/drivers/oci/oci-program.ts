/**
 * The program around an installed OCI runtime. It makes a mount and a pid namespace, mounts the overlay there, and
 * executes the runtime as pid 1: so neither the mount nor any process can outlive it, however it ends.
 */
import type { RuntimeSpec } from "../../../oci/runtime-spec.ts";
import type { NetworkMode, Rootfs } from "../../driver.ts";
import { type Op, stringTable, syscall, text } from "../../launcher-program.ts";
import * as linux from "../../linux-constants.ts";
import type { SyscallArch } from "../../syscall-table.ts";
import { beginLauncher, cloneOps, makeSync } from "../native/clone.ts";
import { openHow } from "../native/mount-structs.ts";
import { moveMount } from "../native/move-mount.ts";
import { bindToLauncher, closeOnExec, unblockSignals } from "../native/process.ts";
import { registers } from "../native/registers.ts";
import { type RootPaths, rootOps } from "../native/root.ts";
import { loopbackUp, separateMounts, waitForGo } from "../native/start-program.ts";
import { superviseOps } from "../native/supervise.ts";
import { giveTerminal } from "../native/terminal.ts";

export interface OciPlan {
  readonly spec: RuntimeSpec;
  readonly rootfs: Rootfs;
  readonly paths: RootPaths;
  readonly network: NetworkMode["kind"];
  readonly arch: SyscallArch;
  /** Absolute. */
  readonly runtime: string;
  readonly args: readonly string[];
  readonly exitFile: string | undefined;
  readonly cgroupFolders: readonly string[];
}

export function ociProgram(plan: OciPlan): Op[] {
  const { spec, arch } = plan;
  const terminal = spec.process.terminal === true;
  const ownNetwork = plan.network === "host" ? 0 : linux.CLONE_NEWNET;
  return [
    ...beginLauncher(),
    ...openExitFile(plan.exitFile),
    ...makeSync(),
    ...cloneOps({
      flags: linux.CLONE_PIDFD + linux.CLONE_NEWNS + linux.CLONE_NEWPID + ownNetwork,
      cgroupFolder: undefined,
      arch,
      doing: "making the namespaces around the runtime",
      beforeClone: [],
    }),
    syscall("setsid", [], { doing: "making a session" }),
    separateMounts(linux.MS_PRIVATE),
    ...rootOps(plan.rootfs, plan.paths, arch),
    ...ownProc(arch),
    ...(ownNetwork === 0 ? [] : [...loopbackUp(), ...networkSysctls(spec)]),
    ...(terminal ? [...openPts(arch), ...giveTerminal(spec.process, { console: false })] : []),
    ...(terminal || plan.network === "attached" ? waitForGo() : []),
    syscall("umask", [0o022], { doing: "setting the umask" }),
    ...closeOnExec(),
    ...bindToLauncher(),
    unblockSignals(),
    syscall(
      "execve",
      [
        text(plan.runtime),
        stringTable([plan.runtime, ...plan.args], "argv"),
        stringTable(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "envp"),
      ],
      { doing: `running ${plan.runtime}` },
    ),
    ...superviseOps({
      terminal,
      exitFile: plan.exitFile !== undefined,
      cgroupFolders: plan.cgroupFolders,
    }),
  ];
}

function openExitFile(exitFile: string | undefined): Op[] {
  if (exitFile === undefined) return [];
  const flags = linux.O_WRONLY | linux.O_CREAT | linux.O_TRUNC | linux.O_CLOEXEC;
  return [
    syscall("openat", [linux.AT_FDCWD, text(exitFile), flags, 0o600], {
      into: registers.exitFile,
      doing: `opening ${exitFile}`,
    }),
  ];
}

/** The runtime looks at its own and its container's pids, which are those of the new namespace. */
function ownProc(arch: SyscallArch): Op[] {
  const doing = "mounting proc for the runtime";
  const flags = linux.O_PATH | linux.O_CLOEXEC | linux.directoryFlag(arch);
  return [
    syscall("fsopen", [text("proc"), linux.FSOPEN_CLOEXEC], { into: registers.scratch, doing }),
    syscall("fsconfig", [registers.scratch, linux.FSCONFIG_CMD_CREATE, 0, 0, 0], { doing }),
    syscall("fsmount", [registers.scratch, linux.FSMOUNT_CLOEXEC, 0], { into: registers.mount, doing }),
    syscall("openat2", [linux.AT_FDCWD, text("/proc"), openHow(flags, linux.RESOLVE_NO_SYMLINKS), 24], {
      into: registers.target,
      doing,
    }),
    ...moveMount(doing),
  ];
}

/** The runtime takes our network namespace for the host's, and would refuse to change it. */
function networkSysctls(spec: RuntimeSpec): Op[] {
  return Object.entries(spec.linux.sysctl ?? {})
    .filter(([key]) => key.startsWith("net."))
    .flatMap(([key, value]) => {
      const doing = `setting ${key}`;
      const path = `/proc/sys/${key.replaceAll(".", "/")}`;
      return [
        syscall("openat", [linux.AT_FDCWD, text(path), linux.O_WRONLY | linux.O_CLOEXEC], {
          into: registers.scratch,
          doing,
        }),
        syscall("write", [registers.scratch, text(value), Buffer.byteLength(value)], { doing }),
        syscall("close", [registers.scratch], { doing }),
      ];
    });
}

/** The terminal that the runtime sees is the host's; it makes one in the container and copies between them. */
function openPts(arch: SyscallArch): Op[] {
  const flags = linux.O_PATH | linux.O_CLOEXEC | linux.directoryFlag(arch);
  return [
    syscall("openat2", [linux.AT_FDCWD, text("/dev/pts"), openHow(flags, 0), 24], {
      into: registers.pts,
      doing: "opening /dev/pts",
    }),
  ];
}
