/**
 * The program that starts a further process in a running container: setns(2) on its pid 1, all namespaces in one call,
 * then the same way to the command as the first process went.
 */
import type { ExecRequest } from "../../driver.ts";
import { type Op, register, syscall, text } from "../../launcher-program.ts";
import * as linux from "../../linux-constants.ts";
import type { SyscallArch } from "../../syscall-table.ts";
import { beginLauncher, cloneOps, makeSync } from "./clone.ts";
import { openHow } from "./mount-structs.ts";
import { processOps } from "./process.ts";
import { registers } from "./registers.ts";
import { sessionOps, waitForGo } from "./start-program.ts";
import { superviseOps } from "./supervise.ts";
import { giveTerminal } from "./terminal.ts";

export interface ExecPlan {
  readonly request: ExecRequest;
  /** What is executed, where that is not the first argument. */
  readonly file?: string | undefined;
  readonly arch: SyscallArch;
  readonly ownedStdio: readonly number[];
  /** v1: files that take a `0` from whoever joins. */
  readonly cgroupProcs: readonly string[];
  /** v2: the folder to be born in. */
  readonly cgroupFolder: string | undefined;
}

/** The descriptor at which the launcher finds the pidfd of the container's pid 1. */
export const CONTAINER_PIDFD = 4;

/** Kept open over setns: behind it the host's paths are gone. */
const FIRST_CGROUP_REGISTER = 20;
const MAX_CGROUP_FILES = 12;

const NAMESPACES =
  linux.CLONE_NEWNS +
  linux.CLONE_NEWPID +
  linux.CLONE_NEWIPC +
  linux.CLONE_NEWUTS +
  linux.CLONE_NEWNET +
  linux.CLONE_NEWCGROUP;

export function execProgram(plan: ExecPlan): Op[] {
  const { request, arch } = plan;
  const terminal = request.process.terminal === true;
  const procs = plan.cgroupProcs.slice(0, MAX_CGROUP_FILES).map((path, index) => ({
    path,
    file: register(FIRST_CGROUP_REGISTER + index),
  }));
  return [
    ...beginLauncher(),
    // While our descriptors are still the host's, nobody in there may look at us (CVE-2016-9962).
    syscall("prctl", [linux.PR_SET_DUMPABLE, 0, 0, 0, 0], { doing: "closing ourselves to the container" }),
    ...makeSync(),
    ...procs.map(({ path, file }) =>
      syscall("openat", [linux.AT_FDCWD, text(path), linux.O_WRONLY | linux.O_CLOEXEC], {
        into: file,
        doing: `opening the cgroup ${path}`,
      }),
    ),
    // Before setns for the same reason; the clone behind it is born there.
    ...cloneOps({
      flags: linux.CLONE_PIDFD,
      cgroupFolder: plan.cgroupFolder,
      arch,
      doing: "making the process",
      beforeClone: [
        syscall("setns", [CONTAINER_PIDFD, NAMESPACES], { doing: "entering the container's namespaces" }),
        syscall("close", [CONTAINER_PIDFD], { doing: "entering the container's namespaces" }),
      ],
    }),
    ...procs.flatMap(({ path, file }) => [
      syscall("write", [file, text("0"), 1], { doing: `joining the cgroup ${path}` }),
      syscall("close", [file], { doing: `joining the cgroup ${path}` }),
    ]),
    ...sessionOps(request.containerId),
    ...(terminal ? [...openPts(arch), ...giveTerminal(request.process, { console: false }), ...waitForGo()] : []),
    ...processOps({
      process: request.process,
      file: plan.file,
      seccomp: request.linux.seccomp,
      arch,
      init: false,
      ownedStdio: plan.ownedStdio,
    }),
    ...superviseOps({ terminal, exitFile: false, cgroupFolders: [] }),
  ];
}

/** A mount point, so the container's root cannot put a symlink in its place. */
function openPts(arch: SyscallArch): Op[] {
  const flags = linux.O_PATH | linux.O_CLOEXEC | linux.directoryFlag(arch);
  return [
    syscall("openat2", [linux.AT_FDCWD, text("/dev/pts"), openHow(flags, linux.RESOLVE_NO_SYMLINKS), 24], {
      into: registers.pts,
      doing: "opening /dev/pts",
    }),
  ];
}
