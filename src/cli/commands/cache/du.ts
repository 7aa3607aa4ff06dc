/** `tsbuild cache du`: what the cache weighs, and how much of it could go. */
import type { Command } from "commander";
import { hexOf } from "../../../oci/digest.ts";
import { cacheMounts } from "../../cache-mounts.ts";
import { layersOfImages, ownCompressedForms, recordFilter, recordFilterKeys, recordRow } from "../../cache-records.ts";
import type { CommandContext } from "../../command.ts";
import { parseFilters } from "../../filters.ts";
import { gitClones } from "../../git-clones.ts";
import { listOption } from "../../list-option.ts";
import { formatSize } from "../../render/size.ts";
import { formatRows, type Row } from "../../render/table.ts";
import { formatAgo, jsonTimestamp } from "../../render/time.ts";

interface Options {
  readonly filter?: readonly string[];
  readonly verbose?: boolean;
  readonly format?: string;
  readonly json?: boolean;
}

/** A cache mount or a clone: not a record, and changed in place. */
interface Folder {
  readonly name: string;
  readonly sizeBytes: number;
  readonly lastUsed: Date;
}

export function define(command: Command): void {
  command
    .addOption(listOption("-f, --filter <key=value>", recordFilterKeys.join(", ")))
    .option("-v, --verbose", "each record's instruction too")
    .option("--json", "short for --format json")
    .option("--format <format>", "table, json, or a template such as {{.ID}} {{.Size}}");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const options = command.opts<Options>();
  const store = context.openStore();
  const nowMs = context.now();
  const ofImages = layersOfImages(store);
  const filters = parseFilters(options.filter, recordFilterKeys);
  const fits = recordFilter(filters, { ofImages, nowMs });
  const records = store.cache.list().filter(fits);
  const mounts = filters.size === 0 ? cacheMounts(store) : [];
  const clones = filters.size === 0 ? gitClones(store) : [];
  const forms = filters.size === 0 ? ownCompressedForms(store) : [];
  const format = options.json ? "json" : options.format;
  const machine = format === "json";
  const rows: Row[] = records.map((record) => {
    const shared = ofImages.has(record.layer);
    const row = recordRow(record, { nowMs, trunc: true, machine });
    return { ...row, Shared: shared, Reclaimable: machine ? !shared : String(!shared), Mutable: false };
  });
  const folderRow = (folder: Folder, type: string, kind: string, instruction: string): Row => ({
    ID: machine ? folder.name : `${folder.name.slice(0, 12)}*`,
    Type: type,
    Kind: kind,
    Size: machine ? folder.sizeBytes : formatSize(folder.sizeBytes),
    LastUsedSince: machine ? jsonTimestamp(folder.lastUsed) : formatAgo(folder.lastUsed, nowMs),
    LastUsedAt: jsonTimestamp(folder.lastUsed),
    Instruction: instruction,
    Shared: false,
    Reclaimable: machine ? true : "true",
    Mutable: true,
  });
  for (const mount of mounts) rows.push(folderRow(mount, "exec.cachemount", "cachemount", "RUN --mount=type=cache"));
  for (const clone of clones) rows.push(folderRow(clone, "source.git.checkout", "gitclone", clone.url));
  for (const { digest, ...form } of forms) {
    const row = folderRow(
      { ...form, name: hexOf(digest) },
      "compressed.layer",
      "compressed",
      "a layer, for archives and pushes",
    );
    rows.push({ ...row, Mutable: false });
  }
  const columns = ["ID", "Reclaimable", "Size", "LastUsedSince", ...(options.verbose ? ["Type", "Instruction"] : [])];
  context.stdout.write(formatRows(rows, { format, headers: { LastUsedSince: "LAST ACCESSED" }, columns }));
  if (format !== undefined && !format.startsWith("table")) return 0;
  // Several records may share a layer: it is counted once.
  const layers = new Map(records.map((record) => [record.layer, record.sizeBytes]));
  let shared = 0;
  let own = [...mounts, ...clones, ...forms].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  for (const [layer, sizeBytes] of layers) {
    if (ofImages.has(layer)) shared += sizeBytes;
    else own += sizeBytes;
  }
  const footer: readonly (readonly [string, number])[] = [
    ["Shared:", shared],
    ["Private:", own],
    ["Reclaimable:", own],
    ["Total:", shared + own],
  ];
  context.stdout.write(footer.map(([name, bytes]) => `${name.padEnd(16)}${formatSize(bytes, 4)}\n`).join(""));
  return 0;
}
