/** From finished targets to what was asked for: images with names, pushes, archives, files, and the cache elsewhere. */
import { assertNever, TsbuildError } from "../../errors.ts";
import { atEpoch, withInlineCache } from "../../executor/commit-image.ts";
import type { FinishedTarget } from "../../executor/finished-target.ts";
import type { Annotation } from "../../executor/image-manifest.ts";
import type { Squash } from "../../executor/squash.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { blobDigestOf, type Digest, type ImageId } from "../../oci/digest.ts";
import type { Reference } from "../../oci/reference.ts";
import type { Store } from "../../store/store.ts";
import type { CommandContext } from "../command.ts";
import type { CacheSource, CacheTarget } from "../external-cache/cache-spec.ts";
import type { ExportedBuild } from "../external-cache/export-cache.ts";
import type { AttestSettings } from "./attest-spec.ts";
import type { Attestor } from "./attestor.ts";
import type { BuildOutput } from "./output-spec.ts";

export interface OutputRequest {
  readonly outputs: readonly BuildOutput[];
  /** `--tag`. */
  readonly tags: readonly Reference[];
  /** `--annotation`. */
  readonly annotations: readonly Annotation[];
  /** An index also over one image. */
  readonly alwaysIndex: boolean;
  readonly cacheSources: readonly CacheSource[];
  readonly cacheTargets: readonly CacheTarget[];
  /** Of every output: `--timestamp` means the files too. */
  readonly rewriteTimestamp: boolean;
  readonly attest: AttestSettings | undefined;
  readonly squash: Squash | undefined;
  /** `--digest-file`: a manifest even where nobody else needs one. */
  readonly needsDigest: boolean;
}

/** What was made, for `--metadata-file` and `--iidfile`. */
export interface BuiltOutputs {
  /** In the store. */
  readonly images: readonly ImageId[];
  readonly names: readonly Reference[];
  /** Of one image; an index has none. */
  readonly configDigest: Digest | undefined;
  /** The manifest, or the index, if one was made. */
  readonly descriptor: Descriptor | undefined;
}

export interface OutputPlace {
  readonly store: Store;
  readonly context: CommandContext;
  readonly onNote: (text: string) => void;
  /** Undefined: nothing is attested. */
  readonly attest: Attestor | undefined;
}

/** @throws {TsbuildError} what cannot be written where it should go */
export async function finishBuild(
  result: ExportedBuild,
  request: OutputRequest,
  place: OutputPlace,
): Promise<BuiltOutputs> {
  const inline = request.cacheTargets.some(({ kind }) => kind === "inline");
  const recorded = inline ? await withInlineRecords(result, place.store) : result.targets;
  const targets = await squashed(recorded, request.squash, place);
  let built: BuiltOutputs = {
    images: [],
    names: [],
    configDigest: undefined,
    descriptor: undefined,
  };
  for (const output of request.outputs) {
    const retimed = await inFormat(await withTimes(targets, output, request, place), output, place);
    const made = await finishOutput(retimed, output, request, place);
    built = {
      images: [...built.images, ...made.images],
      names: [...built.names, ...made.names],
      configDigest:
        built.configDigest ??
        (retimed.length === 1 && retimed[0] !== undefined ? blobDigestOf(retimed[0].id) : undefined),
      descriptor: built.descriptor ?? made.descriptor,
    };
  }
  for (const target of request.cacheTargets) {
    if (target.kind === "inline") continue;
    const { exportCache } = await import("../external-cache/export-cache.ts");
    await exportCache(result, target, place);
  }
  return built;
}

async function withInlineRecords({ targets, keys }: ExportedBuild, store: Store): Promise<readonly FinishedTarget[]> {
  const { externalRecords, printExternalCache } = await import("../../executor/external-cache.ts");
  return targets.map((target) => {
    const { records } = externalRecords(store, keys, target.chain);
    return withInlineCache(target, printExternalCache(records, undefined));
  });
}

async function squashed(
  targets: readonly FinishedTarget[],
  extent: Squash | undefined,
  { store, context }: OutputPlace,
): Promise<readonly FinishedTarget[]> {
  if (extent === undefined) return targets;
  const { squash } = await import("../../executor/squash.ts");
  return await Promise.all(targets.map((target) => squash(store, target, extent, context.signal)));
}

/** As its own SOURCE_DATE_EPOCH and `rewrite-timestamp` say. */
async function withTimes(
  targets: readonly FinishedTarget[],
  output: BuildOutput,
  { rewriteTimestamp }: OutputRequest,
  { store, context }: OutputPlace,
): Promise<readonly FinishedTarget[]> {
  if (output.kind === "cacheonly") return targets;
  const settings = "settings" in output ? output.settings : undefined;
  const epoch = "settings" in output ? output.settings.sourceDateEpoch : output.sourceDateEpoch;
  const retimed = epoch === undefined ? targets : targets.map((target) => atEpoch(target, epoch));
  if (settings === undefined || !(settings.rewriteTimestamp || rewriteTimestamp)) return retimed;
  if (retimed.some(({ sourceDateEpoch }) => sourceDateEpoch === undefined))
    throw new TsbuildError({
      code: "USAGE",
      what: "rewrite-timestamp needs SOURCE_DATE_EPOCH",
      hint: "--build-arg SOURCE_DATE_EPOCH=$(date +%s)",
    });
  const { rewriteTimes } = await import("../../executor/rewrite-times.ts");
  return await Promise.all(retimed.map((target) => rewriteTimes(store, target, context.signal)));
}

/** With layers as `compression=estargz` wants them. */
async function inFormat(
  targets: readonly FinishedTarget[],
  output: BuildOutput,
  { store, context }: OutputPlace,
): Promise<readonly FinishedTarget[]> {
  const level = "settings" in output ? output.settings.estargzLevel : undefined;
  if (level === undefined) return targets;
  const { asEstargz } = await import("../../executor/estargz-target.ts");
  const converted: FinishedTarget[] = [];
  // One after the other: platforms share layers.
  for (const target of targets) converted.push(await asEstargz(store, target, level, context.signal));
  return converted;
}

export interface Made {
  readonly images: readonly ImageId[];
  readonly names: readonly Reference[];
  readonly descriptor: Descriptor | undefined;
}

const nothingMade: Made = { images: [], names: [], descriptor: undefined };

async function finishOutput(
  targets: readonly FinishedTarget[],
  output: BuildOutput,
  request: OutputRequest,
  place: OutputPlace,
): Promise<Made> {
  switch (output.kind) {
    case "image":
      return await (await import("./image-output.ts")).toStore(targets, output, request, place);
    case "oci":
    case "docker":
      return await (await import("./archive-output.ts")).toArchive(targets, output, request, place);
    case "local":
    case "tar":
      await (await import("./files-output.ts")).toFiles(targets, output, place);
      return nothingMade;
    case "cacheonly":
      return nothingMade;
    default:
      return assertNever(output);
  }
}
