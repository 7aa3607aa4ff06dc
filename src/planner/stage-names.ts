/** Stages as the file names them. */
import { TsbuildError, type Where } from "../errors.ts";
import type { Platform } from "../oci/platform.ts";
import type { FromInstruction, Instruction } from "../parser/ast.ts";
import { baseNotFound, invalidBaseName, originNotFound, stageIndexOutOfRange } from "./errors.ts";

/** A stage as the file has it, its FROM line expanded. */
export interface StageSource {
  readonly index: number;
  readonly name: string | undefined;
  readonly image: string;
  readonly platform: Platform | undefined;
  readonly from: FromInstruction;
  readonly body: readonly Instruction[];
}

type Named = Pick<StageSource, "name">;

export function stageTitle(stages: readonly Named[], index: number): string {
  return stages[index]?.name ?? String(index);
}

/** All digits (or `-N`) are an index; else the last stage of that name in the file. */
export function stageByOrigin(value: string, stages: readonly Named[], where: Where): number | undefined {
  if (!/^-?[0-9]+$/.test(value)) return lastStageNamed(value, stages);
  const index = Number(value);
  if (index < 0 || index >= stages.length) throw stageIndexOutOfRange(value, stages.length, where);
  return index;
}

export function lastStageNamed(name: string, stages: readonly Named[]): number | undefined {
  return indexesOf(stages).get(name.toLowerCase())?.at(-1);
}

/** What FROM sees: the latest of that name above the stage. The name has to be lower case already. */
export function stageAbove(name: string, stages: readonly Named[], index: number): number | undefined {
  const same = indexesOf(stages).get(name) ?? [];
  let low = 0;
  let high = same.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((same[middle] ?? index) < index) low = middle + 1;
    else high = middle;
  }
  return same[low - 1];
}

const known = new WeakMap<readonly Named[], ReadonlyMap<string, readonly number[]>>();

/** By name; made once for each list, so that many stages cost no more than their number. */
function indexesOf(stages: readonly Named[]): ReadonlyMap<string, readonly number[]> {
  const made = known.get(stages);
  if (made !== undefined) return made;
  const indexes = new Map<string, number[]>();
  for (const [index, { name }] of stages.entries()) {
    if (name === undefined) continue;
    const same = indexes.get(name);
    if (same === undefined) indexes.set(name, [index]);
    else same.push(index);
  }
  known.set(stages, indexes);
  return indexes;
}

/** The same failure, with the line that asked for the image. */
export function imageFailed(
  name: string,
  error: unknown,
  place: {
    readonly where: Where;
    readonly origin: "base" | "origin";
    readonly stages: readonly StageSource[];
    /** A variable of the line that nobody has set. */
    readonly unset?: string;
  },
): unknown {
  if (!(error instanceof TsbuildError)) return error;
  const names = place.stages.flatMap((stage) => stage.name ?? []);
  if (place.origin === "origin") return originNotFound(name, names, error, place.where);
  if (error.code === "INVALID_REFERENCE") return invalidBaseName(name, error, { ...place, stages: names });
  return baseNotFound(name, names, error, place.where);
}
