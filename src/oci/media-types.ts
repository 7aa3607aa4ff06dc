/** Media types we read and write. Source: image-spec, media-types.md; distribution's schema2. */
export const mediaTypes = {
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar",
  ociLayerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  ociLayerZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar",
  dockerLayerGzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  dockerLayerZstd: "application/vnd.docker.image.rootfs.diff.tar.zstd",
} as const;

export type Compression = "none" | "gzip" | "zstd";

/** How a layer of this media type is compressed; undefined for a media type that is no layer we can read. */
export function compressionOf(mediaType: string): Compression | undefined {
  switch (mediaType) {
    case mediaTypes.ociLayer:
    case mediaTypes.dockerLayer:
      return "none";
    case mediaTypes.ociLayerGzip:
    case mediaTypes.dockerLayerGzip:
      return "gzip";
    case mediaTypes.ociLayerZstd:
    case mediaTypes.dockerLayerZstd:
      return "zstd";
    default:
      return undefined;
  }
}

const ociLayerTypes = {
  none: mediaTypes.ociLayer,
  gzip: mediaTypes.ociLayerGzip,
  zstd: mediaTypes.ociLayerZstd,
} satisfies Record<Compression, string>;

/** The OCI media type of a layer that is packed like one of this media type. */
export function ociLayerType(mediaType: string): string {
  return ociLayerTypes[compressionOf(mediaType) ?? "none"];
}
