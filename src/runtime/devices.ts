/** Device nodes of the host, as the runtime spec has them. */
import { lstatSync, readdirSync, statSync } from "node:fs";
import { deviceNumber } from "../kernel/files.ts";
import type { DeviceSpec } from "../oci/runtime-spec.ts";

/** Undefined when there is nothing at `path`, or something else than a device. Links are followed. */
export function deviceAt(path: string, containerPath: string = path): DeviceSpec | undefined {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  const type = stat.isCharacterDevice() ? "c" : stat.isBlockDevice() ? "b" : undefined;
  if (type === undefined) return undefined;
  return {
    path: containerPath,
    type,
    ...deviceNumber(stat.rdev),
    fileMode: Number(stat.mode & 0o7777n),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
  };
}

/** The device at `path`, or every one below it, at the same places below `containerPath`. */
export function devicesBelow(path: string, containerPath: string): readonly DeviceSpec[] {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true)
    return [deviceAt(path, containerPath) ?? []].flat();
  return readdirSync(path)
    .sort()
    .flatMap((name) => devicesBelow(`${path}/${name}`, `${containerPath}/${name}`));
}

/** What a container has file systems of its own for, or what leads nowhere in it. Source: runc, libcontainer/devices. */
const skipped = new Set(["console", "fd", "mqueue", "ptmx", "pts", "shm", ".lxc", ".lxd-mounts", ".udev"]);

/** Every device below the host's /dev: for containers that may use them all. */
export function hostDevices(folder = "/dev"): readonly DeviceSpec[] {
  return readdirSync(folder).flatMap((name) => {
    const path = `${folder}/${name}`;
    if (folder === "/dev" && skipped.has(name)) return [];
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory() === true) return hostDevices(path);
    if (stat === undefined || stat.isSymbolicLink()) return [];
    return deviceAt(path) ?? [];
  });
}

/**
 * Nodes that an insecure RUN has in addition, whether the host's /dev has them or not.
 * Source: BuildKit, util/entitlements/security.
 */
export const insecureDevices: readonly DeviceSpec[] = [
  ["kmsg", 1, 11],
  ["cuse", 10, 203],
  ["fuse", 10, 229],
  ["kvm", 10, 232],
  ["net/tun", 10, 200],
  ["loop-control", 10, 237],
].map(([name, major, minor]) => ({
  path: `/dev/${name}`,
  type: "c",
  major: Number(major),
  minor: Number(minor),
  fileMode: 0o600,
}));
