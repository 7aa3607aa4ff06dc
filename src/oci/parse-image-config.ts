/**
 * Image configs from outside: bytes in, our type out. Tolerant where real images are loose (`null` for absent, no
 * history, no platform), strict where a wrong value would be trusted later (diffIDs). Source: image-spec, config.md.
 */
import { z } from "zod";
import { TsbuildError } from "../errors.ts";
import { diffIdOf, isDigest } from "./digest.ts";
import type { ImageConfig } from "./image-config.ts";
import { hostPlatform } from "./platform.ts";

const text = z.exactOptional(z.string());
const texts = z.exactOptional(z.array(z.string()));
const set = z.exactOptional(
  z.record(
    z.string(),
    z.looseObject({}).transform((): Record<string, never> => ({})),
  ),
);
const count = z.exactOptional(z.number());

/** Old images have one word where today is a list. */
const words = z.exactOptional(z.union([z.array(z.string()), z.string().transform((word) => [word])]));

const containerConfig = z.object({
  User: text,
  ExposedPorts: set,
  Env: texts,
  Entrypoint: words,
  Cmd: words,
  Volumes: set,
  WorkingDir: text,
  Labels: z.exactOptional(z.record(z.string(), z.string())),
  StopSignal: text,
  ArgsEscaped: z.exactOptional(z.boolean()),
  Healthcheck: z.exactOptional(
    z.object({
      Test: texts,
      Interval: count,
      Timeout: count,
      StartPeriod: count,
      StartInterval: count,
      Retries: count,
    }),
  ),
  OnBuild: texts,
  Shell: texts,
});

const imageConfig = z.object({
  architecture: text,
  author: text,
  config: z.exactOptional(containerConfig),
  created: text,
  history: z.exactOptional(
    z.array(
      z.object({
        created: text,
        created_by: text,
        author: text,
        comment: text,
        empty_layer: z.exactOptional(z.boolean()),
      }),
    ),
  ),
  os: text,
  "moby.buildkit.cache.v0": text,
  "os.version": text,
  rootfs: z.object({
    type: text,
    diff_ids: z.exactOptional(z.array(z.string().refine(isDigest, "is not a digest").transform(diffIdOf))),
  }),
  variant: text,
});

/**
 * `from` names the document in errors.
 * @throws {TsbuildError} `INVALID_CONFIG`
 */
export function parseImageConfig(raw: Uint8Array, from: string): ImageConfig {
  let json: unknown;
  try {
    // Go writes `null` for what is absent; here both are absent.
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(raw), (_, value: unknown) => value ?? undefined);
  } catch {
    throw invalidConfig(from, "it is not JSON");
  }
  const result = imageConfig.safeParse(json);
  if (!result.success) {
    const issue = result.error.issues[0];
    throw invalidConfig(from, issue === undefined ? "unreadable" : `${issue.path.join(".")}: ${issue.message}`);
  }
  const { architecture, config, history, os, rootfs, ...rest } = result.data;
  return {
    ...rest,
    architecture: architecture || hostPlatform().architecture,
    config: config ?? {},
    history: history ?? [],
    os: os || "linux",
    rootfs: { type: "layers", diff_ids: rootfs.diff_ids ?? [] },
  };
}

function invalidConfig(from: string, detail: string): TsbuildError {
  return new TsbuildError({ code: "INVALID_CONFIG", what: `invalid image config ${from}: ${detail}` });
}
