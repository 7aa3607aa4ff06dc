/**
 * Names of the control groups of RUN steps. The name tells whose it is, so that what a killed build left empty is taken
 * away by the next one.
 */
import { existsSync, readdirSync, rmdirSync } from "node:fs";
import { randomBytes } from "../kernel/random.ts";
import { cgroupFolders } from "../runtime/cgroup/cgroup.ts";

/** Unique on this machine. */
export function containerIdOfStep(): string {
  return `build-${process.pid}-${randomBytes(6).toString("hex")}`;
}

const sweptParents = new Set<string>();

/** Once a process for each parent. A group with processes in it refuses to go, so a wrong guess does no harm. */
export function sweepDeadBuilds(parent: string): void {
  if (sweptParents.has(parent)) return;
  sweptParents.add(parent);
  for (const folder of new Set(cgroupFolders(parent).values())) {
    if (!existsSync(folder)) continue;
    for (const name of readdirSync(folder)) {
      const owner = /^build-([0-9]+)-/.exec(name)?.[1];
      if (owner === undefined || existsSync(`/proc/${owner}`)) continue;
      try {
        rmdirSync(`${folder}/${name}`);
      } catch {
        // Somebody is in it still, or somebody else was faster.
      }
    }
  }
}
