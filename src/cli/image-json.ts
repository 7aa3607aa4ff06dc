/** An image as `inspect` prints it: docker's fields in docker's order. Source: moby, api/types/image/image_inspect.go. */
import { familiarReference } from "../oci/reference.ts";
import type { Store, StoredImage, StoredIndex } from "../store/store.ts";
import { jsonTimestamp } from "./render/time.ts";

export interface ImageJson {
  readonly [field: string]: unknown;
}

/** `index`: what its name stands for, with images of other platforms. */
export function imageJson(store: Store, image: StoredImage, index?: StoredIndex): ImageJson {
  const { config } = image;
  const manifest = image.manifest;
  return {
    Id: image.id,
    RepoTags: image.references.map(familiarReference),
    RepoDigests: image.repoDigests.map(familiarReference),
    Comment: config.history.at(-1)?.comment ?? "",
    Created: config.created ?? jsonTimestamp(undefined),
    Author: config.author ?? "",
    Architecture: config.architecture,
    ...(config.variant !== undefined && { Variant: config.variant }),
    Os: config.os,
    Size: image.sizeBytes,
    GraphDriver: {
      Name: "overlay",
      Data: {
        LowerDir: image.chain
          .map((id) => store.layers.treePath(id))
          .toReversed()
          .join(":"),
      },
    },
    RootFS: { Type: "layers", Layers: config.rootfs.diff_ids },
    Metadata: { LastTagTime: jsonTimestamp(image.lastTagged) },
    Config: config.config,
    ...(index !== undefined
      ? {
          Descriptor: { mediaType: index.value.mediaType, digest: index.digest, size: index.raw.byteLength },
          Manifests: index.value.manifests,
        }
      : manifest !== undefined && {
          Descriptor: { mediaType: manifest.value.mediaType, digest: manifest.digest, size: manifest.raw.byteLength },
        }),
  };
}
