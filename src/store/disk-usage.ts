/** What a tree weighs on the disk: allocated blocks, each inode once, as du(1) counts. */
import { type BigIntStats, lstatSync, readdirSync } from "node:fs";
import { type BytePath, bytePath, bytePathOfLatin1, fsPath, joinBytePath } from "../kernel/byte-path.ts";
import type { Digest } from "../oci/digest.ts";
import type { LayerId, Store } from "./store.ts";

/** Bytes; 0 for what is not there. Inodes in `seen` count no more, those of this tree are added. */
export function diskUsage(path: string, seen: Set<string> = new Set()): number {
  return Number(usageOf(bytePath(path), seen));
}

function usageOf(path: BytePath, seen: Set<string>): bigint {
  const stat = lstatSync(fsPath(path), { bigint: true, throwIfNoEntry: false });
  if (stat === undefined) return 0n;
  let sum = ownBlocks(stat, seen);
  if (!stat.isDirectory()) return sum;
  for (const name of namesIn(path)) sum += usageOf(joinBytePath(path, bytePathOfLatin1(name)), seen);
  return sum;
}

function ownBlocks(stat: BigIntStats, seen: Set<string>): bigint {
  if (stat.nlink > 1n && !stat.isDirectory()) {
    const inode = `${stat.dev}:${stat.ino}`;
    if (seen.has(inode)) return 0n;
    seen.add(inode);
  }
  return stat.blocks * 512n;
}

/** Another process may remove it meanwhile. */
function namesIn(folder: BytePath): readonly string[] {
  try {
    return readdirSync(fsPath(folder), { encoding: "latin1" });
  } catch {
    return [];
  }
}

export interface StoreUsage {
  /** By layer: its tree and index. */
  readonly layers: ReadonlyMap<LayerId, number>;
  readonly blobs: ReadonlyMap<Digest, number>;
  readonly containers: ReadonlyMap<string, number>;
  readonly volumes: ReadonlyMap<string, number>;
  readonly cacheMounts: ReadonlyMap<string, number>;
  readonly gitClones: ReadonlyMap<string, number>;
  readonly failed: number;
  /** Unfinished work of living processes. */
  readonly temporary: number;
  /** The database and the folders themselves. */
  readonly metadata: number;
  /** The sum of all of these: what `du -s` of the root says. */
  readonly total: number;
}

/** Reads the whole store's folder structure. Bytes. */
export function storeUsage(store: Store): StoreUsage {
  const { root } = store;
  // Layers share the files that a COPY found unchanged: the first one carries their weight.
  const seen = new Set<string>();
  const partsOf = (folder: string): ReadonlyMap<string, number> =>
    new Map(namesIn(bytePath(folder)).map((name) => [name, diskUsage(`${folder}/${name}`, seen)]));
  const layers = partsOf(`${root}/layers`) as ReadonlyMap<LayerId, number>;
  const blobs = new Map<Digest, number>();
  for (const algorithm of namesIn(bytePath(`${root}/blobs`)))
    for (const [hex, bytes] of partsOf(`${root}/blobs/${algorithm}`)) blobs.set(`${algorithm}:${hex}` as Digest, bytes);
  const containers = partsOf(`${root}/containers`);
  const volumes = partsOf(store.volumesFolder);
  const cacheMounts = partsOf(store.cacheMountsFolder);
  const gitClones = partsOf(store.gitFolder);
  const failed = diskUsage(store.failedFolder, seen);
  const temporary = diskUsage(`${root}/tmp`, seen);
  const total = diskUsage(root);
  const parts = [layers, blobs, containers, volumes, cacheMounts, gitClones].map((part) => sumOf(part.values()));
  const metadata = total - sumOf(parts) - failed - temporary;
  return { layers, blobs, containers, volumes, cacheMounts, gitClones, failed, temporary, metadata, total };
}

function sumOf(numbers: Iterable<number>): number {
  let sum = 0;
  for (const number of numbers) sum += number;
  return sum;
}
