/** One stage: what FROM means, then line after line, triggers of the base first. */
import type { Where } from "../errors.ts";
import { formatPlatform, type Platform } from "../oci/platform.ts";
import type {
  AddInstruction,
  CopyInstruction,
  Diagnostic,
  Dockerfile,
  Instruction,
  MountFlag,
  Range,
  RunInstruction,
  WorkdirInstruction,
} from "../parser/ast.ts";
import { whereOf } from "../parser/position.ts";
import type { ResolvedImage, Step, StepId, StepInput, TreeRef } from "./build-graph.ts";
import type { BuildOptions, OciLayout } from "./build-options.ts";
import { absolutePath, cleanPath } from "./clean-path.ts";
import { bindCopy } from "./copy-input.ts";
import { circularStages, stageBelow } from "./errors.ts";
import { expandWord, type Locate } from "./expand-word.ts";
import { foldConfig } from "./fold-config.ts";
import { type ContextTree, type FoundContext, findNamedContext, treeOfContext } from "./named-contexts.ts";
import type { Problems } from "./problems.ts";
import { defaultShell, runInput, unkeyedOf } from "./run-input.ts";
import type { GlobalScope } from "./scopes.ts";
import { imageFailed, lastStageNamed, type StageSource, stageAbove, stageByOrigin, stageTitle } from "./stage-names.ts";
import { childState, imageState, type StageState, scratchState } from "./stage-state.ts";
import { readTrigger } from "./trigger.ts";

export interface BindContext {
  readonly source: Dockerfile;
  readonly options: BuildOptions;
  readonly global: GlobalScope;
  readonly build: Platform;
  readonly target: { readonly platform: Platform; readonly explicit: boolean };
  readonly sourceDateEpoch: number | undefined;
  /** Number of the first stage in the graph: 0, and more for a further platform. */
  readonly firstStage: number;
  readonly stages: readonly StageSource[];
  readonly warn: (warning: Diagnostic) => void;
  readonly problems: Problems;
  /** One resolution for one name and platform. */
  readonly resolve: (name: string, platform: Platform, layout?: OciLayout) => Promise<ResolvedImage>;
  /** One evaluation for one stage. */
  readonly state: (index: number) => Promise<StageState>;
}

/** @throws {TsbuildError} */
export async function evaluateStage(index: number, context: BindContext): Promise<StageState> {
  const stage = context.stages[index];
  if (stage === undefined) throw new Error(`no stage ${index}`);
  const named =
    stage.name === undefined
      ? undefined
      : findNamedContext(context.options.namedContexts, stage.name, context.target.platform);
  if (named !== undefined) return replacedStage(stage, named, context);
  const state = await startStage(stage, context);
  const evaluation = new StageEvaluation(stage, state, context);
  const keep = (error: unknown): void => context.problems.keep(error);
  for (const trigger of state.inheritedTriggers) {
    const from = whereOf(context.source, stage.from.range);
    const instructions = await readTrigger(trigger, from).catch(keep);
    for (const instruction of instructions ?? [])
      await evaluation.apply(instruction, { locate: () => from, range: () => stage.from.range }).catch(keep);
  }
  const own: Place = { locate: (range) => whereOf(context.source, range), range: (range) => range };
  for (const instruction of stage.body) await evaluation.apply(instruction, own).catch(keep);
  return { ...state, steps: labelled(state, stage, context) };
}

/** The stage is a context: its base is not resolved, its lines are not run. */
async function replacedStage(stage: StageSource, named: FoundContext, context: BindContext): Promise<StageState> {
  const state = await namedState(stage, named, context, whereOf(context.source, stage.from.range));
  return { ...state, steps: labelled(state, stage, context) };
}

// FROM -----------------------------------------------------------------------------------------------------------

async function startStage(stage: StageSource, context: BindContext): Promise<StageState> {
  const where = whereOf(context.source, stage.from.image.range);
  const base = stageAbove(stage.image, context.stages, stage.index);
  if (base !== undefined) return childState(stage, await context.state(base));
  const { platform, explicit } = context.target;
  if (stage.image === "scratch") return scratchState(head(stage), platform, context.build, explicit);
  const wanted = stage.platform ?? platform;
  const named = findNamedContext(context.options.namedContexts, stage.image, wanted);
  if (named !== undefined) return namedState(stage, named, context, where);
  const image = await resolveBase(stage.image, wanted, context, { where, stage });
  return imageState(head(stage), image, wanted, context.target);
}

function head(stage: StageSource): { readonly index: number; readonly name: string | undefined } {
  return { index: stage.index, name: stage.name };
}

async function resolveBase(
  name: string,
  platform: Platform,
  context: BindContext,
  { where, stage, layout }: { where: Where; stage: StageSource; layout?: OciLayout | undefined },
): Promise<ResolvedImage> {
  try {
    return await context.resolve(name, platform, layout);
  } catch (error) {
    const unset = stage.from.image.parts.find(
      (part) => part.kind === "variable" && !context.global.variables.has(part.name),
    );
    throw imageFailed(name, error, {
      where,
      origin: "base",
      stages: context.stages.slice(0, stage.index),
      ...(unset?.kind === "variable" && { unset: unset.name }),
    });
  }
}

/** A stage that starts from a named context. */
async function namedState(
  stage: StageSource,
  named: FoundContext,
  context: BindContext,
  where: Where,
): Promise<StageState> {
  const { platform, explicit } = context.target;
  const key = named.name;
  const tree = treeOfContext(named);
  if (tree.kind === "image") {
    const wanted = stage.platform ?? platform;
    const image = await resolveBase(tree.reference, wanted, context, { where, stage, layout: tree.layout });
    return imageState(head(stage), image, wanted, context.target);
  }
  const state = scratchState(head(stage), platform, context.build, explicit);
  if (tree.kind === "folder") {
    // A tree that steps can stand on has to be a layer: the whole context, copied onto nothing.
    const number = context.firstStage + stage.index;
    const id = stepId(number, 0);
    state.steps.push({
      id,
      stage: number,
      label: "",
      text: `FROM ${key}`,
      range: stage.from.range,
      platform,
      parent: { kind: "scratch" },
      input: {
        kind: "copy",
        instruction: "COPY",
        from: { kind: "context", name: key },
        sources: [{ kind: "path", path: "/" }],
        destination: "/",
        link: false,
        parents: false,
        exclude: [],
      },
      unkeyed: { proxies: [], extraHosts: [], limits: {} },
      args: [],
      noCache: context.options.noCache,
    });
    state.tree = { kind: "step", step: id };
    state.history.push({ createdBy: `FROM ${key}`, step: id });
  }
  return state;
}

function stepId(stage: number, step: number): StepId {
  return `${stage}.${step}` as StepId;
}

// Lines ----------------------------------------------------------------------------------------------------------

/** How a line is shown: a trigger's text lies in no file, so everything in it is shown at the FROM line. */
interface Place {
  readonly locate: Locate;
  readonly range: (own: Range) => Range;
}

class StageEvaluation {
  readonly #stage: StageSource;
  readonly #state: StageState;
  readonly #context: BindContext;

  constructor(stage: StageSource, state: StageState, context: BindContext) {
    this.#stage = stage;
    this.#state = state;
    this.#context = context;
  }

  async apply(instruction: Instruction, place: Place): Promise<void> {
    switch (instruction.kind) {
      case "run":
        return this.#run(instruction, place);
      case "copy":
      case "add":
        return this.#copy(instruction, place);
      case "workdir":
        return this.#workdir(instruction, place);
      case "from":
      case "invalid":
        return;
      default:
        foldConfig(this.#state, instruction, {
          global: this.#context.global,
          buildArgs: this.#context.options.buildArgs,
          locate: place.locate,
        });
    }
  }

  async #run(instruction: RunInstruction, place: Place): Promise<void> {
    const state = this.#state;
    const input = await runInput(instruction, {
      variables: state.environment.variables,
      workdir: this.#workdirNow(),
      user: state.config.User ?? "",
      shell: state.config.Shell ?? defaultShell,
      options: this.#context.options,
      locate: place.locate,
      mountOrigin: (mount) => this.#mountOrigin(mount, place.locate(mount.range)),
    });
    const shown = [...state.environment.historyPrefix(), ...input.argv].join(" ");
    this.#addStep(instruction, place, input, `RUN ${shown} # buildkit`);
  }

  async #copy(instruction: CopyInstruction | AddInstruction, place: Place): Promise<void> {
    const from = instruction.kind === "copy" && instruction.from;
    const { input, history } = bindCopy(instruction, {
      variables: this.#state.environment.variables,
      workdir: this.#workdirNow(),
      locate: place.locate,
      from: from ? await this.#copyOrigin(from.value, place.locate(from.range)) : { kind: "context", name: undefined },
    });
    this.#addStep(instruction, place, input, history);
  }

  /** As in BuildKit: an absolute path is stored as it is written, and `/` makes no layer. */
  #workdir(instruction: WorkdirInstruction, place: Place): void {
    const state = this.#state;
    const text = expandWord(instruction.path, state.environment.variables, place.locate);
    const path = text.startsWith("/") ? text : absolutePath(text, this.#workdirNow());
    state.config = { ...state.config, WorkingDir: path };
    const history = `WORKDIR ${path}`;
    if (cleanPath(path) === "/") state.history.push({ createdBy: history, step: undefined });
    else this.#addStep(instruction, place, workdirInput(path, state, this.#context), history);
  }

  #workdirNow(): string {
    return this.#state.config.WorkingDir || "/";
  }

  #addStep(instruction: Instruction, place: Place, input: StepInput, history: string): void {
    const state = this.#state;
    const { options } = this.#context;
    const number = this.#context.firstStage + state.index;
    const id = stepId(number, state.steps.length);
    const filtered = state.name !== undefined && options.noCacheFilter.includes(state.name);
    state.steps.push({
      id,
      stage: number,
      label: "",
      text: instruction.joined,
      range: place.range(instruction.range),
      platform: state.platform,
      parent: state.tree,
      input,
      unkeyed: unkeyedOf(options),
      args: [...state.environment.declared.keys()],
      noCache: options.noCache || filtered,
    });
    state.tree = { kind: "step", step: id };
    state.history.push({ createdBy: history, step: id });
  }

  async #mountOrigin(mount: MountFlag, where: Where): Promise<TreeRef> {
    if (mount.from === undefined)
      return mount.type === "cache" ? { kind: "scratch" } : { kind: "context", name: undefined };
    return this.#origin(mount.from, lastStageNamed(mount.from, this.#context.stages), where);
  }

  #copyOrigin(value: string, where: Where): Promise<TreeRef> {
    return this.#origin(value, stageByOrigin(value, this.#context.stages, where), where);
  }

  /** Sources resolve from the root of that tree. */
  async #origin(name: string, index: number | undefined, where: Where): Promise<TreeRef> {
    const { stages, options, target } = this.#context;
    if (index !== undefined) {
      if (index === this.#stage.index) throw circularStages([stageTitle(stages, index)], where);
      if (index > this.#stage.index) throw stageBelow(stageTitle(stages, index), where);
      const replaced = this.#replacement(index);
      return replaced ?? (await this.#context.state(index)).tree;
    }
    if (name === "scratch") return { kind: "scratch" };
    const named = findNamedContext(options.namedContexts, name, target.platform);
    const tree: ContextTree =
      named === undefined ? { kind: "image", reference: name, layout: undefined } : treeOfContext(named);
    if (tree.kind === "scratch") return { kind: "scratch" };
    if (tree.kind === "folder") return { kind: "context", name: named?.name };
    const { reference, layout } = tree;
    try {
      const image = await this.#context.resolve(reference, target.platform, layout);
      return image.chain.length === 0 ? { kind: "scratch" } : { kind: "image", image };
    } catch (error) {
      throw imageFailed(reference, error, { where, origin: "origin", stages });
    }
  }

  /** A stage that is a directory context: copied from as that, without a layer of all of it. */
  #replacement(index: number): TreeRef | undefined {
    const { stages, options, target } = this.#context;
    const name = stages[index]?.name;
    const named = name === undefined ? undefined : findNamedContext(options.namedContexts, name, target.platform);
    if (named === undefined || treeOfContext(named).kind !== "folder") return undefined;
    return { kind: "context", name: named.name };
  }
}

function workdirInput(path: string, state: StageState, { sourceDateEpoch }: BindContext): StepInput {
  return {
    kind: "workdir",
    path,
    user: state.config.User ?? "",
    ...(sourceDateEpoch !== undefined && { sourceDateEpoch }),
  };
}

/** `build 3/5`: an image counts as the first. An only stage without a name needs none. */
function labelled(state: StageState, stage: StageSource, context: BindContext): Step[] {
  const fromImage = state.base.kind === "image" && stageAbove(stage.image, context.stages, stage.index) === undefined;
  const first = fromImage ? 2 : 1;
  const total = state.steps.length + first - 1;
  const name = [
    ...(context.options.platforms.length > 1 ? [formatPlatform(state.platform)] : []),
    stage.from.stageNameText ?? (context.stages.length === 1 ? "" : `stage-${stage.index}`),
  ]
    .filter((part) => part !== "")
    .join(" ");
  return state.steps.map((step, at) => {
    const place = `${at + first}/${total}`;
    return { ...step, label: name === "" ? place : `${name} ${place}` };
  });
}
