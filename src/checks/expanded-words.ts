/** Which words of a line are expanded, and whether all is known that they may use. */
import type { Instruction, Word } from "../parser/ast.ts";
import { switchArgs } from "../planner/scopes.ts";
import type { WalkedLine, WalkedStage } from "./checked-file.ts";

/** Somewhere below is an image that nobody could ask. */
export const mayHaveMore = (stage: WalkedStage): boolean => unknownBase(stage) !== undefined;

/** That image, as the lowest FROM names it. */
export function unknownBase(stage: WalkedStage): string | undefined {
  let lowest = stage;
  while (lowest.base.kind === "stage") lowest = lowest.base.stage;
  return lowest.base.kind === "unknown" ? lowest.source.image : undefined;
}

/** Nobody has set it, and no ARG of the stage names it. */
export const isUnset = ({ before }: WalkedLine, name: string): boolean =>
  name !== "" && !before.variables.has(name) && !before.declared.has(name) && !switchArgs.has(name);

/** Source: Dockerfile reference, "Environment replacement". */
export function expandedWords(instruction: Instruction): readonly Word[] {
  const given = (...words: readonly (Word | undefined)[]): readonly Word[] =>
    words.filter((word) => word !== undefined);
  switch (instruction.kind) {
    case "env":
    case "label":
      return instruction.pairs.flatMap(({ key, value }) => [key, value]);
    case "copy":
    case "add": {
      const { sources, destination, chown, chmod, heredocs } = instruction;
      const checksum = instruction.kind === "add" ? instruction.checksum : undefined;
      return given(...sources, destination, chown, chmod, checksum, ...heredocs.map(({ word }) => word));
    }
    case "run":
      return instruction.mounts.flatMap(({ late, target, source, id, mode, uid, gid, size, env }) =>
        given(...(late?.map(({ value }) => value) ?? [target, source, id, mode, uid, gid, size, env])),
      );
    case "expose":
      return instruction.ports;
    case "volume":
      return instruction.paths;
    case "user":
      return [instruction.user];
    case "workdir":
      return [instruction.path];
    case "stopsignal":
      return [instruction.signal];
    default:
      return [];
  }
}
