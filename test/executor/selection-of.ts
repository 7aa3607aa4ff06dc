/** Selections made by hand from a real folder: what the planner hands over, without the planner. */
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename, dirname } from "node:path";
import { type BytePath, bytePath, bytePathOfLatin1, fsPathBelow } from "../../src/kernel/byte-path.ts";
import { type Digest, sha256 } from "../../src/oci/digest.ts";
import type { SelectedEntry, SelectedSource } from "../../src/planner/selection.ts";

export interface HandMade {
  readonly basename?: string;
  /** From a stage: owners are kept. */
  readonly owners?: boolean;
  readonly keptParents?: readonly string[];
}

export function sourceOf(path: string, options: HandMade = {}): SelectedSource {
  return {
    basename: bytePath(options.basename ?? basename(path)),
    matched: false,
    entries: [entryOf(path, "" as BytePath, options), ...below(path, "" as BytePath, options)],
    keptParents: (options.keptParents ?? []).map((kept) => ({
      ...entryOf(dirname(path), "" as BytePath, options),
      path: bytePath(kept),
      mode: 0o711,
    })),
  };
}

export function heredocOf(name: string, content: string): SelectedSource {
  const bytes = Buffer.from(content);
  return {
    basename: bytePath(name),
    matched: false,
    entries: [
      {
        path: "" as BytePath,
        type: "file",
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtimeNs: 1_000_000_000n,
        size: bytes.length,
        digest: sha256(bytes),
        hostPath: "",
        content: bytes,
      },
    ],
    keptParents: [],
  };
}

function below(folder: string, inside: BytePath, options: HandMade): SelectedEntry[] {
  const here = fsPathBelow(folder, inside);
  if (!lstatSync(here).isDirectory()) return [];
  return readdirSync(here, "latin1")
    .sort()
    .flatMap((name) => {
      const path = bytePathOfLatin1(inside === "" ? name : `${inside}/${name}`);
      return [entryOf(folder, path, options), ...below(folder, path, options)];
    });
}

function entryOf(folder: string, path: BytePath, options: HandMade): SelectedEntry {
  const hostPath = fsPathBelow(folder, path);
  const stats = lstatSync(hostPath, { bigint: true });
  const type = stats.isDirectory()
    ? "dir"
    : stats.isSymbolicLink()
      ? "symlink"
      : stats.isFIFO()
        ? "fifo"
        : stats.isCharacterDevice()
          ? "char"
          : "file";
  return {
    path,
    type,
    mode: Number(stats.mode) & 0o7777,
    uid: options.owners === true ? Number(stats.uid) : 0,
    gid: options.owners === true ? Number(stats.gid) : 0,
    mtimeNs: stats.mtimeNs,
    size: type === "file" ? Number(stats.size) : 0,
    hostPath,
    ...(type === "file" && { digest: digestOf(hostPath) }),
    ...(type === "symlink" && { target: bytePathOfLatin1(readlinkSync(hostPath, "latin1")) }),
    ...(type === "char" && { major: Number(stats.rdev >> 8n), minor: Number(stats.rdev & 0xffn) }),
    ...(type === "file" && stats.nlink > 1n && { inode: `${stats.dev}:${stats.ino}` }),
  };
}

function digestOf(hostPath: string | Buffer): Digest {
  return `sha256:${createHash("sha256").update(readFileSync(hostPath)).digest("hex")}` as string as Digest;
}
