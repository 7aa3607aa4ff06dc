/** Layers for tests: made by writing into an upperdir, or unpacked from tar bytes. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import type { Descriptor } from "../../src/oci/descriptor.ts";
import type { DiffId, Digest } from "../../src/oci/digest.ts";
import { cacheKeyOf, sha256 } from "../../src/oci/digest.ts";
import { mediaTypes } from "../../src/oci/media-types.ts";
import type { Chain, LayerId, Store } from "../../src/store/store.ts";

export const never: AbortSignal = new AbortController().signal;

/** A layer on `parents` whose upperdir `write` fills. Returns the chain with it. */
export async function makeLayer(store: Store, parents: Chain, write: (upperdir: string) => void): Promise<Chain> {
  await using snapshot = store.layers.prepare(parents);
  write(snapshot.upperdir);
  await using unsealed = snapshot.commit();
  const { id } = await unsealed.seal(never);
  return [...parents, id];
}

/** Runs a shell script in an overlay mount of `parents`, as a step would, and seals what it changed. */
export async function runLayer(store: Store, parents: Chain, script: string): Promise<Chain> {
  await using snapshot = store.layers.prepare(parents);
  const lowers = store.layers.trees(parents).toReversed().join(":");
  const target = snapshot.scratchDir();
  const options = `lowerdir=${lowers === "" ? target : lowers},upperdir=${snapshot.upperdir},workdir=${snapshot.newWorkdir()},redirect_dir=nofollow,metacopy=off,index=off,xino=off,volatile`;
  execFileSync("mount", ["-t", "overlay", "overlay", "-o", options, target]);
  try {
    execFileSync("sh", ["-ec", script], { cwd: target, stdio: ["ignore", "ignore", "inherit"] });
  } finally {
    execFileSync("umount", [target]);
  }
  await using unsealed = snapshot.commit();
  const { id } = await unsealed.seal(never);
  return [...parents, id];
}

/** Adds the layer of a tar (or compressed tar) that lies in `file`. The file is taken over. */
export function addTar(store: Store, file: string, parents: Chain, diffId?: DiffId): Promise<LayerId> {
  return store.layers.addBlob({ file, descriptor: descriptorOf(file), diffId }, parents, never);
}

export function descriptorOf(file: string): Descriptor {
  const digest = `sha256:${createHash("sha256").update(readFileSync(file)).digest("hex")}` as string as Digest;
  return { mediaType: mediaTypes.ociLayer, digest, size: statSync(file).size };
}

/** One line an entry, times left out: `dir a 755 0:0`, `file a/b 644 0:0 3`, `symlink l 777 0:0 -> a`, `whiteout x`. */
export function listing(store: Store, layer: LayerId | undefined): readonly string[] {
  if (layer === undefined) return [];
  return store.layers.index(layer).map((entry) => {
    if (entry.type === "whiteout" || entry.type === "opaque") return `${entry.type} ${entry.path}`;
    const head = `${entry.type} ${entry.path} ${entry.mode.toString(8)} ${entry.uid}:${entry.gid}`;
    switch (entry.type) {
      case "file":
        return `${head} ${entry.size}`;
      case "symlink":
      case "hardlink":
        return `${head} -> ${entry.target}`;
      case "char":
      case "block":
        return `${head} ${entry.major},${entry.minor}`;
      default:
        return head;
    }
  });
}

/** A cache record, so that the chain outlives its process. */
export function keep(store: Store, chain: Chain, name: string = chain.join()): void {
  store.cache.put({
    key: cacheKeyOf(sha256(name)),
    definition: sha256(`definition of ${name}`),
    parent: undefined,
    chain,
    kind: "run",
    site: "Dockerfile:1",
    instruction: `RUN ${name}`,
    input: JSON.stringify({ name }),
    durationMs: 1,
  });
}

/** An image of a chain, with a config that is as small as can be. */
export function imageConfig(store: Store, chain: Chain, created: string = "2026-01-02T03:04:05Z"): Buffer {
  const diffIds = chain.map((id) => store.layers.get(id).diffId);
  return Buffer.from(
    JSON.stringify({
      architecture: "amd64",
      config: {},
      created,
      history: [],
      os: "linux",
      rootfs: { type: "layers", diff_ids: diffIds },
    }),
  );
}

export function writeBytes(file: string, bytes: Uint8Array): string {
  writeFileSync(file, bytes);
  return file;
}
