/**
 * Takes away the mount points that had to be made in a container's upper directory, where they would become part of
 * its layer. By then the upper directory is whatever the container made of it: every folder is opened below the upper
 * directory's descriptor without following a link, and only what is still empty goes (CVE-2024-23652).
 */
import { closeSync, fstatSync, openSync } from "node:fs";
import { basename } from "node:path";
import { cPath, libc } from "../../../kernel/libc.ts";
import {
  AT_REMOVEDIR,
  directoryFlag,
  O_CLOEXEC,
  O_PATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_SYMLINKS,
} from "../../linux-constants.ts";
import type { CreatedMountPoint } from "./launch.ts";
import type { MountStep } from "./mount-steps.ts";
import { createdMountPoint } from "./mount-target.ts";

const OPENAT2 = 437; // equal on all architectures

export interface UpperDirectory {
  readonly upperdir: string;
  /** Where the root was mounted: how the launcher's paths begin. */
  readonly mountDir: string;
}

export function removeMountPoints(
  created: readonly CreatedMountPoint[],
  steps: readonly MountStep[],
  { upperdir, mountDir }: UpperDirectory,
): void {
  if (created.length === 0) return;
  const upper = openSync(upperdir, "r");
  try {
    for (const { index, folder } of created.toReversed()) {
      const point = createdMountPoint(steps, index);
      const prefix = Buffer.byteLength(mountDir);
      if (point === undefined || folder.toString("latin1", 0, prefix) !== Buffer.from(mountDir).toString("latin1"))
        continue;
      const inside = folder.subarray(prefix);
      const parent = openBelow(upper, inside.length === 0 ? Buffer.from("/") : inside, directoryFlag(arch()));
      if (parent < 0) continue;
      removeEmpty(parent, basename(point.path), point.type === "directory");
      libc("close", parent);
    }
  } finally {
    closeSync(upper);
  }
}

function arch(): "x64" | "arm64" {
  return process.arch === "arm64" ? "arm64" : "x64";
}

function openBelow(folder: number, path: Buffer, flags: number): number {
  const how = Buffer.alloc(24);
  how.writeBigUInt64LE(BigInt(flags | O_CLOEXEC), 0);
  how.writeBigUInt64LE(BigInt(RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS), 16);
  return libc("syscallPath", OPENAT2, folder, cPath(path), how, how.length, 0);
}

/** The folder's times stay those that the container gave it. */
function removeEmpty(parent: number, name: string, directory: boolean): void {
  if (!directory && !isEmptyFile(parent, name)) return;
  const { atimeNs, mtimeNs } = fstatSync(parent, { bigint: true });
  if (libc("unlinkat", parent, cPath(name), directory ? AT_REMOVEDIR : 0) < 0) return; // it has content, or is gone
  const times = new BigInt64Array([
    atimeNs / 1_000_000_000n,
    atimeNs % 1_000_000_000n,
    mtimeNs / 1_000_000_000n,
    mtimeNs % 1_000_000_000n,
  ]);
  libc("utimensat", parent, cPath("."), times, 0);
}

function isEmptyFile(parent: number, name: string): boolean {
  const file = openBelow(parent, Buffer.from(name), O_PATH);
  if (file < 0) return false;
  const stat = fstatSync(file);
  libc("close", file);
  return stat.isFile() && stat.size === 0;
}
