/**
 * The image config as the exact bytes that BuildKit writes: the image ID is their digest, so every byte counts.
 * Source: Go's encoding/json with HTML escaping on; moby's image spec for the order of fields.
 */
import type { ContainerConfig, Healthcheck, HistoryEntry, ImageConfig, Timestamp } from "./image-config.ts";

/** Compact JSON: fixed key orders, empty fields left out, `null` where Go writes a nil slice or pointer. */
export function imageConfigJson(config: ImageConfig): Uint8Array {
  const text = objectJson([
    ["architecture", stringJson(config.architecture)],
    ["author", optionalString(config.author)],
    ["config", containerConfigJson(config.config)],
    ["created", config.created === undefined ? "null" : stringJson(config.created)],
    ["history", config.history.length === 0 ? "null" : arrayJson(config.history.map(historyJson))],
    ["moby.buildkit.cache.v0", optionalString(config["moby.buildkit.cache.v0"])],
    ["os", stringJson(config.os)],
    ["os.version", optionalString(config["os.version"])],
    ["rootfs", rootfsJson(config.rootfs.diff_ids)],
    ["variant", optionalString(config.variant)],
  ]);
  return Buffer.from(text, "utf8");
}

/** RFC 3339 in UTC, trailing zeros of the fraction cut: `2026-01-02T03:04:05.12Z`. */
export function timestampOfMs(epochMs: number): Timestamp {
  return new Date(epochMs).toISOString().replace(/\.?0+Z$/, "Z");
}

function containerConfigJson(config: ContainerConfig): string {
  return objectJson([
    ["User", optionalString(config.User)],
    ["ExposedPorts", optionalMap(config.ExposedPorts, () => "{}")],
    ["Env", optionalList(config.Env)],
    ["Entrypoint", optionalList(config.Entrypoint)],
    ["Cmd", optionalList(config.Cmd)],
    ["Volumes", optionalMap(config.Volumes, () => "{}")],
    ["WorkingDir", optionalString(config.WorkingDir)],
    ["Labels", optionalMap(config.Labels, stringJson)],
    ["StopSignal", optionalString(config.StopSignal)],
    ["ArgsEscaped", config.ArgsEscaped === true ? "true" : undefined],
    ["Healthcheck", config.Healthcheck === undefined ? undefined : healthcheckJson(config.Healthcheck)],
    ["OnBuild", optionalList(config.OnBuild)],
    ["Shell", optionalList(config.Shell)],
  ]);
}

function healthcheckJson(check: Healthcheck): string {
  return objectJson([
    ["Test", optionalList(check.Test)],
    ["Interval", optionalNumber(check.Interval)],
    ["Timeout", optionalNumber(check.Timeout)],
    ["StartPeriod", optionalNumber(check.StartPeriod)],
    ["StartInterval", optionalNumber(check.StartInterval)],
    ["Retries", optionalNumber(check.Retries)],
  ]);
}

function historyJson(entry: HistoryEntry): string {
  return objectJson([
    ["created", optionalString(entry.created)],
    ["created_by", optionalString(entry.created_by)],
    ["author", optionalString(entry.author)],
    ["comment", optionalString(entry.comment)],
    ["empty_layer", entry.empty_layer === true ? "true" : undefined],
  ]);
}

function rootfsJson(diffIds: readonly string[]): string {
  return objectJson([
    ["type", '"layers"'],
    ["diff_ids", diffIds.length === 0 ? "null" : arrayJson(diffIds.map(stringJson))],
  ]);
}

function objectJson(members: readonly (readonly [string, string | undefined])[]): string {
  const written = members.filter(([, value]) => value !== undefined);
  return `{${written.map(([key, value]) => `${stringJson(key)}:${value}`).join(",")}}`;
}

function arrayJson(items: readonly string[]): string {
  return `[${items.join(",")}]`;
}

function optionalString(text: string | undefined): string | undefined {
  return text === undefined || text === "" ? undefined : stringJson(text);
}

function optionalNumber(value: number | undefined): string | undefined {
  return value === undefined || value === 0 ? undefined : String(value);
}

function optionalList(list: readonly string[] | undefined): string | undefined {
  return list === undefined || list.length === 0 ? undefined : arrayJson(list.map(stringJson));
}

function optionalMap<T>(map: Readonly<Record<string, T>> | undefined, json: (value: T) => string): string | undefined {
  const entries = Object.entries(map ?? {});
  if (entries.length === 0) return undefined;
  // Go sorts map keys by bytes; UTF-16 order differs above the surrogates.
  entries.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return objectJson(entries.map(([key, value]) => [key, json(value)]));
}

const escaped: Readonly<Record<string, string>> = {
  "<": "\\u003c",
  ">": "\\u003e",
  "&": "\\u0026",
  "\u2028": "\\u2028",
  "\u2029": "\\u2029",
};

/** Any value as Go's `json.MarshalIndent` prints it: two blanks deep, undefined members left out. */
export function indentedJson(value: unknown): Buffer {
  return Buffer.from(goEscaped(JSON.stringify(value, undefined, 2)), "utf8");
}

/** Go escapes these five beyond what JSON asks for, so that JSON may stand inside HTML. */
function stringJson(text: string): string {
  return goEscaped(JSON.stringify(text.toWellFormed()));
}

function goEscaped(json: string): string {
  return json.replace(/[<>&\u2028\u2029]/g, (character) => escaped[character] ?? "");
}
