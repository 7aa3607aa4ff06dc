/** `tsbuild cache prune`: lets records go, least recently used first, and the layers that only they kept. */
import type { Command } from "commander";
import { hexOf } from "../../../oci/digest.ts";
import { cacheMounts, removeCacheMount } from "../../cache-mounts.ts";
import { choosePrunable } from "../../cache-records.ts";
import type { CommandContext } from "../../command.ts";
import type { Pruned } from "../../prune.ts";
import { definePrune, runPrune } from "../../prune-command.ts";
import { formatSize, parseSize } from "../../render/size.ts";
import { layOut } from "../../render/table.ts";
import { formatAgo, parseDuration } from "../../render/time.ts";

interface Options {
  readonly all?: boolean;
  readonly keepStorage?: string;
  readonly olderThan?: string;
}

export function define(command: Command): void {
  command
    .option("-a, --all", "records of images and the folders of cache mounts too")
    .option("--keep-storage <size>", "stop when what is left weighs no more than this")
    .option("--older-than <duration>", "only what was not used for so long, such as 48h or 7d");
  definePrune(command);
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const { all = false, keepStorage, olderThan } = command.opts<Options>();
  const limits = {
    all,
    keepBytes: keepStorage === undefined ? undefined : parseSize(keepStorage),
    olderThanMs: olderThan === undefined ? undefined : parseDuration(olderThan),
  };
  const store = context.openStore();
  return runPrune(command, context, {
    warning: [
      all ? "the build cache, and all cache mounts that no step is using" : "build cache that no image stands on",
    ],
    parts: [
      {
        title: "Deleted build cache objects:",
        prune: ({ filters, nowMs, dryRun }): Pruned => {
          const records = choosePrunable(store, { ...limits, filters, nowMs });
          const layers = new Map(records.map((record) => [record.layer, record.sizeBytes]));
          const weight = [...layers.values()].reduce((sum, bytes) => sum + bytes, 0);
          const freedBytes = dryRun ? weight : store.cache.remove(records.map((record) => record.key));
          const rows = records.map((record) => [
            hexOf(record.key).slice(0, 12),
            formatSize(record.sizeBytes),
            formatAgo(record.lastUsed, nowMs),
            record.instruction,
          ]);
          return {
            lines: rows.length === 0 ? [] : tableLines(["ID", "SIZE", "LAST ACCESSED", "INSTRUCTION"], rows),
            freedBytes,
          };
        },
      },
      {
        title: "Deleted cache mounts:",
        prune: ({ nowMs, dryRun }): Pruned => {
          const old = nowMs - (limits.olderThanMs ?? 0);
          const mounts = all
            ? cacheMounts(store).filter(
                (mount) => mount.lastUsed.getTime() <= old && (dryRun || removeCacheMount(store, mount.name)),
              )
            : [];
          return {
            lines: mounts.map((mount) => `${mount.name.slice(0, 12)}  ${formatSize(mount.sizeBytes)}`),
            freedBytes: mounts.reduce((sum, mount) => sum + mount.sizeBytes, 0),
          };
        },
      },
    ],
  });
}

function tableLines(heading: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  return layOut([heading, ...rows.map((row) => row.map((cell) => cell.replace(/\s+/g, " ")))])
    .trimEnd()
    .split("\n");
}
