/**
 * The bound Dockerfile: names resolved, words expanded, triggers run, only what the target needs. Config instructions
 * are already evaluated into each stage's image; what is left are the steps that make layers.
 */
import type { Brand, Digest, ImageId } from "../oci/digest.ts";
import type { ContainerConfig, ImageConfig } from "../oci/image-config.ts";
import type { Platform } from "../oci/platform.ts";
import type { Diagnostic, Range } from "../parser/ast.ts";
import type { Chain } from "../store/store.ts";
import type { GitSource } from "./git-url.ts";

/** `2.0`: third stage of the file, first step in it. For a second platform, the stages go on counting. */
export type StepId = Brand<"StepId">;

export interface BuildGraph {
  /** Tells this Dockerfile's cache records from those of another: the context's folder. */
  readonly site: string;
  readonly file: string;
  readonly text: string;
  /** Those the target needs, in file order; all of one platform after all of the one before it. */
  readonly stages: readonly GraphStage[];
  /** What is built: the target stage for each platform, in the order in which they were asked for. */
  readonly targets: readonly GraphTarget[];
  /** SOURCE_DATE_EPOCH: seconds that no time of what is made lies behind. */
  readonly sourceDateEpoch: number | undefined;
  /** All steps of these stages; a step stands after those it needs. */
  readonly steps: readonly Step[];
  readonly warnings: readonly Diagnostic[];
}

export interface GraphTarget {
  /** The one that was asked for: what TARGETPLATFORM says. */
  readonly platform: Platform;
  readonly stage: GraphStage;
}

export interface GraphStage {
  /** In the file; for each further platform they go on counting. */
  readonly index: number;
  readonly name: string | undefined;
  readonly base: TreeRef;
  readonly platform: Platform;
  /** The stage's last tree: its last step's, or its base. */
  readonly result: TreeRef;
  readonly image: ImageTemplate;
  /** What an SBOM is to be made of beside the result: BUILDKIT_SBOM_SCAN_STAGE, BUILDKIT_SBOM_SCAN_CONTEXT. */
  readonly scans: { readonly stage: boolean; readonly context: boolean };
}

/** An image without what only execution knows: diffIDs and times. */
export interface ImageTemplate {
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string;
  readonly author?: string;
  readonly config: ContainerConfig;
  /** The base image's own, in front. */
  readonly baseHistory: ImageConfig["history"];
  readonly history: readonly HistoryTemplate[];
}

export interface HistoryTemplate {
  readonly createdBy: string;
  /** The step whose layer it describes; undefined for `empty_layer`. */
  readonly step: StepId | undefined;
}

/** Which tree something stands on or copies from. */
export type TreeRef =
  | { readonly kind: "scratch" }
  | { readonly kind: "image"; readonly image: ResolvedImage }
  | { readonly kind: "step"; readonly step: StepId }
  /** A build context; the main one has no name. */
  | { readonly kind: "context"; readonly name: string | undefined };

export interface ResolvedImage {
  /** As the Dockerfile or flag says it. */
  readonly name: string;
  readonly id: ImageId;
  readonly chain: Chain;
  readonly config: ImageConfig;
  readonly manifestDigest?: Digest;
}

export interface Step {
  readonly id: StepId;
  readonly stage: number;
  /** `build 3/5`. */
  readonly label: string;
  /** `RUN npm ci`: the instruction as written, joined to one line. */
  readonly text: string;
  readonly range: Range;
  readonly platform: Platform;
  readonly parent: TreeRef;
  readonly input: StepInput;
  readonly unkeyed: Unkeyed;
  /** Names that ARG declared, this stage's and inherited ones: they tell ARG from ENV when a miss is explained. */
  readonly args: readonly string[];
  /** `--no-cache` or `--no-cache-filter` names it. */
  readonly noCache: boolean;
}

// The very values that are hashed and run -----------------------------------------------------------------------

export type StepInput = RunInput | CopyInput | WorkdirInput;

export interface RunInput {
  readonly kind: "run";
  readonly argv: readonly string[];
  /** `K=V` in order of last assignment. */
  readonly env: readonly string[];
  readonly cwd: string;
  /** As USER says it; empty = root. */
  readonly user: string;
  readonly network: "default" | "none" | "host";
  readonly security: "sandbox" | "insecure";
  readonly hostname: string;
  readonly extraHostNames: readonly string[];
  readonly shmSizeBytes?: number;
  readonly ulimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly cgroupParent?: string;
  /** In the Container Device Interface. */
  readonly devices: readonly { readonly name: string; readonly required: boolean }[];
  /** Sorted by target. */
  readonly mounts: readonly RunMount[];
  /** `RUN <<EOF` with `#!`: mounted read-only at /dev/pipes/NAME, mode 0755. */
  readonly scripts: readonly { readonly name: string; readonly content: string }[];
}

/** `target` is absolute and clean. */
export type RunMount =
  | {
      readonly type: "bind";
      readonly target: string;
      readonly from: TreeRef;
      readonly source: string;
      readonly readonly: boolean;
    }
  | {
      readonly type: "cache";
      readonly target: string;
      readonly id: string;
      readonly sharing: "shared" | "private" | "locked";
      readonly readonly: boolean;
      readonly from: TreeRef;
      readonly source: string;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    }
  | { readonly type: "tmpfs"; readonly target: string; readonly sizeBytes?: number; readonly readonly: boolean }
  | {
      readonly type: "secret";
      /** Absent: only as a variable. */
      readonly target?: string;
      readonly env?: string;
      readonly id: string;
      readonly required: boolean;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    }
  | {
      readonly type: "ssh";
      readonly target: string;
      readonly id: string;
      readonly required: boolean;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    };

/** COPY and ADD of one origin. */
export interface CopyInput {
  readonly kind: "copy";
  readonly instruction: "COPY" | "ADD";
  readonly from: TreeRef;
  readonly sources: readonly CopySource[];
  /** Absolute; a trailing `/` is kept: it means "a folder". */
  readonly destination: string;
  /** As written after expansion; undefined = the origin's rule. */
  readonly chown?: string;
  readonly chmod?:
    | { readonly kind: "octal"; readonly mode: number }
    | { readonly kind: "symbolic"; readonly text: string };
  readonly link: boolean;
  readonly parents: boolean;
  readonly exclude: readonly string[];
  /** ADD only. */
  readonly unpack?: boolean;
  readonly checksum?: string;
}

export type CopySource =
  /** A path or wildcard pattern below the origin's root, cleaned, with leading `/`; `--parents` keeps `/./`. */
  | { readonly kind: "path"; readonly path: string }
  | { readonly kind: "heredoc"; readonly name: string; readonly content: string }
  | { readonly kind: "url"; readonly url: string }
  | { readonly kind: "git"; readonly source: GitSource };

export interface WorkdirInput {
  readonly kind: "workdir";
  /** Absolute, as stored in the config. */
  readonly path: string;
  readonly user: string;
  readonly sourceDateEpoch?: number;
}

/** What a step uses and its key leaves out; omission is visible in this type. */
export interface Unkeyed {
  /** HTTP_PROXY and its like, given by build-arg. */
  readonly proxies: readonly string[];
  readonly extraHosts: readonly { readonly name: string; readonly address: string }[];
  readonly limits: RunLimits;
}

/** Absent means unlimited. */
export interface RunLimits {
  readonly memoryBytes?: number;
  /** Memory and swap together; −1 = unlimited. */
  readonly memorySwapBytes?: number;
  readonly cpuShares?: number;
  readonly cpuPeriodUs?: number;
  readonly cpuQuotaUs?: number;
  /** `0-2,4`. */
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
}
