/** `tsbuild history`: how an image came to be, newest first. */
import type { Command } from "commander";
import { hexOf } from "../../oci/digest.ts";
import type { Store, StoredImage } from "../../store/store.ts";
import type { CommandContext } from "../command.ts";
import { cutCell } from "../render/display-width.ts";
import { formatSize } from "../render/size.ts";
import { formatRows, type Row } from "../render/table.ts";
import { formatAgo } from "../render/time.ts";

interface Options {
  readonly quiet?: boolean;
  readonly trunc: boolean;
  readonly human: boolean;
  readonly layers?: boolean;
  readonly format?: string;
}

export function define(command: Command): void {
  command
    .usage("[OPTIONS] IMAGE")
    .argument("<image>")
    .option("-q, --quiet", "only IDs")
    .option("--no-trunc", "whole IDs and commands")
    .option("-H, --human", "sizes and times for people; --human=false for programs", true)
    .option("--layers", "the diffID of each layer too")
    .option("--format <format>", "table, json, or a template such as {{.CreatedBy}}");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const options = command.opts<Options>();
  const store = context.openStore();
  const image = store.images.lookup(command.args[0] ?? "");
  const columns = ["ID", options.human ? "CreatedSince" : "CreatedAt", "CreatedBy", "Size", "Comment"];
  if (options.layers) columns.push("Layer");
  const rows = historyRows(store, image, options, context.now());
  const quiet = options.quiet ? "ID" : undefined;
  context.stdout.write(formatRows(rows, { format: options.format, headers, columns, quiet }));
  return 0;
}

const headers = { ID: "IMAGE", CreatedSince: "CREATED", CreatedAt: "CREATED AT", CreatedBy: "CREATED BY" };

/** Entries that made no layer weigh nothing; the others stand for the image's layers, in order. */
function historyRows(store: Store, image: StoredImage, options: Options, nowMs: number): readonly Row[] {
  const layers = image.chain.map((id) => store.layers.get(id));
  let next = 0;
  const rows = image.config.history.map((entry): Row => {
    const layer = entry.empty_layer ? undefined : layers[next];
    if (!entry.empty_layer) next += 1;
    const created = entry.created === undefined ? undefined : new Date(entry.created);
    const createdBy = (entry.created_by ?? "").replaceAll("\t", " ");
    const size = layer?.sizeBytes ?? 0;
    return {
      ID: "<missing>",
      CreatedSince: formatAgo(created, nowMs),
      CreatedAt: entry.created ?? "",
      CreatedBy: options.trunc ? cutCell(createdBy, 45) : createdBy,
      Size: options.human ? formatSize(size) : String(size),
      Comment: entry.comment ?? "",
      Layer: layer === undefined ? "" : options.trunc ? hexOf(layer.diffId).slice(0, 12) : layer.diffId,
    };
  });
  const id = options.trunc ? hexOf(image.id).slice(0, 12) : image.id;
  return rows.toReversed().map((row, index) => (index === 0 ? { ...row, ID: id } : row));
}
