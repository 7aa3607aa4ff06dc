/** `tsbuild cache prune`: lets records go, least recently used first, and the layers that only they kept. */
import type { Command } from "commander";
import { hexOf } from "../../../oci/digest.ts";
import type { Store } from "../../../store/store.ts";
import { cacheMounts, removeCacheMount } from "../../cache-mounts.ts";
import { choosePrunable } from "../../cache-records.ts";
import type { CommandContext } from "../../command.ts";
import { gitClones, removeGitClone } from "../../git-clones.ts";
import type { Pruned } from "../../prune.ts";
import { definePrune, type PrunePart, runPrune } from "../../prune-command.ts";
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
    .option("-a, --all", "records of images, the folders of cache mounts and git clones too")
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
  const folders = <T extends { readonly name: string; readonly sizeBytes: number; readonly lastUsed: Date }>(
    title: string,
    list: (from: Store) => readonly T[],
    remove: (from: Store, name: string) => boolean,
  ): PrunePart => ({
    title,
    prune: ({ nowMs, dryRun }): Pruned => {
      const old = nowMs - (limits.olderThanMs ?? 0);
      const gone = (all ? list(store) : []).filter(
        ({ name, lastUsed }) => lastUsed.getTime() <= old && (dryRun || remove(store, name)),
      );
      return {
        lines: gone.map(({ name, sizeBytes }) => `${name.slice(0, 12)}  ${formatSize(sizeBytes)}`),
        freedBytes: gone.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      };
    },
  });
  return runPrune(command, context, {
    warning: [
      all
        ? "the build cache, and all cache mounts and git clones that no step is using"
        : "build cache that no image stands on",
    ],
    parts: [
      {
        title: "Deleted build cache objects:",
        prune: ({ filters, nowMs, dryRun }): Pruned => {
          const records = choosePrunable(store, { ...limits, filters, nowMs });
          const layers = new Map(records.map((record) => [record.layer, record.sizeBytes]));
          const weight = [...layers.values()].reduce((sum, bytes) => sum + bytes, 0);
          const packed = all && !dryRun ? store.dropCompressedForms() : 0;
          const freedBytes = dryRun ? weight : packed + store.cache.remove(records.map((record) => record.key));
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
      folders("Deleted cache mounts:", cacheMounts, removeCacheMount),
      folders("Deleted git clones:", gitClones, removeGitClone),
    ],
  });
}

function tableLines(heading: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  return layOut([heading, ...rows.map((row) => row.map((cell) => cell.replace(/\s+/g, " ")))])
    .trimEnd()
    .split("\n");
}
