/** `tsbuild cache inspect`: one record, with the whole input that was hashed. */
import type { Command } from "commander";
import { hexOf } from "../../../oci/digest.ts";
import type { CacheRecord, Store } from "../../../store/store.ts";
import { findRecord, layersOfImages } from "../../cache-records.ts";
import type { CommandContext } from "../../command.ts";
import { printable } from "../../render/printable.ts";
import { formatSize } from "../../render/size.ts";
import { formatAgo, jsonTimestamp } from "../../render/time.ts";

export function define(command: Command): void {
  command
    .usage("[OPTIONS] STEP [STEP...]")
    .argument("<step...>", "ID of a record, the beginning of one, or a layer's digest")
    .option("--json", "as an array of JSON objects");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const { json = false } = command.opts<{ json?: boolean }>();
  const store = context.openStore();
  const records = command.args.map((text) => findRecord(store, text));
  context.stdout.write(
    json
      ? `${JSON.stringify(records.map((record) => recordObject(store, record)))}\n`
      : records.map((record) => recordText(store, record, context.now())).join("\n"),
  );
  return 0;
}

function recordObject(store: Store, record: CacheRecord): Readonly<Record<string, unknown>> {
  const { layers, cache } = store;
  const all = cache.list();
  const below = record.chain.slice(0, -1);
  return {
    ID: record.key,
    Definition: record.definition,
    Parent: record.parent ?? null,
    Kind: record.kind,
    Instruction: record.instruction,
    Site: record.site.split("\n"),
    Layer: layers.get(record.layer).diffId,
    ContentDigest: layers.get(record.layer).contentDigest,
    ChainID: layers.chainId(record.chain) ?? null,
    Size: record.sizeBytes,
    DurationMs: record.durationMs,
    Created: jsonTimestamp(record.created),
    LastUsed: jsonTimestamp(record.lastUsed),
    Uses: record.uses,
    StandsOn: all.filter((other) => sameChain(other.chain, below)).map((other) => other.key),
    StoodOnBy: all.filter((other) => sameChain(other.chain.slice(0, -1), record.chain)).map((other) => other.key),
    InImage: layersOfImages(store).has(record.layer),
    Input: JSON.parse(cache.input(record)) as unknown,
  };
}

function sameChain(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.length > 0 && a.every((layer, index) => layer === b[index]);
}

function recordText(store: Store, record: CacheRecord, nowMs: number): string {
  const object = recordObject(store, record);
  const keys = (value: unknown): string =>
    (value as readonly CacheRecord["key"][]).map((key) => hexOf(key).slice(0, 12)).join(" ") || "-";
  const facts: readonly (readonly [string, string])[] = [
    ["ID", hexOf(record.key)],
    ["Instruction", record.instruction],
    ["Definition", record.definition],
    ["Stands on", record.parent ?? "nothing"],
    ["Steps below", keys(object["StandsOn"])],
    ["Steps above", keys(object["StoodOnBy"])],
    ["Layer", String(object["Layer"])],
    ["Size", formatSize(record.sizeBytes)],
    ["Took", `${record.durationMs} ms`],
    ["Created", `${formatAgo(record.created, nowMs)} (${jsonTimestamp(record.created)})`],
    ["Last used", formatAgo(record.lastUsed, nowMs)],
    ["Uses", String(record.uses)],
    ["Kept", object["InImage"] === true ? "by an image too" : "by this record"],
  ];
  const lines = facts.map(([name, value]) => `${`${name}:`.padEnd(14)}${printable(value)}`);
  const input = JSON.stringify(object["Input"], undefined, 2).replace(/^/gm, "  ");
  return `${lines.join("\n")}\nInput:\n${printable(input)}\n`;
}
