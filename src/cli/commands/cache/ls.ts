/** `tsbuild cache ls`: every step that has a record. */
import { type Command, Option } from "commander";
import type { CacheRecord } from "../../../store/store.ts";
import { layersOfImages, recordFilter, recordFilterKeys, recordRow } from "../../cache-records.ts";
import type { CommandContext } from "../../command.ts";
import { parseFilters } from "../../filters.ts";
import { listOption } from "../../list-option.ts";
import { formatRows } from "../../render/table.ts";

interface Options {
  readonly filter?: readonly string[];
  readonly sort: keyof typeof orders;
  readonly quiet?: boolean;
  /** False with `--no-trunc`. */
  readonly trunc: boolean;
  readonly format?: string;
  readonly json?: boolean;
}

/** What comes first. */
const orders = {
  used: (a: CacheRecord, b: CacheRecord): number => b.lastUsed.getTime() - a.lastUsed.getTime(),
  size: (a: CacheRecord, b: CacheRecord): number => b.sizeBytes - a.sizeBytes,
  created: (a: CacheRecord, b: CacheRecord): number => b.created.getTime() - a.created.getTime(),
} as const;

export function define(command: Command): void {
  command
    .addOption(listOption("-f, --filter <key=value>", recordFilterKeys.join(", ")))
    .addOption(
      new Option("--sort <order>", "used (latest first), size or created").choices(Object.keys(orders)).default("used"),
    )
    .option("-q, --quiet", "only IDs")
    .option("--no-trunc", "whole IDs and instructions")
    .option("--json", "short for --format json")
    .option("--format <format>", "table, json, or a template such as {{.ID}} {{.Size}}");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const options = command.opts<Options>();
  const store = context.openStore();
  const filters = parseFilters(options.filter, recordFilterKeys);
  const fits = recordFilter(filters, { ofImages: layersOfImages(store), nowMs: context.now() });
  const records = store.cache.list().filter(fits).sort(orders[options.sort]);
  const format = options.json ? "json" : options.format;
  const view = { nowMs: context.now(), trunc: options.trunc, machine: format === "json" };
  const rows = records.map((record) => recordRow(record, view));
  const columns = ["ID", "Type", "Size", "CreatedSince", "LastUsedSince", "Uses", "Instruction"];
  context.stdout.write(formatRows(rows, { format, headers, columns, quiet: options.quiet ? "ID" : undefined }));
  return 0;
}

const headers = {
  CreatedSince: "CREATED",
  LastUsedSince: "LAST USED",
  CreatedAt: "CREATED AT",
  LastUsedAt: "LAST USED AT",
};
