/** Whether what a builder made is what the case says. Each difference is one sentence. */
import { isDeepStrictEqual } from "node:util";
import type { ExpectedFile, ExpectedImage, Outcome } from "../fixtures/parity/case.ts";
import type { BuildRun } from "./build-run.ts";
import { describeNode, meaning, shown } from "./compare.ts";
import { isSameHistory } from "./history-text.ts";
import type { BuiltImage, FileNode, HistoryEntry, LayerEntry } from "./image.ts";

/** Of our build alone: what the case says in words. */
export function judgeRefusal(
  outcome: Extract<Outcome, { kind: "rejected" | "failed" }>,
  run: BuildRun,
): readonly string[] {
  if (run.ok) return [`the build succeeds, and should be ${outcome.kind}`];
  const problems: string[] = [];
  if (run.refused !== (outcome.kind === "rejected"))
    problems.push(
      run.refused ? "refused before any step, and a step should fail" : "steps began before it was refused",
    );
  // An excerpt of the source has all words of the source.
  const message = run.log.replaceAll(/^ *\d* \| .*$/gm, "");
  if (!message.includes(outcome.says) && !run.printed.some((line) => line.includes(outcome.says)))
    problems.push(`the message lacks ${shown(outcome.says)}: ${run.log}`);
  if (outcome.line !== undefined && !new RegExp(`Dockerfile:${outcome.line}(:|$)`, "m").test(run.log))
    problems.push(`the message does not point at line ${outcome.line}: ${run.log}`);
  if (run.log.includes("a defect of tsbuild")) problems.push(run.log);
  return problems;
}

/** What a build said: of `tsbuild` everything, of the reference what both say alike. */
export function judgeRun(image: ExpectedImage, run: BuildRun, isOurs: boolean): readonly string[] {
  const begins = (texts: readonly string[], text: string): boolean => texts.some((each) => each.startsWith(text));
  return [
    ...(image.prints ?? [])
      .filter((line) => !run.printed.includes(line))
      .map((line) => `no step prints ${shown(line)}, but ${shown(run.printed)}`),
    ...(image.hits ?? [])
      .filter((text) => !begins(run.hits, text))
      .map((text) => `${text} does not come from the cache`),
    ...(image.misses ?? []).filter((text) => !begins(run.misses, text)).map((text) => `${text} does not run`),
    ...(isOurs ? (image.warns ?? []) : [])
      .filter((text) => !run.log.includes(text))
      .map((text) => `no warning says ${shown(text)}: ${run.log}`),
  ];
}

export function judgeImage(
  wanted: ExpectedImage,
  image: BuiltImage,
  { base, isOurs }: { readonly base: BuiltImage; readonly isOurs: boolean },
): readonly string[] {
  const isOnBase = image.layers[0]?.diffId === base.layers[0]?.diffId;
  const ownLayers = image.layers.slice(isOnBase ? base.layers.length : 0);
  const variables = new Map(
    environment(image).map((pair) => [pair.replace(/=.*/s, ""), pair.slice(pair.indexOf("=") + 1)]),
  );
  const equal = (what: string, actual: unknown, expected: unknown): readonly string[] =>
    isDeepStrictEqual(actual, expected) || (expected === undefined && meaning(actual) === undefined)
      ? []
      : [`${what} is ${shown(actual)}, not ${shown(expected)}`];
  const each = (
    record: Readonly<Record<string, unknown>> | undefined,
    what: string,
    actual: (key: string) => unknown,
  ): readonly string[] =>
    Object.entries(record ?? {}).flatMap(([key, value]) => equal(`${what}${key}`, actual(key), value));
  return [
    ...image.problems,
    ...Object.entries(wanted.files ?? {}).flatMap(([path, file]) => judgeFile(path, file, image.files.get(path))),
    ...(wanted.layers === undefined
      ? []
      : equal(
          "layers",
          ownLayers.map(({ entries }) => entries.map(printed)),
          wanted.layers,
        )),
    ...each(wanted.config, "config.", (key) => image.config.config?.[key]),
    ...each(wanted.env, "the variable ", (key) => variables.get(key)),
    ...each(wanted.top, "", (key) => image.config[key]),
    ...judgeHistory(
      wanted.history,
      image.config.history?.slice(isOnBase ? (base.config.history ?? []).length : 0) ?? [],
      isOurs,
    ),
    ...(wanted.bytes === undefined || image.configText.includes(wanted.bytes)
      ? []
      : [`the config lacks ${shown(wanted.bytes)}: ${image.configText}`]),
    ...(wanted.holds?.(image) ?? []),
  ];
}

function judgeHistory(
  wanted: readonly string[] | undefined,
  entries: readonly HistoryEntry[],
  isOurs: boolean,
): readonly string[] {
  if (wanted === undefined) return [];
  const actual = entries.map((entry) => `${entry.empty_layer === true ? "(empty) " : ""}${entry.created_by ?? ""}`);
  const bare = (text: string | undefined): string | undefined => text?.replace(/^\(empty\) /, "");
  const isEqual = (text: string, at: number): boolean =>
    text === actual[at] || (!isOurs && isSameHistory(bare(text), bare(actual[at])));
  if (wanted.length === actual.length && wanted.every(isEqual)) return [];
  return [`history is ${shown(actual)}, not ${shown(wanted)}`];
}

function environment(image: BuiltImage): readonly string[] {
  const pairs = image.config.config?.["Env"];
  return Array.isArray(pairs) ? pairs.map(String) : [];
}

function judgeFile(path: string, wanted: string | ExpectedFile, node: FileNode | undefined): readonly string[] {
  const expected: ExpectedFile = typeof wanted === "string" ? { type: "file", text: wanted } : wanted;
  if (expected.type === "absent") return node === undefined ? [] : [`${path} is there: ${describeNode(node)}`];
  if (node === undefined) return [`${path} is not there`];
  if (node.type !== expected.type) return [`${path} is ${describeNode(node)}, not a ${expected.type}`];
  const differ = (what: string, actual: unknown, value: unknown): readonly string[] =>
    value === undefined || isDeepStrictEqual(actual, value)
      ? []
      : [`${path}: ${what} is ${shown(actual)}, not ${shown(value)}`];
  return [
    ...differ("content", node.bytes?.toString(), expected.text),
    ...differ("target", node.link, expected.link),
    ...differ("mode", node.mode.toString(8), expected.mode?.toString(8)),
    ...differ("owner", [node.uid, node.gid], expected.owner),
    ...differ("mtime", node.mtime, expected.mtime),
  ];
}

function printed({ path, node, target }: LayerEntry): string {
  const name = path.slice(1);
  if (node === undefined) return `${name} = ${target?.slice(1)}`;
  if (node.type === "dir") return `${name}/`;
  return node.type === "symlink" ? `${name} -> ${node.link}` : name;
}
