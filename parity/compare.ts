/** What a user sees of two images that is not the same. */
import { isDeepStrictEqual } from "node:util";
import { isSameHistory } from "./history-text.ts";
import type { BuiltImage, FileNode, ImageLayer } from "./image.ts";

export interface Difference {
  /** What differs, for DIFFERENCES.md: `/d/f:mode`, `config.Cmd`, `history[2].created_by`, `layer[1] /d`. */
  readonly key: string;
  /** In words. */
  readonly text: string;
}

/** @param started seconds since 1970; times from then on are those of the builds, and count as equal. */
export function compareImages(ours: BuiltImage, theirs: BuiltImage, started: number): readonly Difference[] {
  return [
    ...ours.problems.map((text) => ({ key: "archive", text: `our archive: ${text}` })),
    ...theirs.problems.map((text) => ({ key: "archive", text: `their archive: ${text}` })),
    ...configDifferences(ours, theirs),
    ...historyDifferences(ours, theirs),
    ...fileDifferences(ours.files, theirs.files, started),
    ...layerDifferences(ours.layers, theirs.layers, started),
  ];
}

/** Compared by parts of their own, or true of one moment only. */
const notCompared: readonly string[] = ["config", "history", "rootfs", "created"];

function configDifferences(ours: BuiltImage, theirs: BuiltImage): readonly Difference[] {
  const values = (image: BuiltImage): ReadonlyMap<string, unknown> =>
    new Map([
      ...Object.entries(image.config).filter(([key]) => !notCompared.includes(key)),
      ...Object.entries(image.config.config ?? {}).map(([key, value]): [string, unknown] => [`config.${key}`, value]),
    ]);
  const [a, b] = [values(ours), values(theirs)];
  return [...new Set([...a.keys(), ...b.keys()])].sort().flatMap((key) => {
    const [left, right] = [meaning(a.get(key)), meaning(b.get(key))];
    if (isDeepStrictEqual(left, right)) return [];
    return [{ key, text: `${key}: ${shown(left)} here, ${shown(right)} there` }];
  });
}

/** Absent, null, false, and empty are one and the same to who reads a config. */
export function meaning(value: unknown): unknown {
  const isEmpty =
    value === null ||
    value === false ||
    value === "" ||
    (typeof value === "object" && value !== null && Object.keys(value).length === 0);
  return isEmpty ? undefined : value;
}

function historyDifferences(ours: BuiltImage, theirs: BuiltImage): readonly Difference[] {
  const [a, b] = [ours.config.history ?? [], theirs.config.history ?? []];
  const differences: Difference[] = [];
  if (a.length !== b.length)
    differences.push({ key: "history", text: `history: ${a.length} entries here, ${b.length} there` });
  for (const [index, left] of a.entries()) {
    const right = b[index];
    if (right === undefined) break;
    for (const key of ["created_by", "comment", "author", "empty_layer"] as const) {
      const isSame =
        key === "created_by"
          ? isSameHistory(left[key], right[key])
          : isDeepStrictEqual(meaning(left[key]), meaning(right[key]));
      if (isSame) continue;
      differences.push({
        key: `history[${index}].${key}`,
        text: `history[${index}].${key}: ${shown(left[key])} here, ${shown(right[key])} there`,
      });
    }
  }
  return differences;
}

type Files = ReadonlyMap<string, FileNode>;

function fileDifferences(ours: Files, theirs: Files, started: number): readonly Difference[] {
  const [oursLinks, theirsLinks] = [linkGroups(ours), linkGroups(theirs)];
  return [...new Set([...ours.keys(), ...theirs.keys()])].sort().flatMap((path) => {
    const [a, b] = [ours.get(path), theirs.get(path)];
    if (a === undefined) return [{ key: path, text: `${path}: only there (${describeNode(b)})` }];
    if (b === undefined) return [{ key: path, text: `${path}: only here (${describeNode(a)})` }];
    const differences = nodeDifferences(path, a, b, started);
    const [left, right] = [oursLinks.get(path) ?? [path], theirsLinks.get(path) ?? [path]];
    if (isDeepStrictEqual(left, right)) return differences;
    return [
      ...differences,
      { key: `${path}:links`, text: `${path}: one file with ${shown(left)} here, with ${shown(right)} there` },
    ];
  });
}

/** Names of one inode, by each of them. */
function linkGroups(files: Files): ReadonlyMap<string, readonly string[]> {
  const groups = Map.groupBy(
    [...files.keys()].filter((path) => files.get(path)?.type !== "dir"),
    (path) => files.get(path),
  );
  return new Map([...groups.values()].flatMap((paths) => paths.toSorted().map((path) => [path, paths.toSorted()])));
}

function nodeDifferences(path: string, a: FileNode, b: FileNode, started: number): readonly Difference[] {
  const differ = (what: string, left: unknown, right: unknown): readonly Difference[] =>
    isDeepStrictEqual(left, right)
      ? []
      : [{ key: `${path}:${what}`, text: `${path} ${what}: ${shown(left)} here, ${shown(right)} there` }];
  if (a.type !== b.type) return differ("type", a.type, b.type);
  // The reference's age: a folder that it copies gets its time before its files come into it.
  const isOld = (a.type === "dir" ? Math.max : Math.min)(a.mtime, b.mtime) < started;
  return [
    ...differ("mode", a.mode.toString(8), b.mode.toString(8)),
    ...differ("owner", `${a.uid}:${a.gid}`, `${b.uid}:${b.gid}`),
    ...(a.digest === b.digest ? [] : differ("content", contentOf(a), contentOf(b))),
    ...differ("link", a.link, b.link),
    ...differ("device", a.device, b.device),
    ...differ("xattrs", a.xattrs, b.xattrs),
    ...(isOld ? differ("mtime", a.mtime, b.mtime) : []),
  ];
}

function contentOf(node: FileNode): string {
  return node.bytes !== undefined && node.size <= 300 ? node.bytes.toString() : `${node.size} bytes, ${node.digest}`;
}

/** What adds up to the same files may still be in other layers, or be listed although nothing changed. */
function layerDifferences(
  ours: readonly ImageLayer[],
  theirs: readonly ImageLayer[],
  started: number,
): readonly Difference[] {
  const differences: Difference[] = [];
  if (ours.length !== theirs.length)
    differences.push({ key: "layers", text: `${ours.length} layers here, ${theirs.length} there` });
  for (const [index, layer] of ours.entries()) {
    const other = theirs[index];
    if (other === undefined || other.diffId === layer.diffId) continue;
    const [a, b] = [entriesOf(layer), entriesOf(other)];
    for (const path of [...new Set([...a.keys(), ...b.keys()])].sort()) {
      const [left, right] = [a.get(path), b.get(path)];
      const key = `layer[${index}] ${path}`;
      if (left === undefined || right === undefined) {
        differences.push({ key, text: `${key}: only ${left === undefined ? "there" : "here"}` });
      } else if (left !== "name" && right !== "name") {
        for (const difference of nodeDifferences(path, left, right, started))
          differences.push({ key: `layer[${index}] ${difference.key}`, text: `layer[${index}] ${difference.text}` });
      } else if (left !== right) {
        differences.push({ key, text: `${key}: a further name of a file on one side only` });
      }
    }
  }
  return differences;
}

function entriesOf({ entries }: ImageLayer): ReadonlyMap<string, FileNode | "name"> {
  // A whiteout says one thing: that it is there.
  return new Map(entries.map(({ path, node }) => [path, path.includes("/.wh.") || node === undefined ? "name" : node]));
}

export function describeNode(node: FileNode | undefined): string {
  if (node === undefined) return "nothing";
  return `${node.type} ${node.mode.toString(8).padStart(4, "0")} ${node.uid}:${node.gid}`;
}

export function shown(value: unknown): string {
  return value === undefined ? "nothing" : JSON.stringify(value);
}
