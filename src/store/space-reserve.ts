/**
 * A file of no use but its size. On a full disk even taking something away needs some blocks: for the journal, for a
 * lock, for a folder that things are moved to. Commands that give space back give up the reserve first.
 */
import { rmSync, statfsSync, statSync, writeFileSync } from "node:fs";

const reserveBytes = 512 << 10;
/** With less than this left, the reserve is what one lives on. */
const nearlyFullBelowBytes = 512 << 10;
/** So much must be left beside it before it is made again. */
const plentyBytes = 1 << 20;

const fileOf = (root: string): string => `${root}/reserve`;

/** Gives the reserve up, if the store's file system is nearly full. */
export function releaseReserve(root: string): void {
  if (freeBytes(root) < nearlyFullBelowBytes) rmSync(fileOf(root), { force: true });
}

/** Makes the reserve, if it is not there and there is room. Whoever has no room for it goes on without. */
export function keepReserve(root: string): void {
  if (statSync(fileOf(root), { throwIfNoEntry: false }) !== undefined || freeBytes(root) < plentyBytes) return;
  try {
    writeFileSync(fileOf(root), Buffer.alloc(reserveBytes), { mode: 0o600, flag: "wx" });
  } catch {
    // Read-only, full after all, or another process was faster.
  }
}

function freeBytes(root: string): number {
  const { bavail, bsize } = statfsSync(root);
  return bavail * bsize;
}
