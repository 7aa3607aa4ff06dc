/**
 * Which stage needs which, as far as names tell, and what is wrong with that: no such number, a circle, a stage further
 * down. Known without any value, so it is said of files that cannot be bound, too.
 */
import { TsbuildError, type Where } from "../errors.ts";
import { nearestWord } from "../nearest-word.ts";
import type { Dockerfile, FromInstruction, Instruction } from "../parser/ast.ts";
import { literalOf } from "../parser/literal.ts";
import { whereOf } from "../parser/position.ts";
import { circularStages, noSuchStage, stageBelow } from "./errors.ts";
import { lastStageNamed, stageAbove, stageByOrigin, stageTitle } from "./stage-names.ts";

/** A stage as far as it is known without values; a line that may have been FROM makes one of which nothing is. */
export interface NamedStage {
  readonly index: number;
  readonly name: string | undefined;
  /** Undefined: not known, or no stage. */
  readonly image: string | undefined;
  readonly from: Pick<FromInstruction, "range">;
  readonly body: readonly Instruction[];
}

export interface Need {
  readonly stage: number;
  readonly where: Where;
}

type Report = (error: TsbuildError) => void;

/** The stages that one needs, in order of their lines. */
export function stageNeeds(
  stage: NamedStage,
  stages: readonly NamedStage[],
  source: Dockerfile,
  report: Report,
): readonly Need[] {
  const needs: Need[] = [];
  const base = stage.image === undefined ? undefined : stageAbove(stage.image, stages, stage.index);
  if (base !== undefined) needs.push({ stage: base, where: whereOf(source, stage.from.range) });
  for (const { kind, value, where } of originsIn(stage.body, source)) {
    try {
      const index = kind === "copy" ? stageByOrigin(value, stages, where) : lastStageNamed(value, stages);
      if (index !== undefined) needs.push({ stage: index, where });
    } catch (error) {
      if (!(error instanceof TsbuildError)) throw error;
      report(error);
    }
  }
  return needs;
}

interface NamedOrigin {
  readonly kind: "copy" | "mount";
  readonly value: string;
  readonly where: Where;
}

/** The parser has seen to it that they hold no variable. */
export function* originsIn(body: readonly Instruction[], source: Dockerfile): Generator<NamedOrigin> {
  for (const instruction of body) {
    if (instruction.kind === "copy" && instruction.from !== undefined) {
      const { value, range } = instruction.from;
      yield { kind: "copy", value, where: whereOf(source, range) };
    } else if (instruction.kind === "run") {
      for (const { from: value, range } of instruction.mounts)
        if (value !== undefined) yield { kind: "mount", value, where: whereOf(source, range) };
    }
  }
}

/** Indexes and circles are looked at in every stage, needed or not. As in BuildKit. */
export function checkOrigins(stages: readonly NamedStage[], source: Dockerfile, report: Report): void {
  const needs = stages.map((stage) => stageNeeds(stage, stages, source, report));
  const done = new Set<number>();
  // Not by recursion: a file may have more stages than the stack has room for.
  for (const stage of stages) {
    const path: { readonly index: number; next: number }[] = [];
    const places = new Map<number, number>();
    const enter = (index: number): void => {
      places.set(index, path.length);
      path.push({ index, next: 0 });
    };
    if (!done.has(stage.index)) enter(stage.index);
    for (let last = path.at(-1); last !== undefined; last = path.at(-1)) {
      const need = needs[last.index]?.[last.next++];
      if (need === undefined) {
        done.add(last.index);
        places.delete(last.index);
        path.pop();
        continue;
      }
      const at = places.get(need.stage);
      if (at !== undefined)
        report(
          circularStages(
            path.slice(at).map(({ index }) => stageTitle(stages, index)),
            need.where,
          ),
        );
      else if (!done.has(need.stage)) enter(need.stage);
    }
  }
}

// Without values ---------------------------------------------------------------------------------------------------

/** Of wrong names with those there are: a file has either few stages or few such mistakes. */
const MAX_COMPARISONS = 200_000;

/**
 * `guess`: a name that is no stage but nearly one is taken for a mistake, where otherwise it is an image. `target`: what
 * is looked at is this stage and all it needs; by default the last, and with `allStages` every one.
 */
export function referenceProblems(
  dockerfile: Dockerfile,
  { guess, target, allStages = false }: { guess: boolean; target?: string | undefined; allStages?: boolean },
): readonly TsbuildError[] {
  const errors: TsbuildError[] = [];
  const stages = namedStages(dockerfile);
  const report = (error: TsbuildError): void => void errors.push(error);
  checkOrigins(stages, dockerfile, report);
  const circular = errors.some(({ code }) => code === "INSTRUCTION_INVALID");
  const names = stageNames(dockerfile);
  const hidden = hiddenNames(dockerfile);
  let guesses = MAX_COMPARISONS;
  const wanted = (target && lastStageNamed(target, stages)) || stages.length - 1;
  for (const stage of allStages ? stages.keys() : neededBy(wanted, stages, dockerfile)) {
    for (const { value, where } of originsIn(stages[stage]?.body ?? [], dockerfile)) {
      const index = lastStageNamed(value, stages);
      // One line of a circle always looks down.
      if (index !== undefined && index > stage && !circular) report(stageBelow(stageTitle(stages, index), where));
      if (index !== undefined || !guess || guesses <= 0 || !/^[a-z][a-z0-9\-_.]*$/i.test(value)) continue;
      guesses -= names.length;
      const near = nearestWord(value, names);
      if (near !== undefined && !hidden.includes(value)) report(noSuchStage(value, near, where));
    }
  }
  return errors;
}

/** As written, in order. */
export const stageNames = ({ instructions }: Dockerfile): readonly string[] => [
  ...new Set(
    instructions.flatMap((instruction) => (instruction.kind === "from" ? (instruction.stageNameText ?? []) : [])),
  ),
];

/** The text of broken FROM lines: what it names is not known. */
const hiddenNames = ({ instructions }: Dockerfile): string =>
  instructions
    .filter(mayBeFrom)
    .map(({ joined }) => joined)
    .join("\n");

/** A line that cannot be read, and may have begun a stage. */
export const mayBeFrom = ({ kind, keyword }: Instruction): boolean =>
  kind === "invalid" && (keyword.text.toUpperCase() === "FROM" || nearestWord(keyword.text, ["from"]) !== undefined);

function namedStages({ instructions }: Dockerfile): readonly NamedStage[] {
  const stages: (NamedStage & { readonly body: Instruction[] })[] = [];
  for (const instruction of instructions) {
    if (instruction.kind === "from") {
      const { stageName: name, image: word } = instruction;
      stages.push({ index: stages.length, name, image: literalOf(word), from: instruction, body: [] });
    } else if (mayBeFrom(instruction)) {
      stages.push({ index: stages.length, name: undefined, image: undefined, from: instruction, body: [] });
    } else stages.at(-1)?.body.push(instruction);
  }
  return stages;
}

/** The last stage and all it needs: what stands below is no mistake of a stage that nobody builds. */
function neededBy(target: number, stages: readonly NamedStage[], source: Dockerfile): ReadonlySet<number> {
  const needed = new Set<number>(target < 0 ? [] : [target]);
  for (const index of needed) {
    const stage = stages[index];
    if (stage === undefined) continue;
    for (const need of stageNeeds(stage, stages, source, () => undefined)) needed.add(need.stage);
  }
  return needed;
}
