/** `manifest.json` and `repositories` of docker's archives, read. Source: moby, image/spec/spec.md. */
import { z } from "zod";
import { archiveInvalid } from "./errors.ts";

export interface DockerManifestEntry {
  readonly Config: string;
  readonly RepoTags: readonly string[];
  /** Bottom first. */
  readonly Layers: readonly string[];
}

const manifest = z.array(
  z.object({
    Config: z.string(),
    RepoTags: z.nullish(z.array(z.string())).transform((tags) => tags ?? []),
    Layers: z.nullish(z.array(z.string())).transform((layers) => layers ?? []),
  }),
);

/** @throws {TsbuildError} `ARCHIVE_INVALID` */
export function parseDockerManifest(raw: Buffer): readonly DockerManifestEntry[] {
  return parsed(manifest, raw, "manifest.json");
}

const repositories = z.record(z.string(), z.record(z.string(), z.string()));

/** Repository → tag → image ID. */
export function parseRepositories(raw: Buffer): readonly (readonly [string, readonly (readonly [string, string])[]])[] {
  return Object.entries(parsed(repositories, raw, "repositories")).map(([name, tags]) => [name, Object.entries(tags)]);
}

function parsed<T>(schema: z.ZodType<T>, raw: Buffer, name: string): T {
  let json: unknown;
  try {
    json = JSON.parse(raw.toString("utf8"));
  } catch (cause) {
    throw archiveInvalid(`${name} is not JSON`, cause);
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw archiveInvalid(`${name}: ${issue === undefined ? "unreadable" : `${issue.path.join(".")}: ${issue.message}`}`);
}
