/** Choosing an image of an index by platform. Source: image-spec, image-index.md; containerd's platform matching. */
import type { Descriptor } from "./descriptor.ts";
import type { ImageIndex } from "./manifest.ts";
import { formatPlatform, normalisePlatform, type Platform } from "./platform.ts";

/**
 * The descriptor for `platform`: the same variant, or else the nearest lower one, which the same machine runs too.
 * The first wins among equals.
 */
export function selectPlatform(index: ImageIndex, platform: Platform): Descriptor | undefined {
  const wanted = normalisePlatform(platform);
  let best: Descriptor | undefined;
  let bestVariant = -1;
  for (const descriptor of index.manifests) {
    if (descriptor.platform === undefined) continue;
    const offered = normalisePlatform(descriptor.platform);
    if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) continue;
    const variant = variantNumber(offered);
    if (variant > variantNumber(wanted) || variant <= bestVariant) continue;
    best = descriptor;
    bestVariant = variant;
  }
  return best;
}

/** Sorted, once each, without what is no platform (attestations are `unknown/unknown`). */
export function availablePlatforms(index: ImageIndex): readonly string[] {
  const platforms = index.manifests.flatMap(({ platform }) =>
    platform === undefined || platform.os === "unknown" ? [] : [formatPlatform(normalisePlatform(platform))],
  );
  return [...new Set(platforms)].sort();
}

function variantNumber({ architecture, variant }: Platform): number {
  if (variant === undefined) return architecture === "arm64" ? 8 : architecture === "amd64" ? 1 : 0;
  return Number.parseFloat(variant.replace(/^v/, "")) || 0;
}
