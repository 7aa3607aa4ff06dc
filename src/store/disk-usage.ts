/** What a tree weighs on the disk: allocated blocks, each inode once, as du(1) counts. */
import { type BigIntStats, lstatSync, readdirSync } from "node:fs";
import { type BytePath, bytePath, bytePathOfLatin1, fsPath, joinBytePath } from "../kernel/byte-path.ts";

/** Bytes; 0 for what is not there. */
export function diskUsage(path: string): number {
  const seen = new Set<string>();
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
