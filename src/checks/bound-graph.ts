/** The graph of a Dockerfile, or everything that is wrong with the file in one list. */
import { TsbuildError } from "../errors.ts";
import type { ParseResult } from "../parser/ast.ts";
import { DockerfileInvalid } from "../parser/errors.ts";
import { whereOf } from "../parser/position.ts";
import { buildGraph } from "../planner/bind.ts";
import type { BuildGraph } from "../planner/build-graph.ts";
import type { BuildOptions, ResolveImage } from "../planner/build-options.ts";
import { targetNotFound } from "../planner/errors.ts";
import { diagnosticOf } from "../planner/problems.ts";
import type { ResolveTime } from "../planner/source-date-epoch.ts";
import { stageNames } from "../planner/stage-references.ts";
import type { FindBase } from "./walk-stages.ts";

export interface BindRequest {
  readonly parsed: ParseResult;
  readonly options: BuildOptions;
  readonly resolveImage: ResolveImage;
  readonly resolveTime?: ResolveTime;
  /** Of images that are here: for the rest of a file that is wrong somewhere nothing is pulled. */
  readonly findBase: FindBase;
}

/**
 * @throws {DockerfileInvalid} `DOCKERFILE_INVALID`; the code of the first mistake where the parser found none
 * @throws {TsbuildError} what `buildGraph` throws, when it is the only mistake
 */
export async function boundGraph(request: BindRequest): Promise<BuildGraph> {
  const { parsed, options, resolveImage, resolveTime } = request;
  if (parsed.diagnostics.some(({ severity }) => severity === "error")) throw await withTheRest(undefined, request);
  try {
    return await buildGraph(parsed.dockerfile, options, resolveImage, resolveTime);
  } catch (error) {
    // What has no place is no mistake of the file.
    if (error instanceof TsbuildError && error.where !== undefined) throw await withTheRest(error, request);
    throw error;
  }
}

/** `error`: what binding met, if it was tried. Of a single mistake it is returned as it is. */
async function withTheRest(error: TsbuildError | undefined, request: BindRequest): Promise<TsbuildError> {
  const { parsed, options, findBase } = request;
  const { dockerfile } = parsed;
  const { inside, others } = sorted(error, dockerfile.file);
  const known =
    error instanceof DockerfileInvalid ? error.diagnostics : inside.map((one) => diagnosticOf(one, dockerfile));
  const target = unknownTarget(request);
  if (target !== undefined && !others.some(({ message }) => message === target.message)) others.push(target);
  const { findErrors } = await import("./find-errors.ts");
  const found = await findErrors({
    parsed,
    options: target === undefined ? options : { ...options, target: undefined },
    findBase,
    allStages: false,
    known,
  }).catch((failure: unknown) => {
    // The request is wrong, and that is known already.
    if (failure instanceof TsbuildError && error !== undefined) return known;
    throw failure;
  });
  const [first] = found;
  const single = found.length + others.length === 1 && !(error instanceof DockerfileInvalid);
  if (error !== undefined && (first === undefined || single)) return error;
  if (first === undefined) throw new Error("an error of the parser is lost");
  const { message: what, hint } = first;
  const code = error?.code ?? "DOCKERFILE_INVALID";
  const warnings = parsed.diagnostics.filter(({ severity }) => severity !== "error");
  const diagnostics = [...found, ...warnings].sort((a, b) => a.range.start - b.range.start);
  const where = whereOf(dockerfile, first.range);
  return new DockerfileInvalid({ dockerfile, diagnostics }, { code, what, where, hint, cause: error?.cause }, others);
}

/** What has its place in the file, and what is wrong elsewhere. */
function sorted(
  error: TsbuildError | undefined,
  file: string,
): { readonly inside: readonly TsbuildError[]; readonly others: TsbuildError[] } {
  if (error === undefined) return { inside: [], others: [] };
  if (error instanceof DockerfileInvalid) return { inside: [], others: [...error.others] };
  const isInside = error.where?.kind === "source" && error.where.file === file;
  return isInside ? { inside: [error], others: [] } : { inside: [], others: [error] };
}

function unknownTarget({ parsed, options: { target } }: BindRequest): TsbuildError | undefined {
  if (target === undefined || target === "") return undefined;
  const names = stageNames(parsed.dockerfile);
  const known = names.some((name) => name.toLowerCase() === target.toLowerCase());
  return known ? undefined : targetNotFound(target, names);
}
