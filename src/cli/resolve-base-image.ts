/** What a FROM names: the image in the store, else the one of its registry. For every command that plans a build. */
import { TsbuildError } from "../errors.ts";
import { type Platform, samePlatform } from "../oci/platform.ts";
import { familiarReference, type Reference } from "../oci/reference.ts";
import type { ResolvedImage } from "../planner/build-graph.ts";
import type { OciLayout, ResolveImage } from "../planner/build-options.ts";
import type { Store, StoredImage } from "../store/store.ts";
import type { CommandContext } from "./command.ts";

export interface ImageResolver {
  readonly context: CommandContext;
  readonly store: Store;
  /** Ask the registry even when the store has the name. */
  readonly pull: boolean;
  /** Never ask a registry. */
  readonly offline?: boolean;
  readonly onNote: (text: string) => void;
}

export function imageResolver(resolver: ImageResolver): ResolveImage {
  return async (reference, platform, layout) => {
    if (layout !== undefined) return resolved(await loadLayout(resolver, layout, platform), reference);
    const local = resolver.pull ? undefined : findLocal(resolver.store, reference, platform);
    const image = local ?? (await pull(resolver, reference, platform));
    const { os, architecture, variant } = image.config;
    const found: Platform = variant === undefined ? { os, architecture } : { os, architecture, variant };
    if (!samePlatform(found, platform)) {
      if (local !== undefined) return resolved(await pull(resolver, reference, platform), reference);
      resolver.onNote(`warning: ${familiarReference(reference)} is for ${os}/${architecture}`);
    }
    return resolved(image, reference);
  };
}

/** By its name; and since nobody's registry knows an image by its ID, by that too. */
function findLocal(store: Store, reference: Reference, platform: Platform): StoredImage | undefined {
  const suiting = store.images.index(reference)?.images.find(({ config }) => samePlatform(config, platform));
  if (suiting !== undefined) return suiting;
  const image = store.images.resolve(reference);
  if (image !== undefined) return image;
  const { domain, path, digest } = reference;
  const prefix = path.startsWith("library/") ? path.slice("library/".length) : path;
  const mayBeId = domain === "docker.io" && digest === undefined && /^[0-9a-f]{12,64}$/.test(prefix);
  return mayBeId ? store.images.find(prefix) : undefined;
}

async function pull(
  { context, store, offline, onNote }: ImageResolver,
  reference: Reference,
  platform: Platform,
): Promise<StoredImage> {
  const name = familiarReference(reference);
  if (offline === true)
    throw new TsbuildError({
      code: "BASE_IMAGE_NOT_FOUND",
      what: `no image ${name} here`,
      hint: `tsbuild pull ${name}`,
    });
  const { pullImage } = await import("../registry/pull-image.ts");
  onNote(`pulling ${name}`);
  return await pullImage({
    store,
    reference,
    platform,
    takesOtherPlatform: true,
    access: { environment: context.environment, configDir: context.configDir, warn: onNote },
    signal: context.signal,
  });
}

/** Nothing is named by it: the layout's own names are not this store's. */
async function loadLayout(
  { store, context }: ImageResolver,
  layout: OciLayout,
  platform: Platform,
): Promise<StoredImage> {
  const { loadLayoutImage } = await import("../archive/load.ts");
  return await loadLayoutImage({ store, layout, platform, signal: context.signal });
}

function resolved(image: StoredImage, reference: Reference): ResolvedImage {
  return {
    name: familiarReference(reference),
    id: image.id,
    chain: image.chain,
    config: image.config,
    ...(image.manifest !== undefined && { manifestDigest: image.manifest.digest }),
  };
}
