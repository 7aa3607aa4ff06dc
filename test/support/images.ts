/** Small images for tests of archives and registries, made by the store itself. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ContainerConfig } from "../../src/oci/image-config.ts";
import { imageConfigJson } from "../../src/oci/image-config-json.ts";
import { hostPlatform, type Platform } from "../../src/oci/platform.ts";
import { parseReference } from "../../src/oci/reference.ts";
import type { LayerId, Store, StoredImage } from "../../src/store/store.ts";

export interface TestImage {
  /** Bottom first: path → content. */
  readonly layers: readonly Readonly<Record<string, string | Uint8Array>>[];
  readonly tags?: readonly string[];
  readonly config?: ContainerConfig;
  readonly platform?: Platform;
}

/** An image as a build makes it: its layers have no blobs. */
export async function buildImage(store: Store, image: TestImage): Promise<StoredImage> {
  const chain: LayerId[] = [];
  for (const files of image.layers) {
    await using snapshot = store.layers.prepare(chain);
    for (const [path, content] of Object.entries(files)) {
      const file = join(snapshot.upperdir, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, content, { mode: 0o755 });
    }
    await using unsealed = snapshot.commit();
    chain.push((await unsealed.seal(new AbortController().signal)).id);
  }
  const created = "2026-01-02T03:04:05.678Z";
  const stored = store.images.add({
    config: imageConfigJson({
      ...(image.platform ?? hostPlatform()),
      config: image.config ?? {},
      created,
      history: chain.map((_, i) => ({ created, created_by: `layer ${i}` })),
      rootfs: { type: "layers", diff_ids: chain.map((id) => store.layers.get(id).diffId) },
    }),
    chain,
  });
  for (const tag of image.tags ?? []) store.images.tag(parseReference(tag), stored.id);
  return store.images.get(stored.id) ?? stored;
}
