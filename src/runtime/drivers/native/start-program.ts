/**
 * The program that starts a container: a spec and a root file system in, operations out. Pure but for looking at bind
 * sources (file or folder). The parent stays and supervises; the child becomes the container's pid 1.
 */
import type { RuntimeSpec } from "../../../oci/runtime-spec.ts";
import type { NetworkMode, Rootfs } from "../../driver.ts";
import { builtin, label, type Op, space, struct, syscall, text } from "../../launcher-program.ts";
import * as linux from "../../linux-constants.ts";
import type { SyscallArch } from "../../syscall-table.ts";
import { beginLauncher, cloneOps, makeSync } from "./clone.ts";
import { deviceRuleOps } from "./device-rules.ts";
import { emptyFolderOps, maskedPathOps, readonlyPathOps } from "./masks.ts";
import type { MountStep } from "./mount-steps.ts";
import { mountAttr, openHow } from "./mount-structs.ts";
import { mountOps } from "./mounts.ts";
import { processOps } from "./process.ts";
import { CHILD_SYNC_FD, registers } from "./registers.ts";
import { type ContainerPaths, rootOps } from "./root.ts";
import { superviseOps } from "./supervise.ts";
import { giveTerminal } from "./terminal.ts";

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
  /** Someone acts before the root changes, and before the command. */
  readonly waits: { readonly whenCreated: boolean; readonly beforeCommand: boolean };
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
    ...(plan.waits.whenCreated || plan.waits.beforeCommand || terminal ? waitForGo() : []),
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
    ...(plan.waits.beforeCommand ? waitForGo("goOn") : []),
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
export function waitForGo(go = "go"): Op[] {
  const doing = "waiting for the one who starts us";
  return [
    syscall("write", [CHILD_SYNC_FD, text("R"), 1], { doing }),
    syscall("read", [CHILD_SYNC_FD, space(8, "byte"), 1], { jump: { when: "positive", to: go }, doing }),
    builtin("exit", [32], { doing }),
    label(go),
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

/** The same for `self`, which is a link: in a shared pid namespace our number is not 1. */
const ownProcWrite = openHow(
  linux.O_WRONLY | linux.O_CLOEXEC,
  linux.RESOLVE_BENEATH | linux.RESOLVE_NO_XDEV | linux.RESOLVE_NO_MAGICLINKS,
);

function oomScoreOps(spec: RuntimeSpec): Op[] {
  const score = spec.process.oomScoreAdj;
  if (score === undefined) return [];
  const doing = "setting oom_score_adj";
  return [
    syscall("openat2", [registers.proc, text("self/oom_score_adj"), ownProcWrite, 24], {
      into: registers.scratch,
      doing,
    }),
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
