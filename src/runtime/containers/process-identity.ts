/**
 * Which process it was. A pid alone is reused; pid, start time, boot and pid namespace together are not. A signal is
 * sent through a pidfd that was opened *before* the comparison, so that it cannot reach a successor of the same pid.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { libc } from "../../kernel/libc.ts";

export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/pid/stat: clock ticks after boot. */
  readonly startTime: string;
  readonly bootId: string;
  /** `pid:[4026531836]`: the pid means something only there. */
  readonly pidNamespace: string;
}

// Numbers from 424 upwards are the same on every architecture.
const SYS_pidfd_send_signal = 424;
const SYS_pidfd_open = 434;

/** @returns undefined when the process is gone or only a zombie of it is left. */
export function identityOf(pid: number): ProcessIdentity | undefined {
  const startTime = startTimeOf(pid);
  return startTime === undefined ? undefined : { pid, startTime, bootId: bootId(), pidNamespace: pidNamespace() };
}

export function ownIdentity(): ProcessIdentity {
  return {
    pid: process.pid,
    startTime: startTimeOf(process.pid) ?? "",
    bootId: bootId(),
    pidNamespace: pidNamespace(),
  };
}

export function isAlive(identity: ProcessIdentity): boolean {
  return isOfThisBoot(identity) && startTimeOf(identity.pid) === identity.startTime;
}

/** False: the machine was started anew since, so nothing of that time lives. */
export function isOfThisBoot(identity: ProcessIdentity): boolean {
  return identity.bootId === bootId() && identity.pidNamespace === pidNamespace();
}

/** @returns false when that very process is gone. */
export function signalProcess(identity: ProcessIdentity, signal: number): boolean {
  if (!isAlive(identity)) return false;
  const pidfd = libc("syscall", SYS_pidfd_open, identity.pid, 0, 0, 0, 0);
  if (pidfd < 0) return false;
  try {
    if (!isAlive(identity)) return false;
    return libc("syscall", SYS_pidfd_send_signal, pidfd, signal, 0, 0, 0) >= 0;
  } finally {
    libc("close", pidfd);
  }
}

let cachedBootId: string | undefined;

function bootId(): string {
  cachedBootId ??= readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  return cachedBootId;
}

let cachedNamespace: string | undefined;

function pidNamespace(): string {
  cachedNamespace ??= readlinkSync("/proc/self/ns/pid");
  return cachedNamespace;
}

function startTimeOf(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return undefined;
  }
  // The name in parentheses may hold blanks and parentheses: count from the last one.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // Where the machine's pid 1 does not reap, orphans stay zombies for ever.
  return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}
