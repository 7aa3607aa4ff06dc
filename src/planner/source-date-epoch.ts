/**
 * SOURCE_DATE_EPOCH: the time that a result may not lie behind, from a build-arg or the default of a global ARG.
 * Source: reproducible-builds.org, "SOURCE_DATE_EPOCH"; BuildKit, docs/build-repro.md.
 */
import { epochInvalid, epochUnsupported } from "./errors.ts";
import type { GlobalScope } from "./scopes.ts";

const name = "SOURCE_DATE_EPOCH";

export interface EpochSources {
  readonly buildArgs: ReadonlyMap<string, string>;
  readonly global: GlobalScope;
  /** Of the file, lower case. */
  readonly stages: readonly (string | undefined)[];
  /** Of `--build-context`. */
  readonly contexts: Iterable<string>;
  /** Of the main context, in seconds. */
  readonly contextTime: number | undefined;
}

/**
 * Seconds; undefined when nobody says. A local folder has no time of its own: naming the context is as if unset.
 * @throws {TsbuildError} `INVALID_ARGUMENT`, `UNSUPPORTED` for the time of a stage
 */
export function sourceDateEpoch({
  buildArgs,
  global,
  stages,
  contexts,
  contextTime,
}: EpochSources): number | undefined {
  const text = buildArgs.get(name) ?? global.variables.get(name);
  if (text === undefined || text === "") return undefined;
  if (/^[0-9]{1,15}$/.test(text)) return Number(text);
  if (text === "context") return contextTime;
  if ([...contexts].includes(text.toLowerCase())) return undefined;
  if (stages.includes(text.toLowerCase())) throw epochUnsupported(text);
  throw epochInvalid(text);
}
