/**
 * The program that starts a container: a spec and a root file system in, operations out. Pure but for looking at bind
 * sources (file or folder). The parent stays and supervises; the child becomes the container's pid 1.
 */
import type { RuntimeSpec } from "../../../oci/runtime-spec.ts";
import { parentsToRemove } from "../../cgroup/cgroup.ts";
import type { NetworkMode, Rootfs } from "../../driver.ts";
import { at, builtin, label, type Op, recordTypes, space, struct, syscall, text } from "../../launcher-program.ts";
import * as linux from "../../linux-constants.ts";
import type { SyscallArch } from "../../syscall-table.ts";
import { deviceRuleOps } from "./device-rules.ts";
import {
  emptyFolderOps,
  type MountStep,
  maskedPathOps,
  mountAttr,
  mountOps,
  openHow,
  readonlyPathOps,
} from "./mounts.ts";
import { processOps } from "./process.ts";
import { CHILD_SYNC_FD, registers } from "./registers.ts";
import { type ContainerPaths, rootOps } from "./root.ts";
import { giveTerminal, takeTerminal } from "./terminal.ts";

export interface StartPlan {
  readonly spec: RuntimeSpec;
  readonly rootfs: Rootfs;
  readonly paths: ContainerPaths;
  readonly mounts: readonly MountStep[];
  readonly network: NetworkMode["kind"];
  readonly arch: SyscallArch;
  readonly init: boolean;
  readonly id: string;
  /** Descriptors 0–2 that become the container's own /dev/null. */
  readonly nullStdio: readonly number[];
  readonly ownedStdio: readonly number[];
  /** v1: files that take a `0` from whoever joins. */
  readonly cgroupProcs: readonly string[];
  /** All that were made for the container. */
  readonly cgroupFolders: readonly string[];
  /** v2: the folder to be born in. */
  readonly cgroupFolder: string | undefined;
  readonly exitFile: string | undefined;
}

export function startProgram(plan: StartPlan): Op[] {
  const terminal = plan.spec.process.terminal === true;
  return [
    ...parentBeforeClone(plan),
    ...child(plan),
    ...superviseOps({
      terminal,
      exitFile: plan.exitFile !== undefined,
      cgroupFolders: plan.cgroupFolders,
    }),
  ];
}

const cloneFlags = {
  pid: linux.CLONE_NEWPID,
  mount: linux.CLONE_NEWNS,
  ipc: linux.CLONE_NEWIPC,
  uts: linux.CLONE_NEWUTS,
} as const satisfies Record<string, number>;

function namespaceFlags(plan: StartPlan): number {
  let flags = linux.CLONE_PIDFD;
  for (const { type, path } of plan.spec.linux.namespaces) {
    if (type in cloneFlags && path === undefined) flags += cloneFlags[type as keyof typeof cloneFlags];
  }
  return plan.network === "host" ? flags : flags + linux.CLONE_NEWNET;
}

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

function parentBeforeClone(plan: StartPlan): Op[] {
  return [
    ...beginLauncher(),
    ...(plan.exitFile === undefined
      ? []
      : [
          syscall(
            "openat",
            [
              linux.AT_FDCWD,
              text(plan.exitFile),
              linux.O_WRONLY | linux.O_CREAT | linux.O_TRUNC | linux.O_CLOEXEC,
              0o600,
            ],
            { into: registers.exitFile, doing: `opening ${plan.exitFile}` },
          ),
        ]),
    ...deviceRuleOps(plan.cgroupFolder, plan.spec.linux.resources?.devices ?? [], plan.arch),
    ...makeSync(),
    ...cloneOps({
      flags: namespaceFlags(plan),
      cgroupFolder: plan.cgroupFolder,
      arch: plan.arch,
      doing: "making the container's namespaces",
      beforeClone: joinNamespaces(plan.spec),
    }),
  ];
}

/** Namespaces that exist already and are named by path. */
function joinNamespaces(spec: RuntimeSpec): Op[] {
  return spec.linux.namespaces.flatMap(({ type, path }) => {
    if (path === undefined) return [];
    const doing = `joining the ${type} namespace ${path}`;
    return [
      syscall("openat", [linux.AT_FDCWD, text(path), linux.O_CLOEXEC], { into: registers.scratch, doing }),
      syscall("setns", [registers.scratch, 0], { doing }),
      syscall("close", [registers.scratch], { doing }),
    ];
  });
}

function child(plan: StartPlan): Op[] {
  const { spec, arch } = plan;
  const terminal = spec.process.terminal === true;
  return [
    ...plan.cgroupProcs.flatMap(joinCgroup),
    ...(hasNamespace(spec, "cgroup")
      ? // After joining: the namespace's root is the cgroup one is in at this moment.
        [syscall("unshare", [linux.CLONE_NEWCGROUP], { doing: "making the cgroup namespace" })]
      : []),
    ...sessionOps(plan.id),
    syscall("umask", [0], { doing: "setting the umask" }),
    separateMounts(propagationOf(spec)),
    ...rootOps(plan.rootfs, plan.paths, arch),
    ...plan.mounts.flatMap((step, index) => mountOps(step, index, spec, arch)),
    ...(plan.network === "host" ? [] : loopbackUp()),
    ...plan.nullStdio.flatMap(nullStdio),
    ...(terminal ? giveTerminal(spec.process, { console: true }) : []),
    ...(plan.network === "attached" || terminal ? waitForGo() : []),
    ...sysctlOps(spec),
    ...oomScoreOps(spec),
    ...spec.linux.readonlyPaths.flatMap(readonlyPathOps),
    ...(spec.linux.maskedPaths.length > 0 ? emptyFolderOps(plan.paths.maskDir) : []),
    ...spec.linux.maskedPaths.flatMap((path, index) => maskedPathOps(path, index, arch)),
    ...(spec.root.readonly === true
      ? [
          syscall(
            "mount_setattr",
            [registers.root, text(""), linux.AT_EMPTY_PATH, mountAttr(linux.MOUNT_ATTR_RDONLY, 0), 32],
            { doing: "making the root file system read-only" },
          ),
        ]
      : []),
    ...pivotOps(),
    ...hostnameOps(spec),
    ...processOps({
      process: spec.process,
      seccomp: spec.linux.seccomp,
      arch,
      init: plan.init,
      ownedStdio: plan.ownedStdio,
    }),
  ];
}

function hasNamespace(spec: RuntimeSpec, type: string): boolean {
  return spec.linux.namespaces.some((namespace) => namespace.type === type && namespace.path === undefined);
}

/** Nothing may propagate to the host, and pivot_root refuses a shared parent. */
export function separateMounts(propagation: number): Op {
  return syscall("mount", [0, text("/"), 0, linux.MS_REC | propagation, 0], {
    doing: "separating the mounts from the host's",
  });
}

function propagationOf(spec: RuntimeSpec): number {
  return /private/.test(spec.linux.rootfsPropagation ?? "") ? linux.MS_PRIVATE : linux.MS_SLAVE;
}

/** `0` means whoever writes it, so no pid has to be known. */
function joinCgroup(procs: string): Op[] {
  const doing = `joining the cgroup ${procs}`;
  return [
    syscall("openat", [linux.AT_FDCWD, text(procs), linux.O_WRONLY | linux.O_CLOEXEC], {
      into: registers.scratch,
      doing,
    }),
    syscall("write", [registers.scratch, text("0"), 1], { doing }),
    syscall("close", [registers.scratch], { doing }),
  ];
}

/** Session keyrings are in no namespace: the caller's keys would be inherited. */
export function sessionOps(id: string): Op[] {
  return [
    syscall("setsid", [], { doing: "making a session" }),
    syscall("keyctl", [linux.KEYCTL_JOIN_SESSION_KEYRING, text(`_tsbuild.${id.slice(0, 64)}`), 0, 0, 0], {
      tolerate: ["ENOSYS", "EPERM", "EDQUOT", "EACCES"],
      doing: "making a session keyring",
    }),
  ];
}

export function loopbackUp(): Op[] {
  const doing = "bringing up the loopback interface";
  const request = Buffer.alloc(40);
  request.write("lo", 0, "latin1");
  request.writeUInt16LE(linux.IFF_UP_RUNNING, 16);
  return [
    syscall("socket", [linux.AF_INET, linux.SOCK_DGRAM | linux.SOCK_CLOEXEC, 0], { into: registers.scratch, doing }),
    syscall("ioctl", [registers.scratch, linux.SIOCSIFFLAGS, struct(request, "{lo, IFF_UP}")], { doing }),
    syscall("close", [registers.scratch], { doing }),
  ];
}

/** The container's own /dev/null: the host's would be a way to its mount. */
function nullStdio(fd: number): Op[] {
  const doing = "opening /dev/null";
  return [
    syscall("openat", [registers.dev, text("null"), linux.O_RDWR | linux.O_CLOEXEC], {
      into: registers.scratch,
      doing,
    }),
    syscall("dup3", [registers.scratch, fd, 0], { doing }),
    syscall("close", [registers.scratch], { doing }),
  ];
}

/** READY … GO: someone outside acts while we wait. The launcher closing its end ends us. */
export function waitForGo(): Op[] {
  const doing = "waiting for the one who starts us";
  return [
    syscall("write", [CHILD_SYNC_FD, text("R"), 1], { doing }),
    syscall("read", [CHILD_SYNC_FD, space(8, "byte"), 1], { jump: { when: "positive", to: "go" }, doing }),
    builtin("exit", [32], { doing }),
    label("go"),
  ];
}

/** Through the mount we made ourselves, and nothing else (CVE-2025-52881): a volume there is not followed. */
function sysctlOps(spec: RuntimeSpec): Op[] {
  return Object.entries(spec.linux.sysctl ?? {}).flatMap(([key, value]) => {
    const doing = `setting ${key}`;
    const path = `sys/${key.replaceAll(".", "/")}`;
    return [
      syscall("openat2", [registers.proc, text(path), procWrite, 24], { into: registers.scratch, doing }),
      syscall("write", [registers.scratch, text(value), Buffer.byteLength(value)], { doing }),
      syscall("close", [registers.scratch], { doing }),
    ];
  });
}

const procWrite = openHow(
  linux.O_WRONLY | linux.O_CLOEXEC,
  linux.RESOLVE_BENEATH | linux.RESOLVE_NO_XDEV | linux.RESOLVE_NO_SYMLINKS,
);

function oomScoreOps(spec: RuntimeSpec): Op[] {
  const score = spec.process.oomScoreAdj;
  if (score === undefined) return [];
  const doing = "setting oom_score_adj";
  return [
    syscall("openat2", [registers.proc, text("1/oom_score_adj"), procWrite, 24], { into: registers.scratch, doing }),
    syscall("write", [registers.scratch, text(String(score)), String(score).length], { doing }),
    syscall("close", [registers.scratch], { doing }),
  ];
}

/** pivot_root(2), "pivot_root(".", ".")": the old root lies on top of the new one and is taken away. */
function pivotOps(): Op[] {
  const doing = "changing the root";
  return [
    syscall("fchdir", [registers.root], { doing }),
    syscall("pivot_root", [text("."), text(".")], { doing }),
    syscall("umount2", [text("."), linux.MNT_DETACH], { doing }),
    syscall("chdir", [text("/")], { doing }),
  ];
}

function hostnameOps(spec: RuntimeSpec): Op[] {
  const name = (call: string, value: string | undefined): Op[] =>
    value === undefined
      ? []
      : [syscall(call, [text(value), Buffer.byteLength(value)], { doing: `setting the name ${value}` })];
  return [...name("sethostname", spec.hostname), ...name("setdomainname", spec.domainname)];
}

export interface SupervisePlan {
  readonly terminal: boolean;
  readonly exitFile: boolean;
  /** Control groups to remove at the end, should their owner not have done it. */
  readonly cgroupFolders: readonly string[];
}

/** From `parentGoes` on: stdio is the child's alone, and all that is left is to wait. */
export function superviseOps({ terminal, exitFile, cgroupFolders }: SupervisePlan): Op[] {
  const doing = "supervising";
  return [
    label("parentGoes"),
    syscall("close", [registers.childSync], { doing }),
    syscall("close_range", [0, 2, 0], { doing }),
    builtin("report", [recordTypes.pid, 0, registers.child]),
    ...(terminal ? takeTerminal() : []),
    builtin("supervise", [
      registers.child,
      registers.pidfd,
      registers.parentSync,
      exitFile ? registers.exitFile : -1,
      terminal ? registers.ptyMaster : -1,
    ]),
    ...removeCgroups(cgroupFolders),
    builtin("exit", [0], { exitCode: 0 }),
  ];
}

const REMOVE_ROUNDS = 4;

/**
 * For kill -9 of whoever started us; in all other cases they are gone already. A group is busy for a moment after its
 * last process: then all are tried again.
 */
function removeCgroups(folders: readonly string[]): Op[] {
  if (folders.length === 0) return [];
  const doing = "removing control groups";
  const pause = Buffer.alloc(16);
  pause.writeBigUInt64LE(20_000_000n, 8);
  const remove = (folder: string): readonly Parameters<typeof syscall>[1][number][] => [
    linux.AT_FDCWD,
    text(folder),
    linux.AT_REMOVEDIR,
  ];
  const rounds = Array.from({ length: REMOVE_ROUNDS }, (_, round) => [
    ...folders.map((folder) =>
      syscall("unlinkat", remove(folder), {
        tolerate: ["EBUSY", "ENOENT", "EACCES", "EROFS"],
        jump: { when: "first", to: `groupsBusy${round}` },
        doing,
      }),
    ),
    syscall("getpid", [], { jump: { when: "always", to: "groupsGone" }, doing }),
    label(`groupsBusy${round}`),
    syscall("nanosleep", [struct(pause, "{20 ms}"), 0], { tolerate: "all", doing }),
  ]);
  return [
    ...rounds.flat(),
    label("groupsGone"),
    ...parentsToRemove(folders).map((parent) => syscall("unlinkat", remove(parent), { tolerate: "all", doing })),
  ];
}
