/**
 * The stages of a file, line by line, with the variables that each line sees: what the planner computes for a build, but
 * for files that need not be right, over base images that need not be here, and without steps.
 */
import { defaultPath } from "../oci/image-config.ts";
import type { Platform } from "../oci/platform.ts";
import type { Dockerfile, Instruction, Range, Word } from "../parser/ast.ts";
import { whereOf } from "../parser/position.ts";
import type { StageLines } from "../planner/bind.ts";
import { absolutePath } from "../planner/clean-path.ts";
import { expandWord, type Variables } from "../planner/expand-word.ts";
import { findNamedContext } from "../planner/named-contexts.ts";
import { declareArgs, type GlobalScope, StageEnvironment } from "../planner/scopes.ts";
import { lastStageNamed, type StageSource } from "../planner/stage-names.ts";
import { readTrigger } from "../planner/trigger.ts";
import type { BaseImage, CheckOptions, LineState, StageBase, WalkedLine, WalkedStage } from "./checked-file.ts";

/** Undefined when the image cannot be had. */
export type FindBase = (image: string, platform: Platform) => Promise<BaseImage | undefined>;

export interface WalkRequest {
  readonly dockerfile: Dockerfile;
  readonly stages: readonly StageSource[];
  /** Indexes of those to evaluate; what they are FROM is among them. */
  readonly wanted: ReadonlySet<number>;
  readonly global: GlobalScope;
  readonly options: CheckOptions;
  readonly targetPlatform: Platform;
  readonly findBase: FindBase;
}

export async function walkStages(request: WalkRequest): Promise<readonly WalkedStage[]> {
  const walked = new Map<number, WalkedStage>();
  for (const source of request.stages) {
    if (!request.wanted.has(source.index) || isReplaced(source, request)) continue;
    walked.set(source.index, await walkStage(source, await baseOf(source, walked, request), request));
  }
  return [...walked.values()];
}

/** The value of a word, or undefined where it cannot be expanded: the planner reports that. */
export function wordValue(word: Word, variables: Variables, dockerfile: Dockerfile): string | undefined {
  try {
    return expandWord(word, variables, (range) => whereOf(dockerfile, range));
  } catch {
    return undefined;
  }
}

/** Every FROM line with its names expanded as far as they can be. */
export function stageSources(
  stages: readonly StageLines[],
  global: GlobalScope,
  dockerfile: Dockerfile,
): readonly StageSource[] {
  return stages.map(({ from, body }, index) => ({
    index,
    name: from.stageName,
    image: wordValue(from.image, global.variables, dockerfile) ?? "",
    platform: undefined,
    from,
    body,
  }));
}

/** A stage and all that it is FROM, copies from or mounts, directly or not. */
export function neededBy(target: number, stages: readonly StageSource[]): ReadonlySet<number> {
  const needed = new Set<number>();
  const visit = (index: number | undefined): void => {
    const stage = index === undefined ? undefined : stages[index];
    if (stage === undefined || needed.has(stage.index)) return;
    needed.add(stage.index);
    visit(baseIndexOf(stage, stages));
    for (const instruction of stage.body) {
      if (instruction.kind === "copy") visit(originIndexOf(instruction.from?.value, stages));
      if (instruction.kind === "run") for (const mount of instruction.mounts) visit(originIndexOf(mount.from, stages));
    }
  };
  visit(target);
  return needed;
}

/** A stage and the stages whose layers it stands on. */
export function chainOf(target: number, stages: readonly StageSource[]): ReadonlySet<number> {
  const chain = new Set<number>();
  for (let at: number | undefined = target; at !== undefined && !chain.has(at); ) {
    chain.add(at);
    const stage: StageSource | undefined = stages[at];
    at = stage === undefined ? undefined : baseIndexOf(stage, stages);
  }
  return chain;
}

function baseIndexOf(stage: StageSource, stages: readonly StageSource[]): number | undefined {
  return stages.slice(0, stage.index).findLast((earlier) => earlier.name === stage.image)?.index;
}

/** The stage that a `--from` names, by name or number. */
export function originIndexOf(value: string | undefined, stages: readonly StageSource[]): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  return Number.isInteger(number) ? number : lastStageNamed(value, stages);
}

function isReplaced(stage: StageSource, { options, targetPlatform }: WalkRequest): boolean {
  return stage.name !== undefined && findNamedContext(options.namedContexts, stage.name, targetPlatform) !== undefined;
}

async function baseOf(
  source: StageSource,
  walked: ReadonlyMap<number, WalkedStage>,
  { stages, options, targetPlatform, findBase }: WalkRequest,
): Promise<StageBase> {
  const index = baseIndexOf(source, stages);
  if (index !== undefined) {
    const stage = walked.get(index);
    return stage === undefined ? { kind: "unknown" } : { kind: "stage", stage };
  }
  if (source.image === "scratch") return { kind: "scratch" };
  const wanted = source.platform ?? targetPlatform;
  const named = findNamedContext(options.namedContexts, source.image, wanted)?.context;
  if (named !== undefined && named.kind !== "image") return { kind: "unknown" };
  const image = await findBase(named?.reference ?? source.image, wanted);
  return image === undefined ? { kind: "unknown" } : { kind: "image", image, wanted };
}

async function walkStage(source: StageSource, base: StageBase, request: WalkRequest): Promise<WalkedStage> {
  const lines: WalkedLine[] = [];
  const { environment, state: first, triggers } = startOf(base);
  let state = first;
  const take = (instruction: Instruction, rangeOf: (range: Range) => Range, trigger: boolean): void => {
    lines.push({ instruction, rangeOf, trigger, before: state });
    state = stateAfter(instruction, state, environment, request);
  };
  for (const trigger of triggers) {
    for (const instruction of await instructionsOf(trigger, source, request))
      take(instruction, () => source.from.range, true);
  }
  for (const instruction of source.body) take(instruction, (range) => range, false);
  return { source, base, lines, end: state };
}

/** A trigger that cannot be read is the planner's error. */
async function instructionsOf(
  trigger: string,
  source: StageSource,
  request: WalkRequest,
): Promise<readonly Instruction[]> {
  try {
    return await readTrigger(trigger, whereOf(request.dockerfile, source.from.range));
  } catch {
    return [];
  }
}

interface Start {
  readonly environment: StageEnvironment;
  readonly state: LineState;
  readonly triggers: readonly string[];
}

function startOf(base: StageBase): Start {
  if (base.kind === "stage") {
    const environment = new StageEnvironment();
    const { end, lines } = base.stage;
    for (const [name, value] of end.variables) environment.set(name, value);
    for (const name of end.declared) environment.declare(name, end.variables.get(name));
    const own = lines.filter(({ trigger }) => !trigger).map(({ instruction }) => instruction);
    const triggers = own.flatMap((instruction) => (instruction.kind === "onbuild" ? [instruction.trigger] : []));
    return { environment, state: end, triggers };
  }
  const config = base.kind === "image" ? base.image.config : {};
  const environment = new StageEnvironment();
  environment.set("PATH", defaultPath);
  for (const pair of config.Env ?? []) {
    const equals = pair.indexOf("=");
    environment.set(equals < 0 ? pair : pair.slice(0, equals), equals < 0 ? "" : pair.slice(equals + 1));
  }
  const shell = config.Shell?.length ? config.Shell : undefined;
  const state: LineState = {
    ...namesOf(environment),
    shell,
    workdir: config.WorkingDir || "/",
    workdirSet: false,
  };
  return { environment, state, triggers: config.OnBuild ?? [] };
}

function namesOf(environment: StageEnvironment): Pick<LineState, "variables" | "declared"> {
  return { variables: new Map(environment.variables), declared: new Set(environment.declared.keys()) };
}

function stateAfter(
  instruction: Instruction,
  state: LineState,
  environment: StageEnvironment,
  { dockerfile, global, options }: WalkRequest,
): LineState {
  switch (instruction.kind) {
    case "arg":
      try {
        declareArgs(instruction, environment, { global, buildArgs: options.buildArgs }, (range) =>
          whereOf(dockerfile, range),
        );
      } catch {
        for (const { name } of instruction.args) environment.declare(name, undefined);
      }
      return { ...state, ...namesOf(environment) };
    case "env":
      for (const { key, value } of instruction.pairs) {
        const name = wordValue(key, state.variables, dockerfile);
        if (name !== undefined) environment.set(name, wordValue(value, state.variables, dockerfile) ?? "");
      }
      return { ...state, ...namesOf(environment) };
    case "shell":
      return { ...state, shell: instruction.argv };
    case "workdir": {
      const path = wordValue(instruction.path, state.variables, dockerfile) ?? "";
      return { ...state, workdir: absolutePath(path, state.workdir), workdirSet: true };
    }
    default:
      return state;
  }
}
