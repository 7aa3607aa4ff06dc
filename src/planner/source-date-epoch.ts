/**
 * SOURCE_DATE_EPOCH: the time that a result may not lie behind, from a build-arg or the default of a global ARG. In place
 * of seconds it can name what has a time: the context, a further one, a stage that only fetches something.
 * Source: reproducible-builds.org, "SOURCE_DATE_EPOCH"; BuildKit, docs/build-repro.md.
 */
import type { Where } from "../errors.ts";
import type { Dockerfile } from "../parser/ast.ts";
import { whereOf } from "../parser/position.ts";
import type { BuildOptions } from "./build-options.ts";
import { bindCopy } from "./copy-input.ts";
import { epochInvalid, epochStage } from "./errors.ts";
import { expandWord, type Locate } from "./expand-word.ts";
import { type GitSource, gitContext } from "./git-url.ts";
import { findNamedContext } from "./named-contexts.ts";
import type { GlobalScope } from "./scopes.ts";
import type { StageSource } from "./stage-names.ts";

const name = "SOURCE_DATE_EPOCH";

/** Something elsewhere that has a time. */
export type TimedSource =
  | { readonly kind: "git"; readonly source: GitSource }
  | { readonly kind: "url"; readonly url: string; readonly checksum: string | undefined };

/**
 * Epoch seconds: of a commit, of a file's Last-Modified, else of the newest file in it when it is an archive; undefined
 * for a file without.
 * @throws {TsbuildError} `SOURCE_NOT_FOUND`; `COPY_FAILED` when it is not what a checksum wants
 */
export type ResolveTime = (source: TimedSource, where: Where) => Promise<number | undefined>;

export interface EpochContext {
  readonly options: Pick<BuildOptions, "buildArgs" | "context" | "namedContexts" | "platforms">;
  readonly global: GlobalScope;
  readonly stages: readonly StageSource[];
  readonly source: Dockerfile;
  readonly platform: Parameters<typeof findNamedContext>[2];
  readonly timeOf: ResolveTime;
}

export interface Epoch {
  /** Undefined when nobody says, or says what has no time: a local folder, an image. */
  readonly seconds: number | undefined;
  readonly buildArgs: ReadonlyMap<string, string>;
  readonly global: GlobalScope;
}

/**
 * The seconds, and arguments in which they stand instead of the name: what ARG sees.
 * @throws {TsbuildError} `INVALID_ARGUMENT`; `INSTRUCTION_INVALID` for a stage that does more than to fetch; what `timeOf`
 * throws
 */
export async function sourceDateEpoch(context: EpochContext): Promise<Epoch> {
  const { global } = context;
  const { buildArgs } = context.options;
  const text = buildArgs.get(name) ?? global.variables.get(name);
  if (text === undefined || text === "") return { seconds: undefined, buildArgs, global };
  if (/^[0-9]{1,15}$/.test(text)) return { seconds: Number(text), buildArgs, global };
  const seconds = await namedTime(text, context);
  const value = seconds === undefined ? "" : String(seconds);
  const replaced = (variables: ReadonlyMap<string, string>): ReadonlyMap<string, string> =>
    variables.has(name) ? new Map([...variables, [name, value]]) : variables;
  return {
    seconds,
    buildArgs: replaced(buildArgs),
    global: { ...global, variables: replaced(global.variables) },
  };
}

async function namedTime(text: string, context: EpochContext): Promise<number | undefined> {
  const { options, stages, platform, timeOf } = context;
  if (text === "context") return options.context.kind === "directory" ? options.context.time : undefined;
  const where: Where = { kind: "flag", flag: "--build-context" };
  const named = findNamedContext(options.namedContexts, text, platform)?.context;
  if (named?.kind === "git") {
    const source = gitContext(named.url, where);
    return source === undefined ? undefined : await timeOf({ kind: "git", source }, where);
  }
  if (named?.kind === "url") return await timeOf({ kind: "url", url: named.url, checksum: undefined }, where);
  if (named !== undefined) return undefined;
  const stage = stages.find((one) => one.name === text.toLowerCase());
  if (stage === undefined) throw epochInvalid(text);
  return await timeOf(fetchedBy(stage, context), whereOf(context.source, stage.from.range));
}

/** What a stage of nothing but ARG and one ADD fetches. All global ARGs are seen in it, as in BuildKit. */
function fetchedBy(stage: StageSource, { source, global, options }: EpochContext): TimedSource {
  const locate: Locate = (range) => whereOf(source, range);
  if (stage.image !== "scratch") throw epochStage("must use FROM scratch", locate(stage.from.range));
  const variables = new Map(global.variables);
  variables.delete(name);
  let found: TimedSource | undefined;
  for (const instruction of stage.body) {
    const where = locate(instruction.range);
    if (instruction.kind === "arg") {
      for (const { name: key, defaultValue } of instruction.args) {
        const value =
          options.buildArgs.get(key) ??
          (defaultValue === undefined ? undefined : expandWord(defaultValue, variables, locate));
        if (value !== undefined) variables.set(key, value);
      }
      continue;
    }
    if (instruction.kind !== "add")
      throw epochStage(`must hold ARG and ADD only, not ${instruction.kind.toUpperCase()}`, where);
    if (found !== undefined) throw epochStage("must hold exactly one ADD", where);
    const { input } = bindCopy(instruction, { variables, workdir: "/", locate, from: { kind: "scratch" } });
    const [only, ...others] = input.sources;
    if (only === undefined || others.length > 0) throw epochStage("must ADD exactly one source", where);
    if (only.kind !== "url" && only.kind !== "git") throw epochStage("must ADD a URL or a git repository", where);
    found = only.kind === "git" ? only : { ...only, checksum: input.checksum };
  }
  if (found === undefined) throw epochStage("must hold one ADD", locate(stage.from.range));
  return found;
}
