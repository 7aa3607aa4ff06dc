/**
 * From the Dockerfile to the graph: names resolved, words expanded, triggers run, and only what the target needs. The
 * planner's first arrow; it never reads a context and never runs anything.
 */
import { TsbuildError, type Where } from "../errors.ts";
import { hostPlatform, type Platform, parsePlatform } from "../oci/platform.ts";
import { parseReference } from "../oci/reference.ts";
import type { ArgInstruction, Diagnostic, Dockerfile, FromInstruction, Instruction } from "../parser/ast.ts";
import { whereOf } from "../parser/position.ts";
import type { BuildGraph, GraphStage, GraphTarget, ResolvedImage, Step } from "./build-graph.ts";
import type { BuildOptions, ResolveImage } from "./build-options.ts";
import { baseFailed, emptyImageName, emptyPlatform, noStage, targetNotFound } from "./errors.ts";
import { type BindContext, evaluateStage } from "./evaluate-stage.ts";
import { expandWord } from "./expand-word.ts";
import { findNamedContext } from "./named-contexts.ts";
import { Problems } from "./problems.ts";
import { builderArgs, type GlobalScope, globalScope, isProxyArg, platformArgs } from "./scopes.ts";
import { type ResolveTime, sourceDateEpoch } from "./source-date-epoch.ts";
import { imageFailed, lastStageNamed, type StageSource, stageAbove } from "./stage-names.ts";
import { checkOrigins, originsIn, stageNeeds } from "./stage-references.ts";
import { imageTemplate, type StageState } from "./stage-state.ts";

/**
 * The graph of `options.target`. `dockerfile` has no errors: lines that the parser could not read are left out. A line
 * that cannot be bound is kept as an error, and the next is looked at: of several a `DockerfileInvalid` has all.
 * `resolveImage` is called for each image that the target needs, for several at once; `resolveTime` for what
 * SOURCE_DATE_EPOCH names, which without it has no time.
 * @throws {TsbuildError} `INSTRUCTION_INVALID`, `EXPANSION_FAILED`, `STAGE_NOT_FOUND`, `UNSUPPORTED`,
 * `INVALID_REFERENCE`, `INVALID_PLATFORM`, and what `resolveImage` throws, with its place in the file
 */
export async function buildGraph(
  dockerfile: Dockerfile,
  options: BuildOptions,
  resolveImage: ResolveImage,
  resolveTime: ResolveTime = async () => undefined,
): Promise<BuildGraph> {
  const { globals, froms } = splitStages(dockerfile.instructions);
  const explicit = options.platforms.length > 0;
  const platforms = explicit ? options.platforms : [hostPlatform()];
  const images = new Map<string, Promise<ResolvedImage>>();
  const resolve: BindContext["resolve"] = (name, platform, layout) => {
    const key = JSON.stringify([name, platform, layout]);
    const known = images.get(key);
    if (known !== undefined) return known;
    const image = Promise.try(() => resolveImage(parseReference(name), platform, layout));
    images.set(key, image);
    return image;
  };
  const times = new Map<string, Promise<number | undefined>>();
  const timeOf: ResolveTime = (source, where) => {
    const key = JSON.stringify(source);
    const known = times.get(key) ?? resolveTime(source, where);
    times.set(key, known);
    return known;
  };
  const bound = await Promise.all(
    platforms.map((platform, at) =>
      bindPlatform(
        { source: dockerfile, globals, froms },
        { platform: { platform, explicit }, firstStage: at * froms.length, options, resolve, timeOf },
      ),
    ),
  );
  return {
    site: options.context.kind === "directory" && !options.context.temporary ? options.context.path : "-",
    file: dockerfile.file,
    text: dockerfile.text,
    stages: bound.flatMap((one) => one.stages),
    targets: bound.map((one) => one.target),
    sourceDateEpoch: bound[0]?.sourceDateEpoch,
    steps: bound.flatMap((one) => one.steps),
    warnings: distinct(bound.flatMap((one) => one.warnings)).sort((a, b) => a.range.start - b.range.start),
  };
}

/** What every platform says is said once. */
function distinct(warnings: readonly Diagnostic[]): Diagnostic[] {
  return [...new Map(warnings.map((warning) => [JSON.stringify(warning), warning])).values()];
}

interface BoundPlatform {
  readonly sourceDateEpoch: number | undefined;
  readonly stages: readonly GraphStage[];
  readonly target: GraphTarget;
  readonly steps: readonly Step[];
  readonly warnings: readonly Diagnostic[];
}

/** The whole file, evaluated for one platform. */
async function bindPlatform(
  file: {
    readonly source: Dockerfile;
    readonly globals: readonly ArgInstruction[];
    readonly froms: readonly StageLines[];
  },
  {
    platform,
    firstStage,
    options: given,
    resolve,
    timeOf,
  }: Pick<BindContext, "options" | "resolve" | "firstStage"> & {
    readonly platform: BindContext["target"];
    readonly timeOf: ResolveTime;
  },
): Promise<BoundPlatform> {
  const { source, globals, froms } = file;
  const problems = new Problems();
  const target = problems.attempt(() => findTarget(froms, given.target));
  const targetStage = given.target ?? froms.at(-1)?.from.stageName ?? "default";
  const written = globalScope(
    globals,
    platformArgs(hostPlatform(), platform.platform, targetStage),
    given.buildArgs,
    (range) => whereOf(source, range),
  );
  const stages = froms.map((stage, index) => {
    const bound = problems.attempt(() =>
      bindFrom(stage, index, { source, global: written, target: platform.platform }),
    );
    return bound ?? { index, name: stage.from.stageName, image: "", platform: undefined, ...stage };
  });
  checkOrigins(stages, source, (error) => problems.keep(error));
  for (const stage of stages) problems.attempt(() => checkImageNames(stage, stages, given, platform.platform, source));
  const epoch = await sourceDateEpoch({
    options: given,
    global: written,
    stages,
    source,
    platform: platform.platform,
    timeOf,
  }).catch((error: unknown) => problems.keep(error));
  problems.throwAny(source);
  if (target === undefined) throw noStage(undefined);
  if (epoch === undefined) throw new Error("an epoch that is neither known nor wrong");
  const { global } = epoch;
  const options = { ...given, buildArgs: epoch.buildArgs };

  const warnings: Diagnostic[] = [];
  const states = new Map<number, Promise<StageState>>();
  const context: BindContext = {
    source,
    options,
    global,
    build: hostPlatform(),
    target: platform,
    firstStage,
    stages,
    warn: (warning) => warnings.push(warning),
    sourceDateEpoch: epoch.seconds,
    problems,
    resolve,
    state: (index) => {
      const known = states.get(index);
      if (known !== undefined) return known;
      const state = evaluateStage(index, context);
      states.set(index, state);
      return state;
    },
  };
  startResolving(target, context);
  const result = await context.state(target).catch((error: unknown) => problems.keep(error));
  problems.throwAny(source);
  const evaluated = await Promise.all([...states.values()]);
  evaluated.sort((a, b) => a.index - b.index);
  warnUnusedArgs(source, evaluated, context);
  const bound = evaluated.map((state) => ({
    state,
    stage: graphStage(state, state === result ? options.labels : new Map(), context),
  }));
  const built = bound.find(({ state }) => state === result);
  if (built === undefined) throw new Error("the target is not among the stages");
  return {
    stages: bound.map(({ stage }) => stage),
    target: { platform: platform.platform, stage: built.stage },
    sourceDateEpoch: epoch.seconds,
    steps: evaluated.flatMap((state) => state.steps),
    warnings,
  };
}

function graphStage(state: StageState, labels: ReadonlyMap<string, string>, context: BindContext): GraphStage {
  const { firstStage, global, stages } = context;
  const source = stages[state.index];
  // A stage's own line, or one above the first FROM. A stage that stands on this one does not have it from here.
  const isOn = (name: string): boolean => {
    const declares = source?.body.some((line) => line.kind === "arg" && line.args.some((arg) => arg.name === name));
    return isOnFor(declares ? state.environment.declared.get(name) : global.variables.get(name), state.name);
  };
  return {
    index: firstStage + state.index,
    name: state.name,
    base: state.base,
    platform: state.platform,
    result: state.tree,
    image: imageTemplate(state, labels),
    scans: { stage: isOn("BUILDKIT_SBOM_SCAN_STAGE"), context: isOn("BUILDKIT_SBOM_SCAN_CONTEXT") },
  };
}

/** Yes or no, as Go reads it, or names of stages. Source: Docker docs, "SBOM attestations", "Arguments". */
function isOnFor(value: string | undefined, stage: string | undefined): boolean {
  if (value === undefined || /^(?:0|f|false)$/i.test(value)) return false;
  return /^(?:1|t|true)$/i.test(value) || value.split(",").some((name) => name === stage);
}

/** Every image must have the form of a name, also where its stage is not needed. As in BuildKit. */
function checkImageNames(
  stage: StageSource,
  stages: readonly StageSource[],
  { namedContexts }: BuildOptions,
  target: Platform,
  source: Dockerfile,
): void {
  const { index, name, image, platform, from } = stage;
  const check = (word: string, origin: "base" | "origin", where: Where): void => {
    if (word === "" || word === "scratch") return;
    const isReplaced = [word, name].some(
      (each) => each !== undefined && findNamedContext(namedContexts, each, platform ?? target) !== undefined,
    );
    if (isReplaced) return;
    try {
      parseReference(word);
    } catch (error) {
      throw imageFailed(word, error, { where, origin, stages: origin === "base" ? stages.slice(0, index) : stages });
    }
  };
  if (stageAbove(image, stages, index) === undefined) check(image, "base", whereOf(source, from.image.range));
  for (const { kind, value, where } of originsIn(stage.body, source)) {
    const isIndex = kind === "copy" && /^-?[0-9]+$/.test(value);
    if (!isIndex && lastStageNamed(value, stages) === undefined) check(value, "origin", where);
  }
}

// The stages of the file -----------------------------------------------------------------------------------------

/** A FROM line and what stands below it. */
export interface StageLines {
  readonly from: FromInstruction;
  readonly body: readonly Instruction[];
}

/** Everything before the first FROM but ARG is left out. */
export function splitStages(instructions: readonly Instruction[]): {
  readonly globals: readonly ArgInstruction[];
  readonly froms: readonly StageLines[];
} {
  const globals: ArgInstruction[] = [];
  const froms: { readonly from: FromInstruction; readonly body: Instruction[] }[] = [];
  for (const instruction of instructions) {
    if (instruction.kind === "from") froms.push({ from: instruction, body: [] });
    else if (froms.length > 0) froms.at(-1)?.body.push(instruction);
    else if (instruction.kind === "arg") globals.push(instruction);
  }
  return { globals, froms };
}

/** By name only, the last of that name. */
function findTarget(stages: readonly StageLines[], target: string | undefined): number | undefined {
  if (target === undefined || target === "") return stages.length === 0 ? undefined : stages.length - 1;
  const index = stages.findLastIndex((stage) => stage.from.stageName === target.toLowerCase());
  if (index >= 0) return index;
  const names = stages.flatMap((stage) => stage.from.stageNameText ?? []);
  throw targetNotFound(target, [...new Set(names)]);
}

/** The FROM line of every stage is expanded, needed or not. As in BuildKit. */
function bindFrom(
  { from, body }: StageLines,
  index: number,
  context: { readonly source: Dockerfile; readonly global: GlobalScope; readonly target: Platform },
): StageSource {
  const locate = (range: FromInstruction["range"]): Where => whereOf(context.source, range);
  const image = expandWord(from.image, context.global.variables, locate);
  if (image === "") throw emptyImageName(from.image.raw, locate(from.image.range));
  let platform: Platform | undefined;
  if (from.platform !== undefined) {
    const text = expandWord(from.platform, context.global.variables, locate);
    if (text === "") throw emptyPlatform(locate(from.platform.range));
    try {
      platform = parsePlatform(text);
    } catch (error) {
      if (error instanceof TsbuildError) throw baseFailed(error, locate(from.platform.range));
      throw error;
    }
  }
  return { index, name: from.stageName, image, platform, from, body };
}

// Images ---------------------------------------------------------------------------------------------------------

/** Images that FROM lines of needed stages name are asked for at once, not one after the other. */
function startResolving(target: number, context: BindContext): void {
  const seen = new Set<number>();
  const visit = (index: number): void => {
    const stage = context.stages[index];
    if (stage === undefined || seen.has(index)) return;
    seen.add(index);
    if (
      stage.name !== undefined &&
      findNamedContext(context.options.namedContexts, stage.name, context.target.platform)
    )
      return;
    const needs = stageNeeds(stage, context.stages, context.source, () => undefined);
    for (const need of needs) if (need.stage < index) visit(need.stage);
    const earlier = stageAbove(stage.image, context.stages, index) !== undefined;
    const platform = stage.platform ?? context.target.platform;
    if (earlier || stage.image === "scratch") return;
    if (findNamedContext(context.options.namedContexts, stage.image, platform) !== undefined) return;
    // Whoever needs it awaits the same promise and reports its failure with the place.
    context.resolve(stage.image, platform).catch(() => undefined);
  };
  visit(target);
}

// Build arguments ------------------------------------------------------------------------------------------------

/** Declared nowhere in the file, and no name that the builder knows. */
function warnUnusedArgs(dockerfile: Dockerfile, evaluated: readonly StageState[], context: BindContext): void {
  // Triggers of base images declare some too.
  const declared = new Set<string>(evaluated.flatMap((state) => [...state.environment.declared.keys()]));
  for (const instruction of dockerfile.instructions)
    if (instruction.kind === "arg") for (const arg of instruction.args) declared.add(arg.name);
  const unused = [...context.options.buildArgs.keys()].filter(
    (name) => !declared.has(name) && !context.global.names.has(name) && !builderArgs.has(name) && !isProxyArg(name),
  );
  if (unused.length === 0) return;
  context.warn({
    severity: "warning",
    code: "UnusedBuildArg",
    message: `One or more build-args [${unused.join(" ")}] were not consumed`,
    range: { start: 0, end: 0 },
  });
}
