/**
 * An image config whose bytes were checked when the image came (`parse-image-config.ts`), as our type. No schema is
 * loaded here: every command that looks at an image reads one.
 */
import type { ContainerConfig, ImageConfig } from "./image-config.ts";
import { hostPlatform } from "./platform.ts";

/** Real configs are loose: `null` for absent, one word for a list, no history. */
export function storedImageConfig(bytes: Uint8Array): ImageConfig {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  const json = JSON.parse(text, (_, value: unknown) => value ?? undefined) as LooseConfig;
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

interface LooseConfig extends Partial<Omit<ImageConfig, "config">> {
  readonly config?: Omit<ContainerConfig, "Cmd" | "Entrypoint"> & {
    readonly Cmd?: string | readonly string[];
    readonly Entrypoint?: string | readonly string[];
  };
}
