/** What a stage carries from line to line, and the image it starts with. */
import { type ContainerConfig, defaultPath, type ImageConfig } from "../oci/image-config.ts";
import { normalisePlatform, type Platform } from "../oci/platform.ts";
import type { HistoryTemplate, ImageTemplate, ResolvedImage, Step, TreeRef } from "./build-graph.ts";
import { StageEnvironment } from "./scopes.ts";

export interface StageState {
  readonly index: number;
  readonly name: string | undefined;
  readonly platform: Platform;
  readonly base: TreeRef;
  readonly environment: StageEnvironment;
  /** The base image's own history. */
  readonly baseHistory: ImageConfig["history"];
  /** Platform fields of the config. */
  readonly target: Pick<ImageTemplate, "architecture" | "os" | "variant">;
  /** What FROM this stage runs first: ONBUILD lines of the base image, then none. */
  readonly inheritedTriggers: readonly string[];
  tree: TreeRef;
  config: ContainerConfig;
  author: string | undefined;
  history: HistoryTemplate[];
  steps: Step[];
  /** A CMD stood in this stage: ENTRYPOINT then keeps it. */
  cmdSet: boolean;
}

interface StageHead {
  readonly index: number;
  readonly name: string | undefined;
}

export function scratchState(head: StageHead, target: Platform, build: Platform, explicit: boolean): StageState {
  return {
    ...head,
    platform: target,
    base: { kind: "scratch" },
    tree: { kind: "scratch" },
    environment: environmentOf([`PATH=${defaultPath}`]),
    baseHistory: [],
    target: platformFields(explicit ? target : build),
    inheritedTriggers: [],
    config: { Env: [`PATH=${defaultPath}`], WorkingDir: "/" },
    author: undefined,
    history: [],
    steps: [],
    cmdSet: false,
  };
}

/** As in BuildKit: the image's config is taken over, but for OnBuild; a missing PATH is added. */
export function imageState(
  head: StageHead,
  image: ResolvedImage,
  platform: Platform,
  target: { readonly platform: Platform; readonly explicit: boolean },
): StageState {
  const { OnBuild: triggers = [], ...config } = image.config.config;
  const env = config.Env ?? [];
  const hasPath = env.some((pair) => pair.startsWith("PATH="));
  const withPath = hasPath ? env : [...env, `PATH=${defaultPath}`];
  const empty = image.chain.length === 0;
  const tree: TreeRef = empty ? { kind: "scratch" } : { kind: "image", image };
  return {
    ...head,
    platform,
    base: tree,
    tree,
    environment: environmentOf(withPath),
    baseHistory: image.config.history,
    target: configPlatform(image.config, target),
    inheritedTriggers: triggers,
    config: { ...config, Env: withPath },
    author: image.config.author,
    history: [],
    steps: [],
    cmdSet: false,
  };
}

/**
 * A copy of an earlier stage's state, its ARGs included, of which those that ENV names too have the value of ENV again; its
 * ONBUILD lines become triggers.
 */
export function childState(head: StageHead, parent: StageState): StageState {
  const { OnBuild: triggers = [], ...config } = parent.config;
  return {
    ...head,
    platform: parent.platform,
    base: parent.tree,
    tree: parent.tree,
    environment: environmentOf(config.Env ?? [], parent.environment),
    baseHistory: parent.baseHistory,
    target: parent.target,
    inheritedTriggers: triggers,
    config,
    author: parent.author,
    history: [...parent.history],
    steps: [],
    cmdSet: false,
  };
}

/** Labels of the command line come last and leave no history. */
export function imageTemplate(state: StageState, labels: ReadonlyMap<string, string>): ImageTemplate {
  const config =
    labels.size === 0
      ? state.config
      : { ...state.config, Labels: { ...state.config.Labels, ...Object.fromEntries(labels) } };
  return {
    ...state.target,
    ...(state.author !== undefined && { author: state.author }),
    config,
    baseHistory: state.baseHistory,
    history: state.history,
  };
}

function environmentOf(env: readonly string[], base?: StageEnvironment): StageEnvironment {
  const environment = new StageEnvironment(base);
  for (const pair of env) {
    const at = pair.indexOf("=");
    environment.set(at < 0 ? pair : pair.slice(0, at), at < 0 ? "" : pair.slice(at + 1));
  }
  return environment;
}

function platformFields(platform: Platform): StageState["target"] {
  const { os, architecture, variant } = normalisePlatform(platform);
  return variant === undefined ? { architecture, os } : { architecture, os, variant };
}

/** With an explicit platform the target's, keeping a variant that only the base names. As in BuildKit. */
function configPlatform(
  base: ImageConfig,
  target: { readonly platform: Platform; readonly explicit: boolean },
): StageState["target"] {
  const own = normalisePlatform(base);
  if (!target.explicit) return platformFields(own);
  const wanted = normalisePlatform(target.platform);
  const sameMachine = wanted.os === own.os && wanted.architecture === own.architecture;
  return platformFields(
    wanted.variant === undefined && sameMachine && own.variant !== undefined
      ? { ...wanted, variant: own.variant }
      : wanted,
  );
}
