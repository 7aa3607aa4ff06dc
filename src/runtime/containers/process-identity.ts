/**
 * Which process it was. A pid alone is reused; pid, start time, boot and pid namespace together are not. A signal is
 * sent through a pidfd that was opened *before* the comparison, so that it cannot reach a successor of the same pid.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { signalPid, startTimeOf } from "../../kernel/processes.ts";

export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/pid/stat: clock ticks after boot. */
  readonly startTime: string;
  readonly bootId: string;
  /** `pid:[4026531836]`: the pid means something only there. */
  readonly pidNamespace: string;
}

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
  return isOfThisBoot(identity) && signalPid(identity.pid, identity.startTime, signal);
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
