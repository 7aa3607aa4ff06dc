/**
 * Build checks: what is legal and still worth a word. Nothing is built and nothing is read but the ignore file and the
 * configs of base images. Source: docs.docker.com, "Build checks".
 */
import { nearestWord } from "../nearest-word.ts";
import { hostPlatform, parsePlatform } from "../oci/platform.ts";
import type { Diagnostic, Dockerfile, Instruction, ParseResult, Range } from "../parser/ast.ts";
import type { CheckOptions as CheckSettings } from "../parser/directives.ts";
import { whereOf } from "../parser/position.ts";
import { splitStages } from "../planner/bind.ts";
import { type IgnoreRules, parseIgnoreFile } from "../planner/ignore-rules.ts";
import { type GlobalScope, globalScope, platformArgs } from "../planner/scopes.ts";
import type { StageSource } from "../planner/stage-names.ts";
import type { Check, CheckedFile, CheckOptions, Report } from "./checked-file.ts";
import { baseTags } from "./rules/base-tags.ts";
import { casing } from "./rules/casing.ts";
import { configLines } from "./rules/config-lines.ts";
import { descriptions } from "./rules/descriptions.ts";
import { expose } from "./rules/expose.ts";
import { fromLines } from "./rules/from-lines.ts";
import { ignoredFiles } from "./rules/ignored-files.ts";
import { secrets } from "./rules/secrets.ts";
import { stageNames } from "./rules/stage-names.ts";
import { variables } from "./rules/variables.ts";
import { rules } from "./rules.ts";
import { checkSettings, isWanted, settingsAt } from "./settings.ts";
import { readable, unreadBase } from "./unread-stages.ts";
import { chainOf, type FindBase, neededBy, stageSources, walkStages, wordValue } from "./walk-stages.ts";

export interface CheckRequest {
  readonly parsed: ParseResult;
  readonly options: CheckOptions;
  readonly findBase: FindBase;
  /** Every stage, whether the target needs it or not. */
  readonly allStages: boolean;
  /** The checks that BuildKit does not have, too. */
  readonly withOwn: boolean;
}

const buildkitChecks: readonly Check[] = [
  casing,
  configLines,
  descriptions,
  expose,
  fromLines,
  ignoredFiles,
  secrets,
  stageNames,
  variables,
];

/**
 * Warnings in order of place, each with a check's name as its code. Lines with an error are left out.
 * @throws {TsbuildError} `INVALID_ARGUMENT` for a build argument that configures checks
 */
export async function checkDockerfile(request: CheckRequest): Promise<readonly Diagnostic[]> {
  const [first, ...others] = request.options.platforms;
  const found = [...(await checkForPlatform(request))];
  if (first === undefined) return found;
  // What is true for every platform is said once.
  const told = new Set(found.map(keyOf));
  for (const platform of others) {
    for (const warning of await checkForPlatform({
      ...request,
      options: { ...request.options, platforms: [platform] },
    })) {
      if (told.has(keyOf(warning))) continue;
      told.add(keyOf(warning));
      found.push(warning);
    }
  }
  return found.sort(byPlace);
}

const keyOf = ({ code, range, message }: Diagnostic): string => `${code} ${range.start} ${message}`;

const byPlace = (a: Diagnostic, b: Diagnostic): number =>
  a.range.start - b.range.start || (a.code < b.code ? -1 : a.code > b.code ? 1 : 0);

async function checkForPlatform(request: CheckRequest): Promise<readonly Diagnostic[]> {
  const { dockerfile } = request.parsed;
  const settings = checkSettings(dockerfile, request.options.buildArgs);
  const file = await checkedFile(request);
  const withOwn = request.withOwn || settings.experimental.some((name) => rules.get(name)?.own === true);
  const found: Diagnostic[] = [];
  const report: Report = (name, range, message, hint) => {
    const rule = rules.get(name);
    const here = settingsAt(settings, instructionAt(dockerfile.instructions, range));
    if (rule === undefined || !isWanted(rule, here, request.withOwn)) return;
    found.push({ severity: "warning", code: name, message, range, ...(hint !== undefined && { hint }) });
  };
  for (const check of buildkitChecks) check(file, report);
  if (withOwn) {
    // They need the shell's lexer, which a build does not.
    const { layers } = await import("./rules/layers.ts");
    for (const check of [baseTags, layers]) check(file, report);
  }
  for (const { code, range, message, hint } of file.parsed)
    if (code === "NoEmptyContinuation") report(code, range, message, hint);
  if (request.withOwn) found.push(...unknownChecks(dockerfile, settings));
  return found.sort(byPlace);
}

/** Names in the directive that no check has; those with dashes are of the parser's warnings. */
function unknownChecks({ directives }: Dockerfile, { skip, experimental }: CheckSettings): readonly Diagnostic[] {
  const directive = directives.find(({ name }) => name === "check");
  if (directive === undefined) return [];
  return [...skip, ...experimental]
    .filter((name) => name !== "all" && /[A-Z]/.test(name) && !rules.has(name) && directive.value.includes(name))
    .map((name) => {
      const near = nearestWord(name, rules.keys());
      const warning = { severity: "warning", code: "unknown-check", range: directive.range } as const;
      return {
        ...warning,
        message: `there is no check ${name}`,
        ...(near !== undefined && { hint: `did you mean ${near}?` }),
      };
    });
}

/** The instruction that a place is in; of an empty continuation at the end of the file the one above. */
export function instructionAt(instructions: readonly Instruction[], range: Range): Instruction | undefined {
  let low = 0;
  let high = instructions.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((instructions[middle]?.range.start ?? 0) <= range.start) low = middle + 1;
    else high = middle;
  }
  return instructions[low - 1];
}

/** What there is to look at: also what an outline is made of. */
export async function checkedFile({
  parsed,
  options,
  findBase,
  allStages,
}: Omit<CheckRequest, "withOwn">): Promise<CheckedFile> {
  const { dockerfile, diagnostics } = parsed;
  const { globals, froms } = splitStages(readable(dockerfile).instructions);
  const targetPlatform = options.platforms[0] ?? hostPlatform();
  const stageName = options.target ?? froms.at(-1)?.from.stageName ?? "default";
  const predefined = platformArgs(hostPlatform(), targetPlatform, stageName);
  const scope = (buildArgs: ReadonlyMap<string, string>): GlobalScope => {
    try {
      return globalScope(globals, predefined, buildArgs, (range) => whereOf(dockerfile, range));
    } catch {
      // The planner tells; names are what remains.
      const names = globals.flatMap(({ args }) => args.map(({ name }) => name));
      return { variables: predefined, names: new Set([...predefined.keys(), ...names]) };
    }
  };
  const global = scope(options.buildArgs);
  const stages = withPlatforms(stageSources(froms, global, dockerfile), global, parsed);
  const target = targetIndex(options.target, stages);
  const findKnown: FindBase = async (name, platform) =>
    name === unreadBase ? undefined : await findBase(name, platform);
  const wanted = allStages ? new Set(stages.keys()) : neededBy(target, stages);
  return {
    dockerfile,
    parsed: diagnostics,
    options,
    global,
    defaults: options.buildArgs.size === 0 ? global : scope(new Map()),
    targetPlatform,
    stages,
    walked: await walkStages({ dockerfile, stages, wanted, global, options, targetPlatform, findBase: findKnown }),
    shipped: chainOf(target, stages),
    ignore: ignoreRules(options),
  };
}

function targetIndex(target: string | undefined, stages: readonly StageSource[]): number {
  const named = target ? stages.findLastIndex(({ name }) => name === target.toLowerCase()) : -1;
  return named >= 0 ? named : stages.length - 1;
}

function withPlatforms(
  stages: readonly StageSource[],
  global: GlobalScope,
  { dockerfile }: ParseResult,
): readonly StageSource[] {
  return stages.map((stage) => {
    const text = stage.from.platform && wordValue(stage.from.platform, global.variables, dockerfile);
    if (!text) return stage;
    try {
      return { ...stage, platform: parsePlatform(text) };
    } catch {
      return stage;
    }
  });
}

function ignoreRules({ ignore }: CheckOptions): IgnoreRules | undefined {
  try {
    return ignore === undefined ? undefined : parseIgnoreFile(ignore.text, ignore.file);
  } catch {
    return undefined;
  }
}
