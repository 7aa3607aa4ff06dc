/** What a build is asked to do, as a value: what the CLI's flags become. */
import type { KeyObject } from "node:crypto";
import type { Platform } from "../oci/platform.ts";
import type { Reference } from "../oci/reference.ts";
import type { ResolvedImage, RunLimits } from "./build-graph.ts";

export interface BuildOptions {
  /** The Dockerfile's text and the name it is shown under. */
  readonly dockerfile: { readonly text: string; readonly file: string };
  readonly context: BuildContext;
  /** Text of the ignore file that applies to the main context, and its name for messages. */
  readonly ignore: { readonly text: string; readonly file: string } | undefined;
  /** By lower-case name. */
  readonly namedContexts: ReadonlyMap<string, NamedContext>;
  readonly target: string | undefined;
  /** Set and empty is not unset: `--build-arg A=`. */
  readonly buildArgs: ReadonlyMap<string, string>;
  readonly labels: ReadonlyMap<string, string>;
  /** In the order of the result's index. None: the builder's own, and a base image for another one keeps its. */
  readonly platforms: readonly Platform[];
  readonly noCache: boolean;
  /** Lower case. */
  readonly noCacheFilter: readonly string[];
  readonly network: "default" | "none" | "host";
  readonly extraHosts: readonly { readonly name: string; readonly address: string }[];
  readonly shmSizeBytes: number | undefined;
  readonly ulimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly limits: RunLimits;
  readonly cgroupParent: string | undefined;
  /** Entitlements: `network.host`, `security.insecure`, `device`, `device=NAME`. */
  readonly allow: readonly string[];
  readonly secrets: ReadonlyMap<string, SecretSource>;
  /** What RUN steps see as their ssh agent, by ID. */
  readonly ssh: ReadonlyMap<string, SshSource>;
  /** The caller's variables: of them git and ssh see where programs lie, proxies, and certificates. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

export type BuildContext =
  | {
      readonly kind: "directory";
      readonly path: string;
      /** Unpacked for this build only: nothing about it is worth remembering. */
      readonly temporary?: true;
      /** Of an archive they are kept; of all else files belong to 0:0. */
      readonly owners?: "root" | "kept";
      /** Epoch seconds: a commit's time, a file's Last-Modified, the newest file of an archive. A folder here has none. */
      readonly time?: number | undefined;
      /** Where it was fetched from; undefined for what lay here. */
      readonly remote?: RemoteSource | undefined;
    }
  /** `-`: a Dockerfile on stdin, no files. */
  | { readonly kind: "empty" };

/** A source elsewhere as it was when it was fetched. */
export interface RemoteSource {
  /** Without password. */
  readonly uri: string;
  /** Hex, by algorithm: `sha1` of a commit, `sha256` of a file. */
  readonly digest: Readonly<Record<string, string>>;
}

export type NamedContext =
  | { readonly kind: "directory"; readonly path: string }
  | { readonly kind: "image"; readonly reference: string }
  | { readonly kind: "ociLayout"; readonly layout: OciLayout }
  | { readonly kind: "git"; readonly url: string }
  /** One file, called `context`. */
  | { readonly kind: "url"; readonly url: string }
  /** Of a scheme that nobody knows, which matters only when it is used. */
  | { readonly kind: "unknown"; readonly value: string };

/** An image in a folder, by its tag or its digest. */
export interface OciLayout {
  /** Absolute. */
  readonly path: string;
  /** `latest` when neither is given. */
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

export type SecretSource =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "environment"; readonly value: string };

export type SshSource =
  /** An agent that runs already; absolute. */
  | { readonly kind: "socket"; readonly path: string }
  /** Private keys, which an agent of ours serves. */
  | { readonly kind: "keys"; readonly keys: readonly KeyObject[] };

/**
 * Finds an image in the store, or pulls it; with a layout it is taken from there, and `reference` is only its name.
 * @throws {TsbuildError} `BASE_IMAGE_NOT_FOUND`
 */
export type ResolveImage = (reference: Reference, platform: Platform, layout?: OciLayout) => Promise<ResolvedImage>;
