/** ONBUILD lines of a base, run as if they stood below FROM. Source: Dockerfile reference, "ONBUILD". */
import type { Where } from "../errors.ts";
import type { Instruction } from "../parser/ast.ts";
import { triggerInvalid } from "./errors.ts";

/** @throws {TsbuildError} `INSTRUCTION_INVALID`: what was stored unchecked is checked here. */
export async function readTrigger(trigger: string, from: Where): Promise<readonly Instruction[]> {
  // Loaded already when there is a Dockerfile; the grammar is not part of the planner's own weight.
  const { parseTrigger } = await import("../parser/parse.ts");
  const { dockerfile, diagnostics } = parseTrigger(trigger, { file: "ONBUILD" });
  const error = diagnostics.find((diagnostic) => diagnostic.severity === "error");
  if (error !== undefined) throw triggerInvalid(trigger, error.message, from);
  return dockerfile.instructions;
}
