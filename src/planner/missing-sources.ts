/** When one source is not there, the others that are not: they are looked for only then, and all told at once. */
import { TsbuildError } from "../errors.ts";
import { bytePath } from "../kernel/byte-path.ts";
import type { Dockerfile } from "../parser/ast.ts";
import { whereOf } from "../parser/position.ts";
import type { BuildContexts } from "./build-contexts.ts";
import type { BuildGraph, Step } from "./build-graph.ts";
import { hasWildcard } from "./match-path.ts";
import { missingInContext } from "./missing-source.ts";
import { Problems } from "./problems.ts";

interface MissingContext {
  readonly dockerfile: Dockerfile;
  readonly graph: BuildGraph;
  readonly contexts: BuildContexts;
  readonly signal: AbortSignal;
}

/** The error to throw in place of `error`: a `DockerfileInvalid` when more than its source is missing in the context. */
export async function withAllMissing(error: unknown, context: MissingContext): Promise<unknown> {
  if (!(error instanceof TsbuildError) || error.code !== "SOURCE_NOT_FOUND") return error;
  const problems = new Problems();
  problems.keep(error);
  const told = new Set([placeOf(error)]);
  for (const step of context.graph.steps) {
    for (const missing of await missingOf(step, context)) {
      if (!told.has(placeOf(missing))) problems.keep(missing);
      told.add(placeOf(missing));
    }
  }
  return problems.all(context.dockerfile) ?? error;
}

const placeOf = ({ where, message }: TsbuildError): string =>
  `${where?.kind === "source" ? where.line : ""} ${message}`;

/** What a wildcard matches, and what `--parents` keeps, is decided where it is selected. */
async function missingOf(step: Step, { graph, contexts, signal }: MissingContext): Promise<readonly TsbuildError[]> {
  const { input } = step;
  if (input.kind !== "copy" || input.from.kind !== "context" || input.from.name !== undefined || input.parents)
    return [];
  const where = whereOf(graph, step.range);
  const origin = await contexts.open(undefined, where, signal);
  if (origin === undefined) return [];
  return input.sources.flatMap((source) =>
    source.kind !== "path" || hasWildcard(source.path) || origin.lookup(bytePath(source.path)) !== undefined
      ? []
      : [missingInContext(origin, source.path, where, undefined)],
  );
}
