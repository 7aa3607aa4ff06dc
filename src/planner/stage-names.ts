/** Stages as the file names them. */
import { TsbuildError, type Where } from "../errors.ts";
import type { Platform } from "../oci/platform.ts";
import type { FromInstruction, Instruction } from "../parser/ast.ts";
import { baseFailed, invalidBaseName, originNotFound, stageIndexOutOfRange } from "./errors.ts";

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
  const index = stages.findLastIndex((stage) => stage.name === name.toLowerCase());
  return index < 0 ? undefined : index;
}

/** The same failure, with the line that asked for the image. */
export function imageFailed(
  name: string,
  error: unknown,
  place: { readonly where: Where; readonly origin: "base" | "origin"; readonly stages: readonly StageSource[] },
): unknown {
  if (!(error instanceof TsbuildError)) return error;
  const names = place.stages.flatMap((stage) => stage.name ?? []);
  if (place.origin === "origin") return originNotFound(name, names, error, place.where);
  if (error.code === "INVALID_REFERENCE") return invalidBaseName(name, error, names, place.where);
  return baseFailed(error, place.where);
}
