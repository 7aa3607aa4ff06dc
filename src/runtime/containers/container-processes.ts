/** Which processes are in a container: those in the pid namespace of its pid 1. */
import { readdirSync, readlinkSync } from "node:fs";
import { containerNotRunning } from "../container-errors.ts";
import type { ContainerFolder } from "./container-folder.ts";
import { observe } from "./container-state.ts";

/** Pids as the host counts them, ascending. @throws {TsbuildError} `CONTAINER_STATE` when it does not run. */
export function containerProcesses(folder: ContainerFolder): readonly number[] {
  const { status, process } = observe(folder);
  if ((status !== "running" && status !== "paused") || process === undefined) throw containerNotRunning(folder.id);
  const namespace = namespaceOf(process.pid);
  if (namespace === undefined) throw containerNotRunning(folder.id);
  const pids = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  return pids.filter((pid) => namespaceOf(pid) === namespace).sort((a, b) => a - b);
}

function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined;
  }
}
