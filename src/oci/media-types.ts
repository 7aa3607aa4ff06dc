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
  ociNondistributable: "application/vnd.oci.image.layer.nondistributable.v1.tar",
  ociNondistributableGzip: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
  ociNondistributableZstd: "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
  dockerForeignLayer: "application/vnd.docker.image.rootfs.foreign.diff.tar",
  dockerForeignLayerGzip: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
} as const;

export type Compression = "none" | "gzip" | "zstd";

/** How a layer of this media type is compressed; undefined for a media type that is no layer we can read. */
export function compressionOf(mediaType: string): Compression | undefined {
  switch (mediaType) {
    case mediaTypes.ociLayer:
    case mediaTypes.dockerLayer:
    case mediaTypes.ociNondistributable:
    case mediaTypes.dockerForeignLayer:
      return "none";
    case mediaTypes.ociLayerGzip:
    case mediaTypes.dockerLayerGzip:
    case mediaTypes.ociNondistributableGzip:
    case mediaTypes.dockerForeignLayerGzip:
      return "gzip";
    case mediaTypes.ociLayerZstd:
    case mediaTypes.dockerLayerZstd:
    case mediaTypes.ociNondistributableZstd:
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

const dockerLayerTypes = {
  none: mediaTypes.dockerLayer,
  gzip: mediaTypes.dockerLayerGzip,
  zstd: mediaTypes.dockerLayerZstd,
} satisfies Record<Compression, string>;

/** Docker's, of a layer that is packed like one of this media type. */
export function dockerLayerType(mediaType: string): string {
  return isNondistributable(mediaType)
    ? nondistributableType(mediaType, "docker")
    : dockerLayerTypes[compressionOf(mediaType) ?? "none"];
}

/** Whoever wrote it does not want others to hand the layer on. */
export function isNondistributable(mediaType: string): boolean {
  return /\.(?:nondistributable|foreign)\./.test(mediaType);
}

const nondistributableTypes = {
  none: { oci: mediaTypes.ociNondistributable, docker: mediaTypes.dockerForeignLayer },
  gzip: { oci: mediaTypes.ociNondistributableGzip, docker: mediaTypes.dockerForeignLayerGzip },
  // Docker's manifests have no type of their own for it.
  zstd: { oci: mediaTypes.ociNondistributableZstd, docker: mediaTypes.ociNondistributableZstd },
} satisfies Record<Compression, Record<"oci" | "docker", string>>;

/** The same for a layer that is not to be handed on. */
export function nondistributableType(mediaType: string, style: "oci" | "docker"): string {
  return nondistributableTypes[compressionOf(mediaType) ?? "none"][style];
}
