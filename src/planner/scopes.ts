/**
 * Where names get their values: the global scope of FROM lines, and each stage's environment.
 * Source: Dockerfile reference, "Environment replacement" and "ARG".
 */
import type { Platform } from "../oci/platform.ts";
import { formatPlatform } from "../oci/platform.ts";
import type { ArgInstruction } from "../parser/ast.ts";
import { expandWord, type Locate, type Variables } from "./expand-word.ts";

/**
 * A stage's build environment: ENV and ARG in one namespace, the later line wins. Iterates in order of last assignment,
 * which is the order RUN gets it in.
 */
export class StageEnvironment {
  readonly #variables: Map<string, string>;
  /** Declared ARGs in order of first declaration, for history; the value is the one given there, if any. */
  readonly #declared: Map<string, string | undefined>;

  constructor(base?: StageEnvironment) {
    this.#variables = new Map(base?.variables);
    this.#declared = new Map(base?.declared);
  }

  get variables(): Variables {
    return this.#variables;
  }

  get declared(): ReadonlyMap<string, string | undefined> {
    return this.#declared;
  }

  set(name: string, value: string): void {
    this.#variables.delete(name);
    this.#variables.set(name, value);
  }

  declare(name: string, value: string | undefined): void {
    this.#declared.set(name, value);
  }

  /** `|2 A=1 B=2`: what history shows in front of a RUN's command; empty without declared ARGs. */
  historyPrefix(): readonly string[] {
    const pairs = [...this.#declared].map(([name, value]) => `${name}=${this.#variables.get(name) ?? value ?? ""}`);
    return pairs.length === 0 ? [] : [`|${pairs.length}`, ...pairs];
  }
}

export interface GlobalScope {
  readonly variables: Variables;
  /** Those that FROM lines may name: declared ones and the predefined. */
  readonly names: ReadonlySet<string>;
}

/**
 * Names that are builder switches even when an ARG declares them: never in the environment.
 * Source: Dockerfile reference, "BuildKit built-in build args".
 */
export const switchArgs: ReadonlySet<string> = new Set(["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"]);

/** Taken from build-args without ARG. */
export const builderArgs: ReadonlySet<string> = new Set([
  "BUILDKIT_SYNTAX",
  "BUILDKIT_DOCKERFILE_CHECK",
  "BUILDKIT_MULTI_PLATFORM",
  "BUILDKIT_SANDBOX_HOSTNAME",
  "BUILDKIT_CACHE_MOUNT_NS",
  "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
  "BUILDKIT_INLINE_CACHE",
  "BUILDKIT_BUILD_NAME",
  "SOURCE_DATE_EPOCH",
]);

const proxyNames = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"] as const;

export function isProxyArg(name: string): boolean {
  return (proxyNames as readonly string[]).includes(name.toUpperCase());
}

/** `HTTP_PROXY=…`, `http_proxy=…` of each proxy that is given, in whatever case. */
export function proxyVariables(buildArgs: ReadonlyMap<string, string>): readonly string[] {
  const pairs: string[] = [];
  for (const name of proxyNames) {
    for (const [key, value] of buildArgs) {
      if (key.toUpperCase() !== name) continue;
      pairs.push(`${name}=${value}`, `${name.toLowerCase()}=${value}`);
      break;
    }
  }
  return pairs;
}

/** Empty parts are set and empty. Source: Dockerfile reference, "Automatic platform ARGs in the global scope". */
export function platformArgs(build: Platform, target: Platform, targetStage: string): ReadonlyMap<string, string> {
  const parts = (prefix: string, platform: Platform): readonly (readonly [string, string])[] => [
    [`${prefix}PLATFORM`, formatPlatform(platform)],
    [`${prefix}OS`, platform.os],
    [`${prefix}OSVERSION`, ""],
    [`${prefix}ARCH`, platform.architecture],
    [`${prefix}VARIANT`, platform.variant ?? ""],
  ];
  return new Map([...parts("BUILD", build), ...parts("TARGET", target), ["TARGETSTAGE", targetStage] as const]);
}

/**
 * ARGs before the first FROM, one by one, over the platform ARGs. A build-arg replaces a default; a name with neither
 * stays unset.
 */
export function globalScope(
  args: readonly ArgInstruction[],
  predefined: ReadonlyMap<string, string>,
  buildArgs: ReadonlyMap<string, string>,
  locate: Locate,
): GlobalScope {
  const variables = new Map<string, string>();
  for (const [name, value] of predefined) variables.set(name, buildArgs.get(name) ?? value);
  const names = new Set(variables.keys());
  for (const instruction of args) {
    for (const arg of instruction.args) {
      names.add(arg.name);
      const given = buildArgs.get(arg.name);
      if (given !== undefined) variables.set(arg.name, given);
      else if (arg.defaultValue !== undefined) variables.set(arg.name, expandWord(arg.defaultValue, variables, locate));
    }
  }
  return { variables, names };
}

/** One ARG instruction of a stage. Returns its history text. Source: Dockerfile reference, "ARG", "Scope". */
export function declareArgs(
  instruction: ArgInstruction,
  environment: StageEnvironment,
  scopes: { readonly global: GlobalScope; readonly buildArgs: ReadonlyMap<string, string> },
  locate: Locate,
): string {
  const texts: string[] = [];
  for (const arg of instruction.args) {
    const value =
      scopes.buildArgs.get(arg.name) ??
      (arg.defaultValue === undefined
        ? scopes.global.variables.get(arg.name)
        : expandWord(arg.defaultValue, environment.variables, locate));
    if (value !== undefined && !switchArgs.has(arg.name)) environment.set(arg.name, value);
    environment.declare(arg.name, value);
    texts.push(value === undefined ? arg.name : `${arg.name}=${value}`);
  }
  return `ARG ${texts.join(" ")}`;
}
