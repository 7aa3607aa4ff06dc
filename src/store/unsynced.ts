/**
 * Layers that are recorded and perhaps not on the disk yet. To wait for the disk takes longer than most steps, and only a
 * machine that stops without warning can lose what it has not written. So a layer is recorded at once, with the boot it
 * was recorded in, and the first process of a later boot reads such layers again: one that is not what its record says
 * is forgotten, with all that stands on it. A step that ran is run again; no build ever stands on half a layer.
 */
import { readFileSync } from "node:fs";
import { startSyncingFileSystem } from "../kernel/files.ts";
import type { LayerId } from "./store.ts";
import { freshName, type StoreContext } from "./store-context.ts";

/** What is older than this is most likely written, so that a sync has little left to do. */
const settledMs = 60_000;

let boot: string | undefined;

/** Another one after each start of the machine. Source: random(4). */
export function bootId(): string {
  if (boot === undefined) {
    try {
      boot = readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
    } catch {
      // Unknown: every process reads again what the others recorded.
      boot = freshName();
    }
  }
  return boot;
}

/** In the transaction that records the layer. */
export function recordUnsynced({ db }: StoreContext, layer: LayerId, nowMs: number): void {
  db.run("INSERT INTO unsynced (layer, boot, recorded_ms) VALUES (?, ?, ?)", layer, bootId(), nowMs);
}

/** Beside other work: has the disk take what was recorded a while ago, and says so of these layers. */
export function syncOlder(context: StoreContext, nowMs: number): void {
  const { db, paths } = context;
  const older = [bootId(), nowMs - settledMs] as const;
  if (db.get("SELECT 1 FROM unsynced WHERE boot = ? AND recorded_ms < ? LIMIT 1", ...older) === undefined) return;
  startSyncingFileSystem(paths.layers, () => {
    if (!context.isOpen) return;
    db.lossyTransaction(() => db.run("DELETE FROM unsynced WHERE boot = ? AND recorded_ms < ?", ...older));
  });
}
