/**
 * Who a process is: its pid and the time it started. A pid alone may be another's by now, so a pidfd is opened first, then
 * the time compared, and everything else goes through the pidfd.
 */
import { readFileSync } from "node:fs";
import { libc } from "./libc.ts";

/** Equal on all architectures, as all numbers from 424 on. */
const SYS_pidfd_send_signal = 424;
const SYS_pidfd_open = 434;

/**
 * In clock ticks after boot; undefined when the process is gone or only a zombie of it is left: where the machine's pid 1
 * does not reap, orphans stay zombies for ever.
 * Source: proc_pid_stat(5), field 22.
 */
export function startTimeOf(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return undefined;
  }
  // The name in parentheses may hold blanks and parentheses: counted from the last one.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}

/** A pidfd, which the caller closes, or undefined when that very process is gone. */
export function openProcess(pid: number, startTime: string): number | undefined {
  const pidfd = openPid(pid);
  if (pidfd < 0) return undefined;
  if (startTimeOf(pid) === startTime) return pidfd;
  libc("close", pidfd);
  return undefined;
}

/** pidfd_open(2): the descriptor, or a negative errno. */
export function openPid(pid: number): number {
  return libc("syscall", SYS_pidfd_open, pid, 0, 0, 0, 0);
}

/** False when that very process is gone. */
export function signalPid(pid: number, startTime: string, signal: number): boolean {
  const pidfd = openProcess(pid, startTime);
  if (pidfd === undefined) return false;
  try {
    return libc("syscall", SYS_pidfd_send_signal, pidfd, signal, 0, 0, 0) >= 0;
  } finally {
    libc("close", pidfd);
  }
}
