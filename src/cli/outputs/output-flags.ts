/** The flags of `build` that say what becomes of it. */
import { type Command, Option } from "commander";
import { assertNever, TsbuildError } from "../../errors.ts";
import type { Reference } from "../../oci/reference.ts";
import type { CommandContext } from "../command.ts";
import { listOption } from "../list-option.ts";
import type { AttestSettings } from "./attest-spec.ts";
import type { OutputRequest } from "./finish-build.ts";
import type { BuildOutput } from "./output-spec.ts";

interface OutputFlags {
  readonly output?: readonly string[];
  readonly load?: boolean;
  readonly push?: boolean;
  readonly attest?: readonly string[];
  readonly provenance?: string | boolean;
  readonly sbom?: string | boolean;
  readonly cacheFrom?: readonly string[];
  readonly cacheTo?: readonly string[];
  readonly timestamp?: string;
  readonly annotation?: readonly string[];
  readonly allow?: readonly string[];
  readonly digestFile?: string;
  readonly squash?: boolean;
  readonly singleSnapshot?: boolean;
  readonly squashAll?: boolean;
}

export function defineOutputFlags(command: Command): void {
  command
    .addOption(
      listOption("-o, --output <spec>", "type=image|registry|oci|docker|local|tar|cacheonly,…; DIR; - for a tar"),
    )
    .option("--push", "push the image: -o type=registry")
    .addOption(new Option("--load", "the default: -o type=docker").hideHelp())
    .addOption(listOption("--cache-from <spec>", "NAME, or type=registry,ref=NAME, type=local,src=DIR"))
    .addOption(
      listOption("--cache-to <spec>", "NAME, type=registry,ref=NAME, type=local,dest=DIR, type=inline; mode=min|max"),
    )
    .addOption(listOption("--attest <spec>", "type=provenance[,mode=max] or type=sbom,generator=IMAGE"))
    .option("--provenance [spec]", "how the image was made: mode=min or max, or false")
    .option("--sbom [spec]", "what is in the image, by a scanner: generator=IMAGE")
    .option("--squash", "one layer above the base image")
    .option("--squash-all", "one layer with the base image in it")
    .addOption(new Option("--single-snapshot", "the same as --squash, as kaniko has it").hideHelp())
    .option("--source-date-epoch <seconds>", "no time of the image lies behind this one; as the build-arg")
    .option("--timestamp <seconds>", "the same, for the files of its layers too")
    .addOption(listOption("--annotation <[type:]key=value>", "annotation of the manifest, or of index, …-descriptor"));
}

/** @throws {TsbuildError} `USAGE`, `UNSUPPORTED` */
export async function readOutputFlags(
  command: Command,
  context: CommandContext,
  { tags, buildArgs }: { readonly tags: readonly Reference[]; readonly buildArgs: ReadonlyMap<string, string> },
): Promise<OutputRequest> {
  const flags = command.opts<OutputFlags>();
  const texts = [...(flags.output ?? [])];
  if (flags.push === true && !texts.some((text) => /(?:^|,)type=(?:image|registry)(?:,|$)/.test(text)))
    texts.push("type=registry");
  if ((flags.load === true && texts.length > 0) || texts.length === 0) texts.push("type=docker");
  const { parseAnnotation, parseOutput } = await import("./output-spec.ts");
  const outputs = texts
    .map((text) => parseOutput(text, context.cwd))
    .map((output) => (output.kind === "image" && flags.push === true ? { ...output, push: true } : output));
  if (outputs.filter((output) => usesStandardOutput(output)).length > 1)
    throw new TsbuildError({ code: "USAGE", what: "only one output can go to standard output" });
  const isNameless = (output: BuildOutput): boolean =>
    output.kind === "image" && output.names.length + tags.length === 0 && output.danglingPrefix === undefined;
  if (outputs.some((output) => output.kind === "image" && output.push && isNameless(output)))
    throw new TsbuildError({
      code: "USAGE",
      what: "tag is needed when pushing to registry",
      hint: "name it: -t REGISTRY/NAME",
    });
  const deletes = outputs.some((output) => output.kind === "local" && output.mode === "delete");
  if (deletes && !(flags.allow ?? []).includes("buildx.local.delete"))
    throw new TsbuildError({
      code: "USAGE",
      what: "mode=delete removes what is in the folder and not in the result",
      hint: "if it should: --allow buildx.local.delete",
    });
  const squash = flags.squashAll ? "all" : flags.squash || flags.singleSnapshot ? "own" : undefined;
  const caches = await readCacheFlags(flags, buildArgs, context);
  if (squash !== undefined && caches.cacheTargets.some(({ kind }) => kind === "inline"))
    throw new TsbuildError({
      code: "USAGE",
      what: "a cache inside the image is about its layers, and one layer is left",
      hint: "put the cache elsewhere: --cache-to type=local,dest=DIR",
    });
  return {
    outputs,
    tags,
    squash,
    annotations: (flags.annotation ?? []).flatMap(parseAnnotation),
    ...caches,
    attest: await readAttest(flags),
    rewriteTimestamp: flags.timestamp !== undefined,
    needsDigest: needsDigest(flags, outputs),
    alwaysIndex: isTrue(buildArgs.get("BUILDKIT_MULTI_PLATFORM")),
  };
}

/** A tar on standard output has nothing behind it. */
export function usesStandardOutput(output: BuildOutput): boolean {
  switch (output.kind) {
    case "image":
    case "cacheonly":
      return false;
    case "oci":
    case "docker":
      return output.dest === undefined && output.engine === undefined;
    case "local":
    case "tar":
      return output.dest === undefined;
    default:
      return assertNever(output);
  }
}

/** @throws {TsbuildError} `USAGE` */
function needsDigest({ digestFile }: OutputFlags, outputs: readonly BuildOutput[]): boolean {
  if (digestFile === undefined) return false;
  if (outputs.some(({ kind }) => kind === "image" || kind === "oci" || kind === "docker")) return true;
  throw new TsbuildError({
    code: "USAGE",
    what: "--digest-file: no output has a manifest",
    hint: "such as -o type=image",
  });
}

async function readAttest({ attest, provenance, sbom }: OutputFlags): Promise<AttestSettings | undefined> {
  if (attest === undefined && provenance === undefined && sbom === undefined) return undefined;
  const { parseAttest } = await import("./attest-spec.ts");
  return parseAttest({
    ...(attest !== undefined && { attest }),
    ...(provenance !== undefined && { provenance }),
    ...(sbom !== undefined && { sbom }),
  });
}

/** `BUILDKIT_INLINE_CACHE=1` is the old spelling of `type=inline`. */
async function readCacheFlags(
  { cacheFrom = [], cacheTo = [] }: OutputFlags,
  buildArgs: ReadonlyMap<string, string>,
  { cwd }: CommandContext,
): Promise<Pick<OutputRequest, "cacheSources" | "cacheTargets">> {
  const inline = isTrue(buildArgs.get("BUILDKIT_INLINE_CACHE")) ? ["type=inline"] : [];
  if (cacheFrom.length + cacheTo.length + inline.length === 0) return { cacheSources: [], cacheTargets: [] };
  const { parseCacheSource, parseCacheTarget } = await import("../external-cache/cache-spec.ts");
  return {
    cacheSources: cacheFrom.map((text) => parseCacheSource(text, cwd)),
    cacheTargets: [...cacheTo, ...inline].map((text) => parseCacheTarget(text, cwd)),
  };
}

/** As Go's ParseBool reads it. */
export function isTrue(text: string | undefined): boolean {
  return text !== undefined && /^(?:1|t|true)$/i.test(text);
}
