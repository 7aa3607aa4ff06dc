/**
 * From a set-up namespace to the command: limits, filter, capabilities, user, working directory, execve. The order is
 * the whole point; each function says what it must come before.
 */
import type { ProcessSpec, SeccompSpec } from "../../../oci/runtime-spec.ts";
import {
  at,
  builtin,
  label,
  type Op,
  RECORD_BYTES,
  recordPayloads,
  recordSpace,
  type Struct,
  stringTable,
  struct,
  syscall,
  text,
} from "../../launcher-program.ts";
import * as linux from "../../linux-constants.ts";
import { seccompProgram } from "../../seccomp/compile-seccomp.ts";
import type { SyscallArch } from "../../syscall-table.ts";
import { runtimeFailed, unknownCapability } from "../errors.ts";
import { CHILD_SYNC_FD, registers } from "./registers.ts";

export const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const ERRNO = { ENOENT: 2, EACCES: 13, EPIPE: 32 } as const;

export interface ProcessPlan {
  readonly process: ProcessSpec;
  /** What is executed, where that is not the first argument. */
  readonly file?: string | undefined;
  readonly seccomp: SeccompSpec | undefined;
  readonly arch: SyscallArch;
  /** pid 1 stays ours. */
  readonly init: boolean;
  /** Descriptors 0–2 that are pipes of ours, to be given to the user, so that /dev/stdout can be opened. */
  readonly ownedStdio: readonly number[];
}

export function processOps(plan: ProcessPlan): Op[] {
  const { process } = plan;
  return [
    ...plan.ownedStdio.map((fd) =>
      syscall("fchown", [fd, process.user.uid, process.user.gid], {
        tolerate: "all",
        doing: "giving stdio to the user",
      }),
    ),
    ...rlimitOps(process),
    // Without no_new_privs a filter needs CAP_SYS_ADMIN, so it comes before capabilities go.
    ...(process.noNewPrivileges === true ? [] : seccompOps(plan)),
    ...capabilityAndUserOps(process),
    ...workingDirectoryOps(process),
    ...lastOps(plan),
    ...(plan.init ? initOps() : []),
    ...execOps(process, plan.file),
  ];
}

/** Before the user changes: raising a hard limit needs CAP_SYS_RESOURCE. */
function rlimitOps(process: ProcessSpec): Op[] {
  return (process.rlimits ?? []).map((limit) => {
    const number = linux.rlimits[limit.type];
    if (number === undefined) throw runtimeFailed(`there is no limit ${limit.type}`);
    const bytes = Buffer.alloc(16);
    bytes.writeBigUInt64LE(rlimitValue(limit.soft), 0);
    bytes.writeBigUInt64LE(rlimitValue(limit.hard), 8);
    return syscall("prlimit64", [0, number, struct(bytes, `{${limit.soft}, ${limit.hard}}`), 0], {
      doing: `setting the limit ${limit.type}`,
    });
  });
}

/** −1 is RLIM_INFINITY. */
function rlimitValue(value: number): bigint {
  return value < 0 || value >= 2 ** 63 ? 0xffffffffffffffffn : BigInt(value);
}

function seccompOps(plan: ProcessPlan): Op[] {
  if (plan.seccomp === undefined) return [];
  const filter = seccompProgram(plan.seccomp);
  const instructions = struct(filter, `<filter of ${filter.length / 8} instructions>`);
  const header = Buffer.alloc(16);
  header.writeUInt16LE(filter.length / 8, 0);
  const log = (plan.seccomp.flags ?? []).includes("SECCOMP_FILTER_FLAG_LOG") ? linux.SECCOMP_FILTER_FLAG_LOG : 0;
  return [
    syscall(
      "seccomp",
      [
        linux.SECCOMP_SET_MODE_FILTER,
        log,
        struct(header, `{${filter.length / 8}, filter}`, [{ at: 8, to: instructions }]),
      ],
      { doing: "installing the seccomp filter" },
    ),
  ];
}

export function capabilityMask(names: readonly string[]): bigint {
  let mask = 0n;
  for (const name of names) {
    const number = linux.capabilities.indexOf(name);
    if (number < 0) throw unknownCapability(name);
    mask |= 1n << BigInt(number);
  }
  return mask;
}

function capabilityAndUserOps(process: ProcessSpec): Op[] {
  const bounding = capabilityMask(process.capabilities.bounding);
  const ambient = capabilityMask(process.capabilities.ambient);
  // A user other than root has after execve what is ambient; having more before it would let chdir go where the user may not.
  const keep = process.user.uid === 0;
  const permitted = keep ? capabilityMask(process.capabilities.permitted) : ambient;
  const effective = keep ? capabilityMask(process.capabilities.effective) : ambient;
  const inheritable = capabilityMask(process.capabilities.inheritable) | ambient;
  const groups = [...new Set([process.user.gid, ...(process.user.additionalGids ?? [])])];
  const groupList = Buffer.alloc(groups.length * 4);
  for (const [index, gid] of groups.entries()) groupList.writeUInt32LE(gid, index * 4);
  const { uid, gid } = process.user;
  return [
    ...boundingOps(bounding),
    syscall("prctl", [linux.PR_SET_KEEPCAPS, 1, 0, 0, 0], { doing: "keeping capabilities over the change of user" }),
    // The primary group too (CVE-2022-36109): else giving up one's gid gives access that "other" has.
    syscall("setgroups", [groups.length, struct(groupList, `[${groups.join(", ")}]`)], { doing: "setting groups" }),
    syscall("setresgid", [gid, gid, gid], { doing: `becoming group ${gid}` }),
    syscall("setresuid", [uid, uid, uid], { doing: `becoming user ${uid}` }),
    syscall("capset", [capabilityHeader(), capabilityData(effective, permitted, inheritable)], {
      doing: "setting capabilities",
    }),
    syscall("prctl", [linux.PR_SET_KEEPCAPS, 0, 0, 0, 0], { doing: "setting capabilities" }),
    // EINVAL: a kernel before 4.3 has no ambient set.
    syscall("prctl", [linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0], {
      tolerate: ["EINVAL"],
      doing: "clearing ambient capabilities",
    }),
    ...process.capabilities.ambient.map((name) =>
      syscall("prctl", [linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_RAISE, linux.capabilities.indexOf(name), 0, 0], {
        doing: `making ${name} ambient`,
      }),
    ),
  ];
}

/** Before capset, which takes CAP_SETPCAP away. A newer kernel has more capabilities than our table: all 64 are tried. */
function boundingOps(bounding: bigint): Op[] {
  const ops: Op[] = [];
  for (let number = 0; number < 64; number += 1) {
    if ((bounding & (1n << BigInt(number))) !== 0n) continue;
    ops.push(
      syscall("prctl", [linux.PR_CAPBSET_DROP, number, 0, 0, 0], {
        // The first number the kernel does not have: there are no more.
        ...(number >= 36 ? { tolerate: ["EINVAL"], jump: { when: "negative", to: "bounded" } } : {}),
        doing: `dropping ${linux.capabilities[number] ?? `capability ${number}`} from the bounding set`,
      }),
    );
  }
  ops.push(label("bounded"));
  return ops;
}

/** `_LINUX_CAPABILITY_VERSION_3`, this process. */
function capabilityHeader(): Struct {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(0x20080522, 0);
  return struct(bytes, "{version 3}");
}

function capabilityData(effective: bigint, permitted: bigint, inheritable: bigint): Struct {
  const bytes = Buffer.alloc(24);
  for (const [index, mask] of [effective, permitted, inheritable].entries()) {
    bytes.writeUInt32LE(Number(mask & 0xffffffffn), index * 4);
    bytes.writeUInt32LE(Number(mask >> 32n), 12 + index * 4);
  }
  const hex = (mask: bigint): string => mask.toString(16);
  return struct(bytes, `{effective ${hex(effective)}, permitted ${hex(permitted)}, inheritable ${hex(inheritable)}}`);
}

/** As the user, so that a folder only root may enter stays closed. No descriptor may lead out (CVE-2024-21626). */
function workingDirectoryOps(process: ProcessSpec): Op[] {
  const doing = `entering the working directory ${process.cwd}`;
  return [
    syscall("close_range", [4, CHILD_SYNC_FD - 1, 0], { doing }),
    syscall("close_range", [CHILD_SYNC_FD + 1, 0xffffffff, 0], { doing }),
    syscall("chdir", [text(process.cwd)], { doing, exitCode: 126 }),
    builtin("cwdcheck", [], { doing, exitCode: 126 }),
  ];
}

function lastOps(plan: ProcessPlan): Op[] {
  return [
    syscall("umask", [plan.process.user.umask ?? 0o022], { doing: "setting the umask" }),
    ...closeOnExec(),
    ...bindToLauncher(),
    ...(plan.process.noNewPrivileges === true
      ? [
          syscall("prctl", [linux.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0], { doing: "giving up new privileges" }),
          ...seccompOps(plan),
        ]
      : []),
  ];
}

export function closeOnExec(): Op[] {
  return [syscall("close_range", [3, 0xffffffff, linux.CLOSE_RANGE_CLOEXEC], { doing: "closing descriptors at exec" })];
}

/** A change of credentials clears the death signal, so not before; and the launcher may have died before it. */
export function bindToLauncher(): Op[] {
  const byte = struct(Buffer.alloc(8), "byte");
  return [
    syscall("prctl", [linux.PR_SET_PDEATHSIG, linux.SIGKILL, 0, 0, 0], { doing: "tying us to the launcher" }),
    syscall("recvfrom", [CHILD_SYNC_FD, byte, 1, linux.MSG_PEEK | linux.MSG_DONTWAIT, 0, 0], {
      tolerate: "all",
      jump: { when: "negative", to: "launcherAlive" },
      doing: "looking for the launcher",
    }),
    builtin("exit", [ERRNO.EPIPE], { doing: "looking for the launcher" }),
    label("launcherAlive"),
  ];
}

export function unblockSignals(): Op {
  return syscall("rt_sigprocmask", [linux.SIG_SETMASK, struct(Buffer.alloc(8), "no signals"), 0, 8], {
    doing: "unblocking signals",
  });
}

/** The command is a child of pid 1, which stays in the launcher's code, forwards signals and reaps. */
function initOps(): Op[] {
  const doing = "starting the command below init";
  return [
    // clone, not clone3: a seccomp profile answers clone3 with ENOSYS.
    syscall("clone", [linux.SIGCHLD, 0, 0, 0, 0], {
      into: registers.child,
      jump: { when: "positive", to: "init" },
      doing,
    }),
    syscall("getpid", [], { jump: { when: "always", to: "main" }, doing }),
    label("init"),
    // Else the launcher would never see that the command was executed, nor Node that we are gone.
    syscall("close", [CHILD_SYNC_FD], { doing }),
    syscall("close", [3], { doing }),
    builtin("init", [registers.child]),
    label("main"),
  ];
}

/**
 * One execve a candidate. A candidate that may not be executed is remembered by going on in a second chain of the same
 * candidates, whose end says "not executable" (126) and not "not found" (127). At the first chain's end a candidate that
 * is there all the same (its interpreter is not, or it is for another machine) is told by how it begins.
 */
function execOps(process: ProcessSpec, file: string | undefined): Op[] {
  const [command] = [file ?? process.args[0]];
  if (command === undefined || command === "") throw runtimeFailed("there is no command");
  const doing = `executing ${command}`;
  const argv = stringTable(process.args, "argv");
  const envp = stringTable(process.env, "envp");
  const candidates = candidatesOf(command, process.env);
  const attempt = (path: string, denied: string): Op =>
    syscall("execve", [text(path), argv, envp], {
      tolerate: ["EACCES", "ENOENT", "ENOTDIR", "ENOEXEC"],
      jump: { when: "first", to: denied },
      exitCode: 126,
      doing,
    });
  return [
    unblockSignals(),
    ...candidates.map((path, index) => attempt(path, `denied${index}`)),
    ...candidates.map((path) =>
      syscall("openat", [linux.AT_FDCWD, text(path), linux.O_CLOEXEC | linux.O_NONBLOCK], {
        into: registers.scratch,
        tolerate: "all",
        jump: { when: "positive", to: "commandThere" },
        doing,
      }),
    ),
    label("notFound"),
    builtin("exit", [ERRNO.ENOENT], { exitCode: 127, doing }),
    label("commandThere"),
    ...reportHead(doing),
    builtin("exit", [ERRNO.ENOENT], { exitCode: 127, doing }),
    ...candidates.flatMap((path, index) => [
      ...(index === 0 ? [] : [attempt(path, `denied${index}`)]),
      label(`denied${index}`),
    ]),
    builtin("exit", [ERRNO.EACCES], { exitCode: 126, doing }),
  ];
}

function reportHead(doing: string): Op[] {
  const record = recordSpace("head", 0);
  return [
    syscall("read", [registers.scratch, at(record, RECORD_BYTES), recordPayloads.head], {
      into: registers.target,
      tolerate: "all",
      jump: { when: "negative", to: "notFound" },
      doing,
    }),
    builtin("store32", [at(record, 4), registers.target]),
    syscall("write", [linux.CONTROL_FD, record, record.bytes.length], { tolerate: "all", doing }),
  ];
}

/** execvp(3): a name without a slash is looked for in the container's PATH; an empty element is the working directory. */
export function candidatesOf(command: string, env: readonly string[]): string[] {
  if (command.includes("/")) return [command];
  const path = env.findLast((entry) => entry.startsWith("PATH="))?.slice(5) ?? DEFAULT_PATH;
  return path.split(":").map((folder) => (folder === "" ? `./${command}` : `${folder}/${command}`));
}
