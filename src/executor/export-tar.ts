/** A tree as entries of a tar, with owners. Source: BuildKit, exporter/tar. */
import { closeSync, constants, openSync, readlinkSync, readSync } from "node:fs";
import { setImmediate as nextEvents } from "node:timers/promises";
import { type BytePath, bytePath, bytePathOfLatin1, joinBytePath } from "../kernel/byte-path.ts";
import { deviceNumber } from "../kernel/files.ts";
import { getXattr } from "../kernel/xattr.ts";
import { sha256 } from "../oci/digest.ts";
import type { LayerEntry } from "../store/layer-entry.ts";
import type { Found } from "../store/layered-view.ts";
import { paddingOf, tarHeader, trailerBytes } from "../store/tar-headers.ts";
import { type ExportedTree, exportedEntries, pieceBytes } from "./exported-tree.ts";

/** Waits while the other side does not read. The bytes may be used again when it returns. */
export type WriteBytes = (bytes: Buffer) => Promise<void> | void;

export interface TarExport extends ExportedTree {
  /** A folder that everything lies in: `linux_arm64`. */
  readonly prefix: string | undefined;
}

/** The entries, with owners; `endTar` writes what ends it, so that several trees may go into one. */
export async function exportToTar(options: TarExport, write: WriteBytes): Promise<void> {
  const prefix = options.prefix === undefined ? undefined : bytePath(options.prefix);
  const inside = (path: BytePath): BytePath =>
    prefix === undefined ? path : path === "" ? prefix : joinBytePath(prefix, path);
  const pause = pauses();
  for (const { path, found, linkTo } of exportedEntries(options)) {
    if (inside(path) === "") continue;
    await pause();
    const entry = tarEntry(inside(path), found, linkTo === undefined ? undefined : inside(linkTo), options.mtime);
    await write(tarHeader(entry, found.type === "file" ? capabilityOf(found) : undefined));
    if (entry.type !== "file") continue;
    await writeContent(found, entry.size, async (bytes) => {
      options.checkAbort();
      await pause();
      await write(bytes);
    });
    await write(Buffer.alloc(paddingOf(entry.size)));
  }
}

/** Lets events in now and then: signals, progress. A promise that is there already lets none in. */
function pauses(): () => Promise<void> {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < pauseAfterMs) return;
    await nextEvents();
    last = performance.now();
  };
}

const pauseAfterMs = 20;

/** A further file, of 0:0. */
export async function addToTar(path: string, content: Buffer, mtime: number, write: WriteBytes): Promise<void> {
  const size = content.length;
  const entry = {
    path: bytePath(path),
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime,
    type: "file",
    size,
    digest: noDigest,
  } as const;
  await write(tarHeader(entry, undefined));
  await write(content);
  await write(Buffer.alloc(paddingOf(size)));
}

export async function endTar(write: WriteBytes): Promise<void> {
  await write(Buffer.alloc(trailerBytes));
}

function capabilityOf({ hostPath }: Found): string | undefined {
  return getXattr(hostPath, "security.capability")?.toString("base64");
}

function tarEntry(
  path: BytePath,
  { stat, type, hostPath }: Found,
  linkTo: BytePath | undefined,
  mtime: number | undefined,
): LayerEntry {
  const base = {
    path,
    mode: Number(stat.mode & 0o7777n),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtime: mtime ?? Number(stat.mtimeNs / 1_000_000_000n),
  };
  if (linkTo !== undefined) return { ...base, type: "hardlink", target: linkTo };
  switch (type) {
    case "file":
      return { ...base, type, size: Number(stat.size), digest: noDigest };
    case "symlink":
      return {
        ...base,
        type,
        target: bytePathOfLatin1(readlinkSync(hostPath, { encoding: "buffer" }).toString("latin1")),
      };
    case "char":
    case "block":
      return { ...base, type, ...deviceNumber(stat.rdev) };
    case "dir":
    case "fifo":
      return { ...base, type };
    default:
      throw new Error(`a ${type} is in no tar`);
  }
}

/** Headers do not hold it. */
const noDigest = sha256("");

async function writeContent({ hostPath }: Found, size: number, write: WriteBytes): Promise<void> {
  const fd = openSync(hostPath, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    for (let left = size; left > 0; ) {
      const piece = Buffer.allocUnsafe(Math.min(pieceBytes, left));
      const count = readSync(fd, piece, 0, piece.length, null);
      if (count === 0) throw new Error("a file of a layer is shorter than it was");
      await write(piece.subarray(0, count));
      left -= count;
    }
  } finally {
    closeSync(fd);
  }
}
