/**
 * What a build would reject before it runs anything: what the parser found, and what binding finds, all of it. Binding
 * stops at the first mistake, so the line of each is taken out and binding starts again.
 */
import { TsbuildError } from "../errors.ts";
import { nearestWord } from "../nearest-word.ts";
import { imageIdOf, sha256 } from "../oci/digest.ts";
import { hostPlatform } from "../oci/platform.ts";
import { familiarReference, type Reference } from "../oci/reference.ts";
import type { Diagnostic, Dockerfile, FromInstruction, Instruction, ParseResult } from "../parser/ast.ts";
import { DockerfileInvalid } from "../parser/errors.ts";
import { buildGraph, splitStages } from "../planner/bind.ts";
import type { ResolvedImage } from "../planner/build-graph.ts";
import type { BuildOptions, ResolveImage } from "../planner/build-options.ts";
import { diagnosticOf } from "../planner/problems.ts";
import type { GlobalScope } from "../planner/scopes.ts";
import { referenceProblems } from "../planner/stage-references.ts";
import { checkedFile, instructionAt } from "./check-dockerfile.ts";
import { uncertainLines } from "./expanded-words.ts";
import { type FindBase, neededBy, stageSources } from "./walk-stages.ts";

/** More of them help nobody. */
const maxErrors = 100;

/**
 * In order of place. An image that is not here counts as one that is right, and of a line that uses a variable which it
 * may set nobody knows what it says; with `allStages`, stages that the target does
 * not need are bound too.
 * @throws {TsbuildError} what is wrong with the request and not with the file: a target that is not there
 */
export async function findErrors(request: {
  readonly parsed: ParseResult;
  readonly options: BuildOptions;
  readonly findBase: FindBase;
  readonly allStages: boolean;
}): Promise<readonly Diagnostic[]> {
  const { dockerfile, diagnostics } = request.parsed;
  const found = diagnostics.filter(({ severity }) => severity === "error");
  found.push(...(await wrongReferences(dockerfile, request.findBase)));
  // A FROM that cannot be read takes a name with it that others use, and without one there is nothing to bind.
  const instructions = dockerfile.instructions;
  const broken = instructions.some(({ kind, keyword }) => kind === "invalid" && /^from$/i.test(keyword.text));
  if (broken || !instructions.some(({ kind }) => kind === "from")) return inOrder(found);
  // One place is one mistake, however often it is met.
  const told = new Set(found.map(({ range }) => range.start));
  const { parsed, options, findBase, allStages } = request;
  const uncertain = uncertainLines(await checkedFile({ parsed, options, findBase, allStages }));
  for (const target of targetsOf(request)) {
    for (const error of await bindingErrors({ ...request.options, target }, dockerfile, request.findBase)) {
      const line = instructionAt(instructions, error.range)?.range.start ?? -1;
      if (told.has(error.range.start) || uncertain.has(line)) continue;
      told.add(error.range.start);
      found.push(error);
    }
  }
  return inOrder(found);
}

const inOrder = (found: readonly Diagnostic[]): readonly Diagnostic[] =>
  found.toSorted((a, b) => a.range.start - b.range.start);

/** Names that are nearly a stage's are mistakes, unless there is such an image here. */
async function wrongReferences(dockerfile: Dockerfile, findBase: FindBase): Promise<readonly Diagnostic[]> {
  const problems = (guess: boolean): readonly Diagnostic[] =>
    referenceProblems(dockerfile, { guess }).map((error) => diagnosticOf(error, dockerfile));
  const certain = problems(false);
  const found = [...certain];
  for (const problem of problems(true)) {
    if (certain.some(({ range }) => range.start === problem.range.start)) continue;
    const name = dockerfile.text.slice(problem.range.start, problem.range.end);
    if ((await findBase(name, hostPlatform())) === undefined) found.push(problem);
  }
  return found;
}

/** Of the stages that nothing asked for yet needs, from the last one up; one without a name cannot be asked for. */
function targetsOf({ parsed, options, allStages }: Parameters<typeof findErrors>[0]): readonly (string | undefined)[] {
  if (!allStages) return [options.target];
  const { froms } = splitStages(parsed.dockerfile.instructions);
  const none: GlobalScope = { variables: new Map(), names: new Set() };
  const stages = stageSources(froms, none, parsed.dockerfile);
  const covered = new Set(neededBy(stages.length - 1, stages));
  const targets: (string | undefined)[] = [options.target];
  for (const { index, name } of stages.toReversed()) {
    if (covered.has(index) || name === undefined) continue;
    for (const needed of neededBy(index, stages)) covered.add(needed);
    targets.push(name);
  }
  return targets;
}

async function bindingErrors(
  options: BuildOptions,
  dockerfile: Dockerfile,
  findBase: FindBase,
): Promise<readonly Diagnostic[]> {
  const found: Diagnostic[] = [];
  const resolve = lenientResolver(dockerfile, findBase);
  let current = dockerfile;
  while (found.length < maxErrors) {
    try {
      await buildGraph(current, options, resolve);
      return found;
    } catch (error) {
      const errors = diagnosticsOf(error, dockerfile);
      found.push(...errors);
      const next = withoutLines(current, errors);
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

/** Undefined when that changes nothing. */
function withoutLines(dockerfile: Dockerfile, errors: readonly Diagnostic[]): Dockerfile | undefined {
  const hit = (line: Instruction): boolean =>
    errors.some(
      ({ range }) => line.range.start <= range.start && range.start < Math.max(line.range.end, line.range.start + 1),
    );
  let changed = false;
  const instructions = dockerfile.instructions.map((line): Instruction => {
    if (!hit(line) || line.kind === "invalid") return line;
    const { range, keyword, joined } = line;
    const replaced = line.kind === "from" ? onScratch(line) : ({ kind: "invalid", range, keyword, joined } as const);
    changed ||= JSON.stringify(replaced) !== JSON.stringify(line);
    return replaced;
  });
  return changed ? { ...dockerfile, instructions } : undefined;
}

/** The stage keeps its name and its lines. */
function onScratch({ platform: _, ...line }: FromInstruction): FromInstruction {
  const { range } = line.image;
  return { ...line, image: { parts: [{ kind: "text", value: "scratch", quoted: false }], raw: "scratch", range } };
}

/** Whatever is not here is taken to be fine, unless it looks like a stage that was misspelt. */
function lenientResolver(dockerfile: Dockerfile, findBase: FindBase): ResolveImage {
  const stages: string[] = [];
  const origins = new Set<string>();
  for (const line of dockerfile.instructions) {
    if (line.kind === "from" && line.stageName !== undefined) stages.push(line.stageName);
    if (line.kind === "copy" && line.from !== undefined) origins.add(line.from.value);
    if (line.kind === "run") for (const { from } of line.mounts) if (from !== undefined) origins.add(from);
  }
  return async (reference, platform) => {
    const name = familiarReference(reference);
    const found = await findBase(name, platform);
    const written = name.replace(/:latest$/, "");
    if (found === undefined && origins.has(written) && nearestWord(written, stages) !== undefined)
      throw new TsbuildError({ code: "BASE_IMAGE_NOT_FOUND", what: `no image ${name} here` });
    return standIn(reference, found ?? { ...platform, config: {} });
  };
}

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
