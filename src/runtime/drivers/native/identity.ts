/**
 * Who a process is: its pid and the time it started. A pid alone may be another's by now; so a pidfd is opened first,
 * then the time compared, and everything else goes through the pidfd.
 */
import { readFileSync } from "node:fs";
import { TsbuildError } from "../../../errors.ts";
import { libc } from "../../../kernel/libc.ts";
import type { ExecRequest } from "../../driver.ts";

/** Equal on all architectures, as all numbers from 424 on. */
const PIDFD_OPEN = 434;

/** Field 22 of /proc/pid/stat, counted after the last parenthesis: a name may hold spaces and parentheses. */
export function startTimeOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "0";
  } catch {
    return "0"; // it has ended already: no process has this identity any more
  }
}

/**
 * A pidfd of the container's pid 1; the caller closes it.
 * @throws {TsbuildError} `CONTAINER_STATE` when that process is gone.
 */
export function openContainer({
  pid,
  startTime,
  containerId,
}: Pick<ExecRequest, "pid" | "startTime" | "containerId">): number {
  const pidfd = libc("syscall", PIDFD_OPEN, pid, 0, 0, 0, 0);
  if (pidfd >= 0 && startTimeOf(pid) === startTime) return pidfd;
  if (pidfd >= 0) libc("close", pidfd);
  throw new TsbuildError({
    code: "CONTAINER_STATE",
    what: "the container is not running",
    where: { kind: "container", container: containerId },
  });
}
