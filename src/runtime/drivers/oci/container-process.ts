/** Finds a process by its pid in a namespace below ours. */
import { readdirSync, readFileSync } from "node:fs";
import { startTimeOf } from "../../../kernel/processes.ts";

/**
 * `inner` is a pid in the namespace whose pid 1 is `runtime` for us. What has ended already has pid 0 and a start time
 * that no process has.
 */
export function findContainerProcess(
  runtime: number,
  inner: number,
): { readonly pid: number; readonly startTime: string } {
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const status = readStatus(name);
    // "NSpid: <ours> <in the namespace> …", outermost first.
    const pids = /^NSpid:\s+(.*)$/m.exec(status)?.[1]?.split(/\s+/).map(Number) ?? [];
    const parent = Number(/^PPid:\s+(\d+)$/m.exec(status)?.[1]);
    if (parent === runtime && pids[1] === inner)
      return { pid: Number(name), startTime: startTimeOf(Number(name)) ?? "0" };
  }
  return { pid: 0, startTime: "0" };
}

function readStatus(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return ""; // it has ended since the folder was read
  }
}
