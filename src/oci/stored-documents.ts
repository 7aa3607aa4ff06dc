/**
 * Configs and manifests whose bytes were checked when the image came (`parse-image-config.ts`, `parse-manifest.ts`), as
 * our types. No schema is loaded here: every command that looks at an image reads one.
 */
import type { ContainerConfig, ImageConfig } from "./image-config.ts";
import type { ImageIndex, Manifest } from "./manifest.ts";
import { mediaTypes } from "./media-types.ts";
import { hostPlatform } from "./platform.ts";

/** Real configs are loose: `null` for absent, one word for a list, no history. */
export function storedImageConfig(bytes: Uint8Array): ImageConfig {
  const json = withoutNulls(bytes) as LooseConfig;
  const { config = {}, rootfs } = json;
  return {
    ...json,
    architecture: json.architecture || hostPlatform().architecture,
    os: json.os || "linux",
    config: {
      ...config,
      ...(typeof config.Cmd === "string" && { Cmd: [config.Cmd] }),
      ...(typeof config.Entrypoint === "string" && { Entrypoint: [config.Entrypoint] }),
    } as ContainerConfig,
    history: json.history ?? [],
    rootfs: { type: "layers", diff_ids: rootfs?.diff_ids ?? [] },
  };
}

/** An OCI manifest need not say that it is one. */
export function storedManifest(bytes: Uint8Array): Manifest {
  return { mediaType: mediaTypes.ociManifest, ...(withoutNulls(bytes) as Omit<Manifest, "mediaType">) };
}

/** The same for an index. */
export function storedIndex(bytes: Uint8Array): ImageIndex {
  return { mediaType: mediaTypes.ociIndex, ...(withoutNulls(bytes) as Omit<ImageIndex, "mediaType">) };
}

/** What `read` parses; undefined when a fault of the disk has left no JSON of it. */
export function soundOrUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function withoutNulls(bytes: Uint8Array): unknown {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  return JSON.parse(text, (_, value: unknown) => value ?? undefined);
}

interface LooseConfig extends Partial<Omit<ImageConfig, "config">> {
  readonly config?: Omit<ContainerConfig, "Cmd" | "Entrypoint"> & {
    readonly Cmd?: string | readonly string[];
    readonly Entrypoint?: string | readonly string[];
  };
}
