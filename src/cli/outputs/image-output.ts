/** Images with names in the store, and in registries. */
import { commitImage } from "../../executor/commit-image.ts";
import type { FinishedTarget } from "../../executor/finished-target.ts";
import type { Document } from "../../executor/image-manifest.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { ImageId } from "../../oci/digest.ts";
import { hostPlatform, samePlatform } from "../../oci/platform.ts";
import { canonicalReference, familiarReference, type Reference } from "../../oci/reference.ts";
import { attestorFor, withAnnotations, writeDocuments } from "./documents.ts";
import type { Made, OutputPlace, OutputRequest } from "./finish-build.ts";
import type { DocumentSettings, ImageOutput } from "./output-spec.ts";

export async function toStore(
  targets: readonly FinishedTarget[],
  output: ImageOutput,
  request: OutputRequest,
  place: OutputPlace,
): Promise<Made> {
  const { store } = place;
  const names = [...output.names, ...request.tags];
  const prefix = names.length === 0 ? output.danglingPrefix : undefined;
  const known = new Set(targets.filter(({ id }) => store.images.get(id) !== undefined).map(({ id }) => id));
  const images = targets.map((target) => commitImage(store, target, []));
  const settings = withAnnotations(output.settings, request);
  const needsDigest = output.canonicalNames || prefix !== undefined || request.needsDigest;
  const document =
    needsDigest || needsDocuments(targets, { settings, push: output.push, request, place })
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
  const digest = (index ?? document?.manifests[0])?.descriptor.digest;
  const dangling = prefix !== undefined && digest !== undefined ? [{ ...prefix, digest }] : [];
  if (output.store && digest !== undefined)
    for (const name of output.canonicalNames ? names : dangling) store.images.recordRepoDigest(first.id, name, digest);
  const allNames = [...names, ...dangling];
  let pushed: Descriptor | undefined;
  if (output.push) pushed = await pushAll(allNames, { output, image: first, index, place });
  if (!output.store) for (const { id } of images) if (!known.has(id)) store.images.remove(id);
  const descriptor = index?.descriptor ?? document?.manifests[0]?.descriptor ?? pushed;
  return { images: output.store ? ids : [], names: output.store || output.push ? allNames : [], descriptor };
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
    const common = {
      store,
      reference,
      access,
      byDigest: output.pushByDigest || reference.digest !== undefined,
      signal: context.signal,
    };
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

/** One image as it is needs no manifest before it is pushed. */
function needsDocuments(
  targets: readonly FinishedTarget[],
  {
    settings,
    push,
    request,
    place,
  }: {
    readonly settings: DocumentSettings;
    readonly push: boolean;
    readonly request: OutputRequest;
    readonly place: OutputPlace;
  },
): boolean {
  const { packing, annotations, ociMediaTypes } = settings;
  const { store } = place;
  // What an earlier build wrote upon the same image is not this build's.
  const isAnnotated = (id: ImageId): boolean => store.images.get(id)?.manifest?.value.annotations !== undefined;
  if (
    attestorFor(targets, settings, request, place) !== undefined ||
    (push && targets.some(({ id }) => isAnnotated(id)))
  )
    return true;
  const isPackedAsUsual =
    packing.compression === "gzip" && packing.level === undefined && !packing.force && !packing.keepNondistributable;
  const isUsual = isPackedAsUsual && ociMediaTypes && settings.estargzLevel === undefined;
  return targets.length > 1 || request.alwaysIndex || annotations.length > 0 || !isUsual;
}
