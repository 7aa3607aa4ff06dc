/**
 * Image configs for archives from before Docker 1.10, in which every layer had a config of its own. Made as docker makes
 * them, so that the image gets the same ID there and here. Source: moby, `MakeConfigFromV1Config`.
 */
import type { DiffId } from "../oci/digest.ts";
import { archiveInvalid } from "./errors.ts";

/** Fields of the old form that the new one does not have. */
const dropped = new Set(["id", "parent", "Size", "parent_id", "layer_id", "throwaway"]);

/** `jsons` and `diffIds`: bottom first, as many of one as of the other. */
export function configOfLegacyImage(jsons: readonly Buffer[], diffIds: readonly DiffId[]): Buffer {
  const configs = jsons.map((json) => parseObject(json));
  const top = configs.at(-1) ?? {};
  const config = new Map(Object.entries(top).filter(([key]) => !dropped.has(key)));
  config.set("rootfs", { type: "layers", diff_ids: diffIds });
  config.set("history", configs.map(historyOf));
  return Buffer.from(goJson(Object.fromEntries([...config].sort(([a], [b]) => (a < b ? -1 : 1)))));
}

function historyOf(config: Record<string, unknown>): Record<string, unknown> {
  const container = config["container_config"] as { Cmd?: unknown } | null | undefined;
  const command = Array.isArray(container?.Cmd) ? container.Cmd.join(" ") : "";
  return {
    created: config["created"] ?? "0001-01-01T00:00:00Z",
    ...(nonEmpty(config["author"]) && { author: config["author"] }),
    ...(command !== "" && { created_by: command }),
    ...(nonEmpty(config["comment"]) && { comment: config["comment"] }),
  };
}

function nonEmpty(value: unknown): boolean {
  return typeof value === "string" && value !== "";
}

/** Go escapes what HTML would read. */
function goJson(value: unknown): string {
  return JSON.stringify(value)
    .replaceAll("<", "\\u003c")
    .replaceAll(">", "\\u003e")
    .replaceAll("&", "\\u0026")
    .replaceAll("\u2028", "\\u2028")
    .replaceAll("\u2029", "\\u2029");
}

function parseObject(json: Buffer): Record<string, unknown> {
  const value: unknown = JSON.parse(json.toString("utf8"));
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw archiveInvalid("an image's json is no object");
}
