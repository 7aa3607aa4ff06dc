/** Which mounts a spec asks for, and where the root must have mount points for them. */
import { statSync } from "node:fs";
import type { MountSpec, RuntimeSpec } from "../../../oci/runtime-spec.ts";
import type { MountPoint } from "../../stub-tree.ts";
import { bindSourceMissing, mountNotAllowed } from "../errors.ts";
import { parseMountOptions } from "./mount-options.ts";

export interface MountStep {
  readonly spec: MountSpec;
  readonly target: MountPoint;
  /** The descriptor at which the launcher finds the namespace whose mappings a bind is shown by. */
  readonly userNamespace?: number;
}

/** Files of /proc that a mount may cover: they tell numbers, and nothing of ours is written through them. */
const coverable = new Set(
  ["cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo", "net/dev"].map(
    (name) => `/proc/${name}`,
  ),
);

/**
 * What to mount and onto what. A bind's kind is that of its source.
 * @throws {TsbuildError} `RUNTIME_FAILED` when a bind's source is missing, or when a mount would cover /proc or /sys.
 */
export function mountSteps(spec: RuntimeSpec): MountStep[] {
  return spec.mounts.map((mount) => {
    const path = mount.destination;
    const bind = isBind(mount);
    const covers = /^\/(proc|sys)(\/|$)/.test(path) && !coverable.has(path);
    // CVE-2019-16884: over /proc, what the runtime writes to a label or a sysctl would go to a file of the volume.
    if (covers && (bind || (mount.type === "tmpfs" && !path.startsWith("/sys/fs/cgroup")))) throw mountNotAllowed(path);
    return { spec: mount, target: { path, type: bind ? kindOfSource(mount) : "directory" } };
  });
}

export function isBind(mount: MountSpec): boolean {
  return mount.type === "bind" || parseMountOptions(mount.options).bind !== "no";
}

function kindOfSource(mount: MountSpec): MountPoint["type"] {
  const stat = statSync(mount.source, { throwIfNoEntry: false });
  if (stat === undefined) throw bindSourceMissing(mount.source, mount.destination);
  return stat.isDirectory() ? "directory" : "file";
}

/** The mount points that the stub tree has to offer: those on the root itself, not on other mounts. */
export function stubMountPoints(steps: readonly MountStep[]): MountPoint[] {
  const points: MountPoint[] = [];
  for (const { target } of steps) {
    const covered = points.some((other) => other.type === "directory" && target.path.startsWith(`${other.path}/`));
    if (!covered) points.push(target);
  }
  return points;
}
