/** The image config as data. `image-config-json.ts` prints it the way BuildKit does. Source: image-spec, config.md. */
import type { DiffId } from "./digest.ts";

/** RFC 3339, UTC, nanoseconds with trailing zeros cut. */
export type Timestamp = string;

export interface Healthcheck {
  readonly Test?: readonly string[];
  /** Nanoseconds, as all times here. */
  readonly Interval?: number;
  readonly Timeout?: number;
  readonly StartPeriod?: number;
  readonly StartInterval?: number;
  readonly Retries?: number;
}

/** The `config` object: what a container of this image runs with. Key order is Docker's. */
export interface ContainerConfig {
  readonly User?: string;
  readonly ExposedPorts?: Readonly<Record<string, Record<string, never>>>;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Volumes?: Readonly<Record<string, Record<string, never>>>;
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>>;
  readonly StopSignal?: string;
  readonly ArgsEscaped?: boolean;
  readonly Healthcheck?: Healthcheck;
  readonly OnBuild?: readonly string[];
  readonly Shell?: readonly string[];
}

export interface HistoryEntry {
  readonly created?: Timestamp;
  readonly created_by?: string;
  readonly author?: string;
  readonly comment?: string;
  readonly empty_layer?: boolean;
}

export interface ImageConfig {
  readonly architecture: string;
  readonly author?: string;
  readonly config: ContainerConfig;
  readonly created?: Timestamp;
  readonly history: readonly HistoryEntry[];
  /** Cache records that travel with the image, base64. */
  readonly "moby.buildkit.cache.v0"?: string;
  readonly os: string;
  readonly "os.version"?: string;
  readonly rootfs: { readonly type: "layers"; readonly diff_ids: readonly DiffId[] };
  readonly variant?: string;
}

export const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
