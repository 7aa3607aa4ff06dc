/** What checks look at: the file, its stages, and for those that are evaluated what each line finds before it. */
import type { ContainerConfig, ImageConfig } from "../oci/image-config.ts";
import type { Platform } from "../oci/platform.ts";
import type { Diagnostic, Dockerfile, Instruction, Range } from "../parser/ast.ts";
import type { BuildOptions } from "../planner/build-options.ts";
import type { IgnoreRules } from "../planner/ignore-rules.ts";
import type { GlobalScope } from "../planner/scopes.ts";
import type { StageSource } from "../planner/stage-names.ts";
import type { RuleName } from "./rules.ts";
import type { Moment } from "./variable-history.ts";

/** What of a build decides about its checks. */
export type CheckOptions = Pick<
  BuildOptions,
  "buildArgs" | "context" | "ignore" | "namedContexts" | "platforms" | "target"
>;

export interface CheckedFile {
  readonly dockerfile: Dockerfile;
  /** Warnings that the parser has found already. */
  readonly parsed: readonly Diagnostic[];
  readonly options: CheckOptions;
  readonly global: GlobalScope;
  /** The same when no build argument is given. */
  readonly defaults: GlobalScope;
  readonly targetPlatform: Platform;
  /** All of the file. `image` is empty where it cannot be known. */
  readonly stages: readonly StageSource[];
  /** Those that are evaluated, in file order. */
  readonly walked: readonly WalkedStage[];
  /** Stages whose layers are in the target's image: the target and what it is FROM. */
  readonly shipped: ReadonlySet<number>;
  /** Of the main context; undefined when it has none. */
  readonly ignore: IgnoreRules | undefined;
}

export interface WalkedStage {
  readonly source: StageSource;
  readonly base: StageBase;
  /** Triggers of the base first. */
  readonly lines: readonly WalkedLine[];
  readonly end: LineState;
}

export type StageBase =
  | { readonly kind: "scratch" }
  | { readonly kind: "stage"; readonly stage: WalkedStage }
  | { readonly kind: "image"; readonly image: BaseImage; readonly wanted: Platform }
  /** It is not here, or it is a context: nobody knows its variables. */
  | { readonly kind: "unknown" };

export interface BaseImage extends Pick<ImageConfig, "os" | "architecture" | "variant"> {
  readonly config: ContainerConfig;
}

export interface WalkedLine {
  readonly instruction: Instruction;
  /** Of a trigger everything is shown at the FROM line. */
  readonly rangeOf: (range: Range) => Range;
  readonly trigger: boolean;
  readonly before: LineState;
}

export interface LineState extends Moment {
  /** Undefined while nobody has set one. */
  readonly shell: readonly string[] | undefined;
  /** Absolute. */
  readonly workdir: string;
  /** By a line of this file. */
  readonly workdirSet: boolean;
}

export type Report = (rule: RuleName, range: Range, message: string, hint?: string) => void;

/** Looks at a file and reports what it finds. It never throws. */
export type Check = (file: CheckedFile, report: Report) => void;
