/** Cache records as the `cache` commands show and choose them. */
import { TsbuildError } from "../errors.ts";
import { hexOf } from "../oci/digest.ts";
import type { CacheRecord, CompressedForm, LayerId, Store } from "../store/store.ts";
import { type Filters, someFits, switchFilter } from "./filters.ts";
import { formatSize } from "./render/size.ts";
import type { Row } from "./render/table.ts";
import { formatAgo, jsonTimestamp, parseTime } from "./render/time.ts";

/** Of those that no manifest of an image names. */
export function ownCompressedForms(store: Store): readonly CompressedForm[] {
  const named = new Set(
    store.images.list().flatMap(({ manifest }) => manifest?.value.layers.map(({ digest }) => digest) ?? []),
  );
  return store.compressedForms().filter(({ digest }) => !named.has(digest));
}

export const recordFilterKeys: readonly string[] = [
  "id",
  "type",
  "kind",
  "until",
  "description~",
  "inuse",
  "shared",
  "private",
];

/** Layers that images stand on: removing their records frees nothing. */
export function layersOfImages(store: Store): ReadonlySet<LayerId> {
  return new Set(store.images.list().flatMap((image) => image.chain));
}

export interface FilterView {
  readonly ofImages: ReadonlySet<LayerId>;
  readonly nowMs: number;
}

/** @throws {TsbuildError} `INVALID_ARGUMENT` for a bad value */
export function recordFilter(filters: Filters, { ofImages, nowMs }: FilterView): (record: CacheRecord) => boolean {
  const until = filters.get("until")?.map((text) => parseTime(text, nowMs));
  const shared = switchFilter(filters, "shared") ?? switchFilter(filters, "inuse");
  const isPrivate = switchFilter(filters, "private");
  const patterns = filters.get("description~")?.map(regularExpression);
  return (record) =>
    someFits(filters, "id", (id) => hexOf(record.key).startsWith(id)) &&
    someFits(filters, "type", (type) => type === "regular") &&
    someFits(filters, "kind", (kind) => kind === record.kind) &&
    (until === undefined || until.some((time) => record.lastUsed.getTime() < time)) &&
    (shared === undefined || shared === ofImages.has(record.layer)) &&
    (isPrivate === undefined || isPrivate !== ofImages.has(record.layer)) &&
    (patterns === undefined || patterns.some((pattern) => pattern.test(record.instruction)));
}

function regularExpression(text: string): RegExp {
  try {
    return new RegExp(text, "u");
  } catch (cause) {
    throw new TsbuildError({ code: "INVALID_ARGUMENT", what: `invalid regular expression: ${text}`, cause });
  }
}

/**
 * The record of an ID, a unique prefix of one, or a layer's digest.
 * @throws {TsbuildError} `INVALID_ARGUMENT`
 */
export function findRecord(store: Store, text: string): CacheRecord {
  const records = store.cache.list();
  const wanted = text.replace(/^sha256:/, "").toLowerCase();
  const byKey = /^[0-9a-f]+$/.test(wanted) ? records.filter((record) => hexOf(record.key).startsWith(wanted)) : [];
  const [first, second] =
    byKey.length > 0 ? byKey : records.filter((record) => hexOf(store.layers.get(record.layer).diffId) === wanted);
  if (first === undefined)
    throw new TsbuildError({
      code: "INVALID_ARGUMENT",
      what: `no such cache record: ${text}`,
      hint: "see what there is: tsbuild cache ls",
    });
  if (second !== undefined && byKey.length > 1)
    throw new TsbuildError({
      code: "INVALID_ARGUMENT",
      what: `${text} is the beginning of ${byKey.length} cache records`,
      hint: "give more of the ID: tsbuild cache ls --no-trunc",
    });
  return first;
}

export interface RecordView {
  readonly nowMs: number;
  readonly trunc: boolean;
  /** For machines: bytes and RFC 3339 times, whole IDs. */
  readonly machine: boolean;
}

export function recordRow(record: CacheRecord, { nowMs, trunc, machine }: RecordView): Row {
  const id = hexOf(record.key);
  const line = record.instruction.replace(/\s+/g, " ");
  return {
    ID: machine ? record.key : trunc ? id.slice(0, 12) : id,
    Type: "regular",
    Kind: record.kind,
    Size: machine ? record.sizeBytes : formatSize(record.sizeBytes),
    CreatedSince: machine ? jsonTimestamp(record.created) : formatAgo(record.created, nowMs),
    CreatedAt: jsonTimestamp(record.created),
    LastUsedSince: machine ? jsonTimestamp(record.lastUsed) : formatAgo(record.lastUsed, nowMs),
    LastUsedAt: jsonTimestamp(record.lastUsed),
    Uses: record.uses,
    DurationMs: record.durationMs,
    Definition: record.definition,
    Instruction: machine || !trunc ? line : clipped(line),
  };
}

function clipped(text: string): string {
  return text.length <= 60 ? text : `${[...text].slice(0, 59).join("")}…`;
}

export interface PruneLimits {
  /** Records of images too: their layers stay, but the next build runs the steps again. */
  readonly all: boolean;
  /** Stop when what only the cache keeps weighs no more. */
  readonly keepBytes: number | undefined;
  /** Only what was not used for so long. */
  readonly olderThanMs: number | undefined;
  readonly filters: Filters;
  readonly nowMs: number;
}

/** Least recently used first; of records used at once, those that stand on others first. */
export function choosePrunable(store: Store, limits: PruneLimits): readonly CacheRecord[] {
  const { all, keepBytes, olderThanMs, filters, nowMs } = limits;
  const ofImages = layersOfImages(store);
  const until = filters.get("until")?.map((text) => parseTime(text, nowMs)) ?? [];
  const records = store.cache
    .list()
    .toSorted((a, b) => a.lastUsed.getTime() - b.lastUsed.getTime() || b.chain.length - a.chain.length);
  const candidates = records.filter(
    (record) =>
      (all || !ofImages.has(record.layer)) &&
      (olderThanMs === undefined || nowMs - record.lastUsed.getTime() > olderThanMs) &&
      until.every((time) => record.lastUsed.getTime() < time),
  );
  if (keepBytes === undefined) return candidates;
  // How many records keep each layer that no image keeps.
  const keepers = new Map<LayerId, number>();
  for (const { chain } of records)
    for (const layer of chain) if (!ofImages.has(layer)) keepers.set(layer, (keepers.get(layer) ?? 0) + 1);
  const sizeOf = (layer: LayerId): number => store.layers.get(layer).sizeBytes;
  let weight = [...keepers.keys()].reduce((sum, layer) => sum + sizeOf(layer), 0);
  const chosen: CacheRecord[] = [];
  for (const record of candidates) {
    if (weight <= keepBytes) break;
    chosen.push(record);
    for (const layer of record.chain) {
      const left = (keepers.get(layer) ?? 0) - 1;
      keepers.set(layer, left);
      if (left === 0) weight -= sizeOf(layer);
    }
  }
  return chosen;
}
