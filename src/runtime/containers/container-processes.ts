/** Which processes are in a container: those in its pid namespace or, where that is shared, in its control group. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { cgroupFolders } from "../cgroup/cgroup.ts";
import { containerNotRunning } from "../container-errors.ts";
import type { Container } from "./container-folder.ts";
import { cgroupsPath } from "./container-id.ts";
import { observe } from "./container-state.ts";

/** Of a container's control group, in every hierarchy. */
export function groupOf({ folder, record }: Container): string {
  return cgroupsPath(folder.id, record?.host.cgroupParent);
}

/** Pids as the host counts them, ascending. @throws {TsbuildError} `CONTAINER_STATE` when it does not run. */
export function containerProcesses(container: Container): readonly number[] {
  const { folder, record } = container;
  const { status, process } = observe(folder);
  if ((status !== "running" && status !== "paused") || process === undefined) throw containerNotRunning(folder.id);
  if (record?.host.namespaces?.pid !== undefined) return processesOfGroup(groupOf(container), process.pid);
  const namespace = namespaceOf(process.pid);
  if (namespace === undefined) throw containerNotRunning(folder.id);
  const pids = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  return pids.filter((pid) => namespaceOf(pid) === namespace).sort((a, b) => a - b);
}

/** It need not be in every hierarchy. `first`: the one that is in it for certain. */
function processesOfGroup(group: string, first: number): readonly number[] {
  const pids = [...new Set(cgroupFolders(group).values())].flatMap((folder) => pidsIn(`${folder}/cgroup.procs`));
  return [...new Set([first, ...pids])].sort((a, b) => a - b);
}

function pidsIn(file: string): readonly number[] {
  try {
    return readFileSync(file, "latin1")
      .split("\n")
      .filter((line) => line !== "")
      .map(Number);
  } catch {
    return []; // it has no group here
  }
}

function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined;
  }
}
