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
import { type GlobalScope, switchArgs } from "../planner/scopes.ts";
import { lastStageNamed, type StageSource } from "../planner/stage-names.ts";
import { readTrigger } from "../planner/trigger.ts";
import type { BaseImage, CheckOptions, LineState, StageBase, WalkedLine, WalkedStage } from "./checked-file.ts";
import { VariableHistory } from "./variable-history.ts";

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
  const bases = baseIndexes(request.stages);
  for (const source of request.stages) {
    if (!request.wanted.has(source.index) || isReplaced(source, request)) continue;
    walked.set(
      source.index,
      await walkStage(source, await baseOf(source, bases[source.index], walked, request), request),
    );
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
  const bases = baseIndexes(stages);
  const needed = new Set<number>();
  const add = (index: number | undefined): void => {
    if (index !== undefined && stages[index] !== undefined) needed.add(index);
  };
  add(target);
  // A set gives what is added to it while it is read, so that no chain is too long for the stack.
  for (const index of needed) {
    add(bases[index]);
    for (const instruction of stages[index]?.body ?? []) {
      if (instruction.kind === "copy") add(originIndexOf(instruction.from?.value, stages));
      if (instruction.kind === "run") for (const mount of instruction.mounts) add(originIndexOf(mount.from, stages));
    }
  }
  return needed;
}

/** A stage and the stages whose layers it stands on. */
export function chainOf(target: number, stages: readonly StageSource[]): ReadonlySet<number> {
  const bases = baseIndexes(stages);
  const chain = new Set<number>();
  for (let at: number | undefined = target; at !== undefined; at = bases[at]) chain.add(at);
  return chain;
}

const knownBases = new WeakMap<readonly StageSource[], readonly (number | undefined)[]>();

/** Of each stage the earlier one that it is FROM: the last of that name. Made once for each list. */
function baseIndexes(stages: readonly StageSource[]): readonly (number | undefined)[] {
  const known = knownBases.get(stages);
  if (known !== undefined) return known;
  const byName = new Map<string, number>();
  const bases = stages.map(({ index, image, name }) => {
    const base = byName.get(image);
    if (name !== undefined) byName.set(name, index);
    return base;
  });
  knownBases.set(stages, bases);
  return bases;
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
  index: number | undefined,
  walked: ReadonlyMap<number, WalkedStage>,
  { options, targetPlatform, findBase }: WalkRequest,
): Promise<StageBase> {
  if (index !== undefined) {
    const stage = walked.get(index);
    return stage === undefined ? { kind: "unknown" } : { kind: "stage", stage };
  }
  if (source.image === "scratch") return { kind: "scratch" };
  const wanted = source.platform ?? targetPlatform;
  const named = findNamedContext(options.namedContexts, source.image, wanted)?.context;
  if (named !== undefined && named.kind !== "image") return { kind: "unknown" };
  if (named?.reference === "scratch") return { kind: "scratch" };
  const image = await findBase(named?.reference ?? source.image, wanted);
  return image === undefined ? { kind: "unknown" } : { kind: "image", image, wanted };
}

async function walkStage(source: StageSource, base: StageBase, request: WalkRequest): Promise<WalkedStage> {
  const lines: WalkedLine[] = [];
  const { history, state: first, triggers } = startOf(base);
  let state = first;
  const take = (instruction: Instruction, rangeOf: (range: Range) => Range, trigger: boolean): void => {
    lines.push({ instruction, rangeOf, trigger, before: state });
    state = stateAfter(instruction, state, history, request);
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
  readonly history: VariableHistory;
  readonly state: LineState;
  readonly triggers: readonly string[];
}

function startOf(base: StageBase): Start {
  const history = new VariableHistory();
  if (base.kind === "stage") {
    const { end, lines } = base.stage;
    for (const [name, value] of end.variables) history.set(name, value);
    for (const name of end.declared) history.declare(name);
    const triggers = lines.flatMap(({ instruction, trigger }) =>
      instruction.kind === "onbuild" && !trigger ? [instruction.trigger] : [],
    );
    return { history, state: { ...end, ...history.moment() }, triggers };
  }
  const config = base.kind === "image" ? base.image.config : {};
  history.set("PATH", defaultPath);
  for (const pair of config.Env ?? []) {
    const equals = pair.indexOf("=");
    history.set(equals < 0 ? pair : pair.slice(0, equals), equals < 0 ? "" : pair.slice(equals + 1));
  }
  const state: LineState = {
    ...history.moment(),
    shell: config.Shell?.length ? config.Shell : undefined,
    workdir: config.WorkingDir || "/",
    workdirSet: false,
  };
  return { history, state, triggers: config.OnBuild ?? [] };
}

function stateAfter(
  instruction: Instruction,
  state: LineState,
  history: VariableHistory,
  { dockerfile, global, options }: WalkRequest,
): LineState {
  switch (instruction.kind) {
    case "arg":
      // One by one: each default sees those before it.
      for (const { name, defaultValue } of instruction.args) {
        const { variables } = history.moment();
        const given = options.buildArgs.get(name);
        const own =
          defaultValue === undefined ? global.variables.get(name) : wordValue(defaultValue, variables, dockerfile);
        const value = given ?? own;
        if (value !== undefined && !switchArgs.has(name)) history.set(name, value);
        history.declare(name);
      }
      return { ...state, ...history.moment() };
    case "env":
      for (const { key, value } of instruction.pairs) {
        const name = wordValue(key, state.variables, dockerfile);
        if (name !== undefined) history.set(name, wordValue(value, state.variables, dockerfile) ?? "");
      }
      return { ...state, ...history.moment() };
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
