/** From finished targets to what was asked for: images with names, pushes, archives, files. */
import { createWriteStream } from "node:fs";
import { finished } from "node:stream/promises";
import type { ArchiveSink } from "../../archive/archive-sink.ts";
import { assertNever, TsbuildError } from "../../errors.ts";
import type { Statement } from "../../executor/attestation-manifest.ts";
import { atEpoch, commitImage, withInlineCache } from "../../executor/commit-image.ts";
import type { ExportedTree } from "../../executor/export-files.ts";
import type { FinishedTarget } from "../../executor/finished-target.ts";
import type { Annotation, Document } from "../../executor/image-manifest.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { blobDigestOf, type Digest, type ImageId } from "../../oci/digest.ts";
import { formatPlatform, hostPlatform, samePlatform } from "../../oci/platform.ts";
import { canonicalReference, familiarReference, type Reference } from "../../oci/reference.ts";
import type { Store } from "../../store/store.ts";
import { checkLayoutFolder, intoFile, isSpecial } from "../archive-file.ts";
import type { CommandContext } from "../command.ts";
import { standardOutput, tarFile } from "../containers/tar-output.ts";
import type { CacheSource, CacheTarget } from "../external-cache/cache-spec.ts";
import type { ExportedBuild } from "../external-cache/export-cache.ts";
import { replaceFile } from "../replace-file.ts";
import type { AttestSettings } from "./attest-spec.ts";
import type { Attestor } from "./attestor.ts";
import type { ArchiveOutput, BuildOutput, DocumentSettings, FilesOutput, ImageOutput } from "./output-spec.ts";
import { platformFolder } from "./platform-folder.ts";

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
  const targets = inline ? await withInlineRecords(result, place.store) : result.targets;
  let built: BuiltOutputs = {
    images: [],
    names: [],
    configDigest: undefined,
    descriptor: undefined,
  };
  for (const output of request.outputs) {
    const retimed = await withTimes(targets, output, request, place);
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

interface Made {
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
      return await toStore(targets, output, request, place);
    case "oci":
    case "docker":
      return await toArchive(targets, output, request, place);
    case "local":
    case "tar":
      await toFiles(targets, output, place);
      return nothingMade;
    case "cacheonly":
      return nothingMade;
    default:
      return assertNever(output);
  }
}

// Images ---------------------------------------------------------------------------------------------------------

async function toStore(
  targets: readonly FinishedTarget[],
  output: ImageOutput,
  request: OutputRequest,
  place: OutputPlace,
): Promise<Made> {
  const { store } = place;
  const names = [...output.names, ...request.tags];
  if (output.push && names.length === 0)
    throw new TsbuildError({
      code: "USAGE",
      what: "tag is needed when pushing to registry",
      hint: "name it: -t REGISTRY/NAME",
    });
  const known = new Set(targets.filter(({ id }) => store.images.get(id) !== undefined).map(({ id }) => id));
  const images = targets.map((target) => commitImage(store, target, []));
  const settings = withAnnotations(output.settings, request);
  const document = needsDocuments(targets, { settings, push: output.push, request, place })
    ? await writeDocuments(targets, settings, { ...request, names }, place)
    : undefined;
  if (document !== undefined)
    for (const { id, raw } of document.manifests) store.images.recordManifest(id, undefined, raw);
  // The image that runs when somebody runs the name.
  const first = targets.find(({ platform }) => samePlatform(platform, hostPlatform())) ?? targets[0];
  if (first === undefined) throw new Error("nothing was built");
  const ids = [first.id, ...targets.map(({ id }) => id).filter((id) => id !== first.id)];
  const index = document?.index;
  if (output.store && !output.pushByDigest)
    for (const name of names)
      if (index !== undefined) store.images.tagIndex(name, index.raw, ids);
      else commitImage(store, first, [name]);
  let pushed: Descriptor | undefined;
  if (output.push) pushed = await pushAll(names, { output, image: first, index, place });
  if (!output.store) for (const { id } of images) if (!known.has(id)) store.images.remove(id);
  const descriptor = index?.descriptor ?? document?.manifests[0]?.descriptor ?? pushed;
  return { images: output.store ? ids : [], names: output.store || output.push ? names : [], descriptor };
}

async function pushAll(
  names: readonly Reference[],
  {
    output,
    image,
    index,
    place,
  }: {
    readonly output: ImageOutput;
    readonly image: FinishedTarget;
    readonly index: Document | undefined;
    readonly place: OutputPlace;
  },
): Promise<Descriptor | undefined> {
  const { store, context, onNote } = place;
  const [{ pushImage, pushStoredIndex }, { registryAccess }] = await Promise.all([
    import("../../registry/push-image.ts"),
    import("../registry-flags.ts"),
  ]);
  let descriptor: Descriptor | undefined;
  for (const reference of names) {
    const access = registryAccess({ insecure: output.insecure }, context);
    const common = { store, reference, access, byDigest: output.pushByDigest, signal: context.signal };
    onNote(`pushing ${familiarReference(reference)}`);
    if (index !== undefined) {
      const { raw, descriptor: of } = index;
      await pushStoredIndex({ ...common, raw, digest: of.digest, image: image.id });
      continue;
    }
    const { digest, sizeBytes: size } = await pushImage({ ...common, image: store.images.get(image.id) });
    const manifest = store.images.get(image.id)?.manifest;
    descriptor = { mediaType: manifest?.value.mediaType ?? "", digest, size };
    onNote(`pushed ${canonicalReference(reference)}@${digest}`);
  }
  return descriptor;
}

// Documents ------------------------------------------------------------------------------------------------------

interface WrittenDocuments {
  readonly manifests: readonly (Document & { readonly id: ImageId })[];
  readonly index: Document | undefined;
}

function withAnnotations(settings: DocumentSettings, { annotations }: OutputRequest): DocumentSettings {
  return { ...settings, annotations: [...annotations, ...settings.annotations] };
}

/** One image as it is needs no manifest before it is pushed. */
function needsDocuments(
  targets: readonly FinishedTarget[],
  {
    settings: { packing, annotations, ociMediaTypes },
    push,
    request: { alwaysIndex },
    place: { store, attest },
  }: {
    readonly settings: DocumentSettings;
    readonly push: boolean;
    readonly request: OutputRequest;
    readonly place: OutputPlace;
  },
): boolean {
  // What an earlier build wrote upon the same image is not this build's.
  const isAnnotated = (id: ImageId): boolean => store.images.get(id)?.manifest?.value.annotations !== undefined;
  if (attest !== undefined || (push && targets.some(({ id }) => isAnnotated(id)))) return true;
  const isUsual = packing.compression === "gzip" && packing.level === undefined && !packing.force && ociMediaTypes;
  return targets.length > 1 || alwaysIndex || annotations.length > 0 || !isUsual;
}

async function writeDocuments(
  targets: readonly FinishedTarget[],
  settings: DocumentSettings,
  { alwaysIndex, names }: OutputRequest & { readonly names: readonly Reference[] },
  { store, context, attest }: OutputPlace,
): Promise<WrittenDocuments> {
  const { writeIndex, writeManifest } = await import("../../executor/image-manifest.ts");
  const hasIndex = targets.length > 1 || alwaysIndex || attest !== undefined;
  checkAnnotations(targets, settings.annotations, hasIndex);
  if (attest !== undefined && !settings.ociMediaTypes)
    throw new TsbuildError({
      code: "USAGE",
      what: "attestations need OCI media types",
      hint: "leave oci-mediatypes out, or turn them off: --provenance=false --sbom=false",
    });
  // Before anything is written: a scanner's look at an image that is not kept takes its blobs away again.
  const statements: (readonly Statement[])[] = [];
  if (attest !== undefined) for (const target of targets) statements.push(await attest(target));
  const manifests: (Document & { readonly id: ImageId })[] = [];
  for (const target of targets)
    manifests.push({ ...(await writeManifest(store, target, settings, context.signal)), id: target.id });

  const attestations: Descriptor[] = [];
  if (attest !== undefined) {
    const { writeAttestations } = await import("../../executor/attestation-manifest.ts");
    for (const [at, target] of targets.entries()) {
      const manifest = manifests[at];
      if (manifest === undefined) continue;
      const image = { descriptor: manifest.descriptor, platform: target.platform, names };
      attestations.push(writeAttestations(store, image, statements[at] ?? [], { artifact: settings.ociArtifact }));
    }
  }
  const index = hasIndex
    ? writeIndex(store, [...manifests.map(({ descriptor }) => descriptor), ...attestations], settings)
    : undefined;
  return { manifests, index };
}

/** @throws {TsbuildError} `USAGE` for one that would stand nowhere */
function checkAnnotations(
  targets: readonly FinishedTarget[],
  annotations: readonly Annotation[],
  hasIndex: boolean,
): void {
  for (const { place, platform, key } of annotations) {
    if (place === "index" && !hasIndex)
      throw new TsbuildError({
        code: "USAGE",
        what: `index annotations not supported for single platform export: ${key}`,
        hint: `annotate the manifest: --annotation manifest:${key}=VALUE`,
      });
    if (platform !== undefined && !targets.some((target) => samePlatform(target.platform, platform)))
      throw new TsbuildError({
        code: "USAGE",
        what: `the annotation ${key} is for ${formatPlatform(platform)}, which is not built`,
        hint: `built: ${targets.map((target) => formatPlatform(target.platform)).join(", ")}`,
      });
  }
}

// Archives -------------------------------------------------------------------------------------------------------

async function toArchive(
  targets: readonly FinishedTarget[],
  output: ArchiveOutput,
  request: OutputRequest,
  place: OutputPlace,
): Promise<Made> {
  if (output.kind === "docker" && (targets.length > 1 || place.attest !== undefined))
    throw new TsbuildError({
      code: "UNSUPPORTED",
      what: "docker exporter does not currently support exporting manifest lists",
      hint: "type=oci holds several platforms, and attestations",
    });
  const { store, context } = place;
  const names = [...output.names, ...request.tags];
  const settings = withAnnotations(output.settings, request);
  const { manifests, index } = await writeDocuments(targets, settings, { ...request, names }, place);
  const top = index ?? manifests[0];
  if (top === undefined) throw new Error("nothing was built");
  const { saveDocuments } = await import("../../archive/save-documents.ts");
  const [target] = targets;
  const document = { descriptor: top.descriptor, references: names, created: target?.config.created };
  await intoSink(output, place, (sink) =>
    saveDocuments({
      store,
      documents: [
        output.kind === "docker" && manifests[0] !== undefined
          ? { ...document, descriptor: manifests[0].descriptor }
          : document,
      ],
      forDocker: output.kind === "docker",
      sink,
      signal: context.signal,
    }),
  );
  return { images: [], names, descriptor: top.descriptor };
}

async function intoSink(
  { dest, tar }: ArchiveOutput,
  { store, context }: OutputPlace,
  save: (sink: ArchiveSink) => Promise<void>,
): Promise<void> {
  const sinks = await import("../../archive/archive-sink.ts");
  using scratch = store.temporaryFolder("output");
  if (dest === undefined) {
    refuseTerminal(context);
    await save(sinks.tarStreamSink(context.stdout, scratch.path, context.signal));
  } else if (!tar) {
    checkLayoutFolder(dest);
    await save(sinks.folderSink(dest));
  } else if (isSpecial(dest)) {
    const stream = createWriteStream(dest);
    await save(sinks.tarStreamSink(stream, scratch.path, context.signal));
    await finished(stream.end());
  } else await intoFile(dest, (file, fd) => save(sinks.tarFileSink(file, fd)));
}

const refusal = "dest file is required for a terminal: name one, or redirect standard output";

function refuseTerminal({ stdout }: CommandContext): void {
  if (stdout.isTTY === true) throw new TsbuildError({ code: "USAGE", what: refusal });
}

// Files ----------------------------------------------------------------------------------------------------------

async function toFiles(
  targets: readonly FinishedTarget[],
  output: FilesOutput,
  { store, context, attest }: OutputPlace,
): Promise<void> {
  const { addToTar, endTar, exportToFolder, exportToTar } = await import("../../executor/export-files.ts");
  const split = output.platformSplit ?? targets.length > 1;
  const treeOf = (target: FinishedTarget): ExportedTree => ({
    trees: store.layers.trees(target.chain.filter((layer, at) => target.chain.lastIndexOf(layer) === at)),
    mtime: target.sourceDateEpoch,
    signal: context.signal,
  });
  if (output.kind === "local") {
    const { dest } = output;
    if (dest === undefined) throw new Error("a folder needs a name");
    for (const [at, target] of targets.entries())
      exportToFolder({
        ...treeOf(target),
        folder: split ? `${dest}/${platformFolder(target.platform)}` : dest,
        removesOthers: output.mode === "delete" && (split || at === 0),
      });
    for (const target of targets)
      for (const { name, content } of await filesAbout(target, treeOf(target), output, attest))
        replaceFile(`${split ? `${dest}/${platformFolder(target.platform)}` : dest}/${name}`, content);
    return;
  }
  using file = output.dest === undefined ? undefined : tarFile(output.dest);
  const write = file?.output ?? standardOutput(context, refusal);
  for (const target of targets) {
    const prefix = split ? platformFolder(target.platform) : undefined;
    await exportToTar({ ...treeOf(target), prefix }, write);
    const mtime = target.sourceDateEpoch ?? Math.floor(context.now() / 1000);
    for (const { name, content } of await filesAbout(target, treeOf(target), output, attest))
      await addToTar(prefix === undefined ? name : `${prefix}/${name}`, Buffer.from(content), mtime, write);
  }
  await endTar(write);
  file?.complete();
}

/** Statements that lie beside the files, about the files. */
async function filesAbout(
  target: FinishedTarget,
  tree: ExportedTree,
  { attestationPrefix }: FilesOutput,
  attest: Attestor | undefined,
): Promise<readonly { readonly name: string; readonly content: string }[]> {
  if (attest === undefined) return [];
  const [{ printFileStatement }, { fileDigests }] = await Promise.all([
    import("../../executor/attestation-manifest.ts"),
    import("../../executor/export-files.ts"),
  ]);
  const statements = (await attest(target)).filter(({ filename }) => filename !== undefined);
  if (statements.length === 0) return [];
  const files = fileDigests(tree);
  return statements.map((statement) => ({
    name: `${attestationPrefix}${statement.filename}`,
    content: printFileStatement(statement, files).toString(),
  }));
}
