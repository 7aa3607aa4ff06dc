/**
 * The flags of `build`, declared once for `build`, `plan` and `cache why`, and read into the value that the library
 * takes: files, environment and standard input are looked at here and nowhere else.
 */
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { type Command, Option } from "commander";
import type { Reference } from "../oci/reference.ts";
import type { BuildOptions } from "../planner/build-options.ts";
import {
  commaLists,
  type ProgressMode,
  parseBuildArgs,
  parseBuildPlatforms,
  parseJobs,
  parseNamedContexts,
  parsePairs,
  parseProgress,
  parseTag,
} from "./build-flag-values.ts";
import { readInput } from "./build-input.ts";
import type { CommandContext } from "./command.ts";
import { defineLegacyFlags, legacyFlagNotes } from "./legacy-build-flags.ts";
import type { OutputRequest } from "./outputs/finish-build.ts";
import { defineOutputFlags, readOutputFlags } from "./outputs/output-flags.ts";
import { withEpoch } from "./source-date-epoch.ts";
import { defineStepFlags, readStepFlags } from "./step-flags.ts";

/** What was asked: the library's options, and what the command itself does with the result. */
export interface BuildRequest extends Disposable {
  readonly options: BuildOptions;
  readonly tags: readonly Reference[];
  readonly output: OutputRequest;
  readonly progress: ProgressMode;
  readonly quiet: boolean;
  /** Absolute. */
  readonly iidFile: string | undefined;
  /** Absolute: without `sha256:`. */
  readonly rawIidFile: string | undefined;
  /** Absolute: the digest of the manifest or index. */
  readonly digestFile: string | undefined;
  /** Absolute. */
  readonly metadataFile: string | undefined;
  /** Ask the registry for each FROM again. */
  readonly pull: boolean;
  /** Steps at once. */
  readonly jobs: number;
  /** Said before the build starts: what was assumed, which flags have no effect. */
  readonly notes: readonly string[];
}

/** commander starts an option whose name begins with `no-` at true. */
const collect = (value: string, before: readonly string[] | boolean | undefined): readonly string[] => [
  ...(typeof before === "object" ? before : []),
  value,
];

/** Declares argument and flags of `build`. */
export function defineBuildFlags(command: Command): void {
  const list = (flags: string, description: string): Option => new Option(flags, description).argParser(collect);
  command
    .usage("[OPTIONS] PATH | URL | -")
    .argument("[context]", "a directory, a git or http URL, or - for a Dockerfile or a tar on standard input")
    .option("-f, --file <file>", "the Dockerfile (default: Dockerfile in the context; - for standard input)")
    .addOption(list("-t, --tag <name>", "name the image (repeatable)"))
    .option("--target <stage>", "build this stage, and what it needs")
    .addOption(list("--build-arg <key[=value]>", "value of an ARG; without =value taken from the environment"))
    .addOption(
      list(
        "--build-context <name=value>",
        "a further context: a directory, a git or http URL, docker-image://, oci-layout://",
      ),
    )
    .addOption(list("--platform <platform>", "os/arch[/variant] to build for (comma-separated; several make an index)"))
    .addOption(list("--label <key=value>", "label of the image"))
    .option("--no-cache", "run every step; results are still recorded")
    .addOption(list("--no-cache-filter <stage>", "the same for these stages (comma-separated)"))
    .option("--pull", "ask the registry for every FROM again");
  defineStepFlags(command);
  command
    .option("--iidfile <file>", "write the image's ID here")
    .option("--iidfile-raw <file>", "the same, without sha256:")
    .option("--digest-file <file>", "write the digest of the manifest or index here")
    .option("--metadata-file <file>", "write what was built here, as JSON")
    .option("--progress <mode>", "auto, tty, plain, quiet, json")
    .option("-q, --quiet", "print only the image's ID")
    .option("-j, --jobs <number>", "steps at once (default: four for each processor, at least 8)");
  defineOutputFlags(command);
  defineLegacyFlags(command);
}

/** What commander makes of the flags above. */
interface BuildFlags {
  readonly file?: string;
  readonly tag?: readonly string[];
  readonly target?: string;
  readonly buildArg?: readonly string[];
  readonly buildContext?: readonly string[];
  readonly platform?: readonly string[];
  readonly label?: readonly string[];
  /** `--no-cache` makes it false. */
  readonly cache?: boolean;
  /** `--no-cache-filter`: commander takes the `no` away, and starts it at true. */
  readonly cacheFilter?: readonly string[] | boolean;
  readonly pull?: boolean;
  readonly iidfile?: string;
  readonly iidfileRaw?: string;
  readonly digestFile?: string;
  readonly metadataFile?: string;
  readonly progress?: string;
  readonly quiet?: boolean;
  readonly jobs?: string;
}

/**
 * Reads the flags, the Dockerfile and the ignore file. Dispose it when the build is over: a context that came as a tar
 * lies in a temporary folder of the store.
 * @throws {TsbuildError} `USAGE`, `CONTEXT_NOT_FOUND`, `DOCKERFILE_NOT_FOUND`, `INVALID_…`
 */
export async function readBuildRequest(command: Command, context: CommandContext): Promise<BuildRequest> {
  // Safe: these are the very names that defineBuildFlags declares.
  const flags = command.opts() as BuildFlags;
  const { DOCKER_DEFAULT_PLATFORM, BUILDKIT_PROGRESS } = context.environment;
  const notes = [...legacyFlagNotes(command)];
  const tags = (flags.tag ?? []).map(parseTag);
  const buildArgs = withEpoch(parseBuildArgs(flags.buildArg ?? [], context.environment), command, context);
  const output = await readOutputFlags(command, context, { tags, buildArgs });
  const steps = await readStepFlags(command, context);
  const fetch = { buildArgs, secrets: steps.secrets, ssh: steps.ssh };
  const input = await readInput(command.args[0], flags, context, { notes, fetch });
  try {
    const quiet = flags.quiet ?? false;
    return {
      options: {
        ...input.source,
        namedContexts: parseNamedContexts(flags.buildContext ?? [], context.cwd),
        target: flags.target,
        buildArgs,
        labels: parsePairs("--label", flags.label ?? []),
        platforms: parseBuildPlatforms(flags.platform ?? (DOCKER_DEFAULT_PLATFORM ? [DOCKER_DEFAULT_PLATFORM] : [])),
        noCache: flags.cache === false,
        noCacheFilter: commaLists(typeof flags.cacheFilter === "object" ? flags.cacheFilter : []).map((name) =>
          name.toLowerCase(),
        ),
        ...steps,
        environment: context.environment,
      },
      tags,
      output,
      progress: quiet ? "quiet" : parseProgress(flags.progress ?? (BUILDKIT_PROGRESS || "auto")),
      quiet,
      iidFile: flags.iidfile === undefined ? undefined : resolve(context.cwd, flags.iidfile),
      rawIidFile: flags.iidfileRaw === undefined ? undefined : resolve(context.cwd, flags.iidfileRaw),
      digestFile: flags.digestFile === undefined ? undefined : resolve(context.cwd, flags.digestFile),
      metadataFile: flags.metadataFile === undefined ? undefined : resolve(context.cwd, flags.metadataFile),
      pull: flags.pull ?? false,
      jobs: flags.jobs === undefined ? defaultJobs() : parseJobs(flags.jobs),
      notes,
      [Symbol.dispose]: input.dispose,
    };
  } catch (error) {
    input.dispose();
    throw error;
  }
}

/** More than processors: a step waits for the network, the disk or a timer most of its time. */
function defaultJobs(): number {
  return Math.max(8, 4 * availableParallelism());
}
