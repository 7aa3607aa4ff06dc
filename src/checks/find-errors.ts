/**
 * What a build would reject before it runs anything: what the parser found, what names of stages tell, and what binding
 * finds, all of it. Binding stops a line at its first mistake, so what is wrong is taken out and binding starts again.
 */
import { TsbuildError } from "../errors.ts";
import { imageIdOf, sha256 } from "../oci/digest.ts";
import { hostPlatform } from "../oci/platform.ts";
import { familiarReference, type Reference } from "../oci/reference.ts";
import type { CopyInstruction, Diagnostic, Dockerfile, FromInstruction, ParseResult } from "../parser/ast.ts";
import { DockerfileInvalid } from "../parser/errors.ts";
import { buildGraph, splitStages } from "../planner/bind.ts";
import type { ResolvedImage } from "../planner/build-graph.ts";
import type { BuildOptions, ResolveImage } from "../planner/build-options.ts";
import { findNamedContext } from "../planner/named-contexts.ts";
import { diagnosticOf } from "../planner/problems.ts";
import type { GlobalScope } from "../planner/scopes.ts";
import { referenceProblems } from "../planner/stage-references.ts";
import { checkedFile, instructionAt } from "./check-dockerfile.ts";
import { doubtfulLines } from "./doubtful-lines.ts";
import { readable, unreadBase } from "./unread-stages.ts";
import { type FindBase, neededBy, stageSources } from "./walk-stages.ts";
import { literalWord, withoutMistakes } from "./without-mistakes.ts";

/** Of those that only binding finds: more of them help nobody. */
const maxErrors = 200;

export interface ErrorRequest {
  readonly parsed: ParseResult;
  readonly options: BuildOptions;
  readonly findBase: FindBase;
  /** Stages that the target does not need are bound too. */
  readonly allStages: boolean;
  /** What a build of this file has found already. */
  readonly known?: readonly Diagnostic[];
}

/**
 * In order of place. An image that is not here counts as one that is right, and of a line that uses a variable which it
 * may set, or which a wrong line above would have set, nobody knows what it says.
 * @throws {TsbuildError} what is wrong with the request and not with the file: a target that is not there
 */
export async function findErrors(request: ErrorRequest): Promise<readonly Diagnostic[]> {
  const { parsed, options, allStages, known = [] } = request;
  const certain = parsed.diagnostics.filter(({ severity }) => severity === "error");
  const references = await wrongReferences(request);
  // A build has asked for the image that such a name may be, too.
  certain.push(...references.filter(({ range }) => !known.some((one) => one.range.start === range.start)));
  const dockerfile = readable(parsed.dockerfile);
  if (!dockerfile.instructions.some(({ kind }) => kind === "from")) return inOrder([...certain, ...known]);

  const { findBase } = request;
  const asked = allStages ? withAllStages(dockerfile, options) : { dockerfile, options };
  const found = [...known];
  found.push(...(await bindingErrors(asked.options, asked.dockerfile, lenientResolver(findBase))));
  const file = await checkedFile({ parsed, options, findBase, allStages });
  const doubtful = doubtfulLines(file, found);
  const kept = [...certain];
  for (const error of found) {
    const line = instructionAt(dockerfile.instructions, error.range)?.range.start ?? -1;
    // One place is one mistake, and so are a variable and the word that is wrong because of it.
    const told = kept.some(
      ({ range }) =>
        range.start === error.range.start || (error.range.start < range.start && range.end <= error.range.end),
    );
    if (!told && !doubtful.has(line)) kept.push(error);
  }
  return inOrder(kept);
}

const inOrder = (found: readonly Diagnostic[]): readonly Diagnostic[] =>
  found.toSorted((a, b) => a.range.start - b.range.start);

/** Names that are nearly a stage's are mistakes, unless there is such an image here. */
async function wrongReferences({ parsed, options, findBase, allStages }: ErrorRequest): Promise<readonly Diagnostic[]> {
  const { dockerfile } = parsed;
  const problems = (guess: boolean): readonly Diagnostic[] =>
    referenceProblems(dockerfile, { guess, target: options.target, allStages }).map((error) =>
      diagnosticOf(error, dockerfile),
    );
  const certain = problems(false);
  const found = [...certain];
  const told = new Set(certain.map(({ range }) => range.start));
  for (const problem of problems(true)) {
    if (told.has(problem.range.start)) continue;
    const name = originAt(dockerfile, problem);
    if (name !== undefined && findNamedContext(options.namedContexts, name, hostPlatform()) !== undefined) continue;
    if (name === undefined || (await findBase(name, hostPlatform())) === undefined) found.push(problem);
  }
  return found;
}

/** What the `--from` or the mount of that place names. */
function originAt(dockerfile: Dockerfile, { range }: Diagnostic): string | undefined {
  const line = instructionAt(dockerfile.instructions, range);
  if (line?.kind === "copy") return line.from?.value;
  return line?.kind === "run" ? line.mounts.find((mount) => mount.range.start === range.start)?.from : undefined;
}

// What is bound ----------------------------------------------------------------------------------------------------

/** No Dockerfile can say it. */
const everything = " everything";

/** A last stage that needs those which the target does not need, so that one binding meets all of them. */
function withAllStages(
  dockerfile: Dockerfile,
  options: BuildOptions,
): { readonly dockerfile: Dockerfile; readonly options: BuildOptions } {
  const { froms } = splitStages(dockerfile.instructions);
  const none: GlobalScope = { variables: new Map(), names: new Set() };
  const stages = stageSources(froms, none, dockerfile);
  const last = stages.length - 1;
  const covered = new Set<number>();
  const origins: number[] = [];
  for (const { index } of stages.toReversed()) {
    if (covered.has(index)) continue;
    for (const needed of neededBy(index, stages)) covered.add(needed);
    origins.push(index);
  }
  if (origins.length === 1) return { dockerfile, options };
  const end = dockerfile.text.length;
  const place = { range: { start: end, end }, keyword: { text: "", range: { start: end, end } }, joined: "" };
  const root = literalWord("/", place.range);
  const from: FromInstruction = {
    kind: "from",
    ...place,
    image: literalWord("scratch", place.range),
    stageName: everything,
  };
  const copies = origins.map(
    (index): CopyInstruction => ({
      kind: "copy",
      ...place,
      from: { value: String(index), range: place.range },
      sources: [root],
      destination: root,
      heredocs: [],
      exclude: [],
      link: false,
      parents: false,
    }),
  );
  const name = froms[last]?.from.stageName ?? "default";
  return {
    dockerfile: { ...dockerfile, instructions: [...dockerfile.instructions, from, ...copies] },
    options: { ...options, target: everything, buildArgs: new Map([["TARGETSTAGE", name], ...options.buildArgs]) },
  };
}

async function bindingErrors(
  options: BuildOptions,
  dockerfile: Dockerfile,
  resolve: ResolveImage,
): Promise<readonly Diagnostic[]> {
  const found: Diagnostic[] = [];
  let current = dockerfile;
  while (found.length < maxErrors) {
    try {
      await buildGraph(current, options, resolve);
      return found;
    } catch (error) {
      const errors = inOrder(diagnosticsOf(error, dockerfile)).slice(0, maxErrors);
      found.push(...errors);
      const next = withoutMistakes(current, errors);
      if (next === undefined) return found;
      current = next;
    }
  }
  return found;
}

/** @throws what has no place in the file */
function diagnosticsOf(error: unknown, dockerfile: Dockerfile): readonly Diagnostic[] {
  if (error instanceof DockerfileInvalid) return error.diagnostics.filter(({ severity }) => severity === "error");
  if (!(error instanceof TsbuildError) || error.where?.kind !== "source") throw error;
  return [diagnosticOf(error, dockerfile)];
}

/** Whatever is not here is taken to be fine. */
const lenientResolver =
  (findBase: FindBase): ResolveImage =>
  async (reference, platform) => {
    const name = familiarReference(reference);
    const found = name.startsWith(`${unreadBase}:`) ? undefined : await findBase(name, platform);
    return standIn(reference, found ?? { ...platform, config: {} });
  };

function standIn(reference: Reference, { os, architecture, variant, config }: Base): ResolvedImage {
  const name = familiarReference(reference);
  return {
    name,
    id: imageIdOf(sha256(name)),
    chain: [],
    config: {
      os,
      architecture,
      ...(variant !== undefined && { variant }),
      config,
      history: [],
      rootfs: { type: "layers", diff_ids: [] },
    },
  };
}

type Base = NonNullable<Awaited<ReturnType<FindBase>>>;
