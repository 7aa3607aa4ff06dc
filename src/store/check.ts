/** `system check`: every promise of the store recomputed. Reads all of it; changes nothing. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { Descriptor } from "../oci/descriptor.ts";
import {
  type ContentDigest,
  chainId,
  type DiffId,
  type Digest,
  hexOf,
  type ImageId,
  isDigest,
  resultId,
  sha256,
} from "../oci/digest.ts";
import type { ImageConfig } from "../oci/image-config.ts";
import type { Manifest } from "../oci/manifest.ts";
import { mediaTypes } from "../oci/media-types.ts";
import { blobPath } from "./blobs.ts";
import { chainOf } from "./chains.ts";
import { blobsOfDocument } from "./indexes.ts";
import { runLayerTask } from "./layer-work.ts";
import { pendingPrefix, recordOf } from "./layers.ts";
import { contextOf } from "./open-store.ts";
import type { LayerRecord, Store } from "./store.ts";
import type { StoreContext } from "./store-context.ts";

export type CheckedKind =
  | "database"
  | "blob"
  | "layer"
  | "image"
  | "reference"
  | "cache-record"
  | "git-clone"
  | "leftover";

export interface Fault {
  readonly kind: CheckedKind;
  /** A digest, a layer id, a reference, a path in the store. */
  readonly subject: string;
  /** One sentence without a full stop. */
  readonly message: string;
}

export interface CheckReport {
  readonly images: number;
  readonly layers: number;
  readonly blobs: number;
  readonly cacheRecords: number;
  readonly gitClones: number;
  readonly faults: readonly Fault[];
}

export interface CheckOptions {
  /** Compares rows and names only, and reads no layer and no layer's blob. */
  readonly quick?: boolean;
  readonly signal: AbortSignal;
}

export async function checkStore(store: Store, options: CheckOptions): Promise<CheckReport> {
  const context = contextOf(store);
  const check = new Check(context);
  check.database();
  check.nodes();
  check.images();
  check.cacheRecords();
  check.leftovers();
  const gitClones = check.gitClones();
  const blobs = check.blobFiles();
  if (options.quick !== true) await check.contents(blobs, options.signal);
  const count = (table: string): number => Number(context.db.get(`SELECT COUNT(*) AS n FROM ${table}`)?.["n"]);
  return {
    images: count("images"),
    layers: count("layers"),
    blobs: blobs.length,
    cacheRecords: count("cache_records"),
    gitClones,
    faults: check.faults,
  };
}

class Check {
  readonly faults: Fault[] = [];
  readonly #context: StoreContext;
  readonly #layers: readonly LayerRecord[];

  constructor(context: StoreContext) {
    this.#context = context;
    this.#layers = context.db.all("SELECT * FROM layers ORDER BY id").map(recordOf);
  }

  #fault(kind: CheckedKind, subject: string, message: string): void {
    this.faults.push({ kind, subject, message });
  }

  database(): void {
    for (const line of this.#context.db.integrityFaults()) this.#fault("database", "store.db", line);
    for (const row of this.#context.db.all("PRAGMA foreign_key_check"))
      this.#fault("database", String(row["table"]), `a row refers to a row of ${row["parent"]} that is not there`);
  }

  nodes(): void {
    const rows = this.#context.db.all(
      "SELECT nodes.id, parent, chain_id, result_id, diff_id, content_digest FROM nodes JOIN layers ON layers.id = layer ORDER BY nodes.id",
    );
    const byId = new Map(rows.map((row) => [Number(row["id"]), row]));
    for (const row of rows) {
      const parent = Number(row["parent"]);
      const below = byId.get(parent);
      if (parent !== 0 && below === undefined) {
        this.#fault("database", `node ${row["id"]}`, "stands on a node that is not there");
        continue;
      }
      const chain = chainId(below?.["chain_id"] as Parameters<typeof chainId>[0], row["diff_id"] as DiffId);
      const result = resultId(
        below?.["result_id"] as Parameters<typeof resultId>[0],
        row["content_digest"] as ContentDigest,
      );
      if (chain !== row["chain_id"]) this.#fault("database", `node ${row["id"]}`, "has a wrong chain ID");
      if (result !== row["result_id"]) this.#fault("database", `node ${row["id"]}`, "has a wrong result ID");
    }
  }

  images(): void {
    const { db, paths } = this.#context;
    const diffIds = new Map(this.#layers.map((layer) => [layer.id, layer.diffId]));
    for (const row of db.all("SELECT id, node, manifest FROM images")) {
      const id = row["id"] as string;
      const config = this.#json(id as Digest) as ImageConfig | undefined;
      if (config === undefined) {
        this.#fault(
          "image",
          id,
          `its config is missing or damaged: remove it with tsbuild rmi -f ${hexOf(id as ImageId).slice(0, 12)}`,
        );
        continue;
      }
      const chain = chainOf(db, Number(row["node"])).map((layer) => diffIds.get(layer));
      if ((config.rootfs?.diff_ids ?? []).join() !== chain.join())
        this.#fault("image", id, "its layers are not those that its config names");
      const manifest = row["manifest"];
      if (typeof manifest === "string" && this.#json(manifest as Digest) === undefined)
        this.#fault("image", id, `its manifest ${manifest} is missing or damaged`);
    }
    for (const { target } of db.all("SELECT DISTINCT target FROM refs WHERE target IS NOT NULL"))
      this.#index(String(target) as Digest);
    for (const table of ["refs", "repo_digests"])
      for (const row of db.all(`SELECT name, image FROM ${table} WHERE image NOT IN (SELECT id FROM images)`))
        this.#fault("reference", String(row["name"]), `names the image ${row["image"]}, which is not there`);
    this.#layoutIndex(`${paths.root}/index.json`);
  }

  /** All that an index names is there: it was written so, and its images hold it. */
  #index(digest: Digest): void {
    const read = (each: Digest): Buffer | undefined =>
      this.#json(each) === undefined ? undefined : readFileSync(blobPath(this.#context.paths.root, each));
    for (const blob of blobsOfDocument({ digest, mediaType: mediaTypes.ociIndex }, read))
      if (!existsSync(blobPath(this.#context.paths.root, blob)))
        this.#fault("reference", digest, `is an index of which ${blob} is missing`);
  }

  #layoutIndex(file: string): void {
    try {
      const index = JSON.parse(readFileSync(file, "utf8")) as { manifests: readonly Descriptor[] };
      for (const { digest } of index.manifests) {
        const manifest = this.#json(digest) as Manifest | undefined;
        const blobs =
          manifest === undefined ? [digest] : [manifest.config, ...manifest.layers].map((blob) => blob.digest);
        for (const blob of blobs)
          if (!existsSync(blobPath(this.#context.paths.root, blob)))
            this.#fault("reference", "index.json", `lists ${digest}, of which ${blob} is missing`);
      }
    } catch {
      this.#fault("reference", "index.json", "is missing or damaged");
    }
  }

  /** A blob that is JSON, if it is there and whole. */
  #json(digest: Digest): unknown {
    try {
      const bytes = readFileSync(blobPath(this.#context.paths.root, digest));
      return digest.startsWith("sha256:") && sha256(bytes) !== digest ? undefined : JSON.parse(bytes.toString("utf8"));
    } catch {
      return undefined;
    }
  }

  cacheRecords(): void {
    const { db } = this.#context;
    const broken = db.all(
      `SELECT key, node NOT IN (SELECT id FROM nodes) AS lost, input_digest NOT IN (SELECT digest FROM cache_inputs) AS mute
       FROM cache_records WHERE lost OR mute`,
    );
    for (const row of broken)
      this.#fault(
        "cache-record",
        String(row["key"]),
        row["lost"] === 1 ? "its layer is missing" : "its input is missing",
      );
  }

  leftovers(): void {
    const { db, paths } = this.#context;
    const known = new Set<string>(this.#layers.map((layer) => layer.id));
    for (const row of db.all("SELECT target FROM removals WHERE kind = 'layer'")) known.add(String(row["target"]));
    for (const name of this.#pending()) known.add(name);
    // Recorded since the rows were read?
    for (const name of readdirSync(paths.layers))
      if (!known.has(name) && db.get("SELECT 1 FROM layers WHERE id = ?", name) === undefined)
        this.#fault("leftover", `layers/${name}`, "belongs to no layer");
  }

  /** How many there are. What is in them git checks by itself whenever it reads. */
  gitClones(): number {
    const { git } = this.#context.paths;
    let clones = 0;
    for (const name of existsSync(git) ? readdirSync(git) : []) {
      if (name === "known_hosts" || name.endsWith(".lock")) continue;
      if (!/^[0-9a-f]{32}$/.test(name)) this.#fault("leftover", `git/${name}`, "is no clone of a repository");
      else if (!["HEAD", "objects", "description"].every((part) => existsSync(`${git}/${name}/${part}`)))
        this.#fault("git-clone", name, "is not complete");
      else clones++;
    }
    return clones;
  }

  /** Layers that living processes have not recorded yet. */
  #pending(): readonly string[] {
    const { paths } = this.#context;
    return readdirSync(paths.tmp, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .flatMap((entry) => readdirSync(`${paths.tmp}/${entry.name}`))
      .filter((name) => name.startsWith(pendingPrefix))
      .map((name) => name.slice(pendingPrefix.length));
  }

  /** The blobs that are there; faults for those that should be. */
  blobFiles(): readonly Digest[] {
    const { paths } = this.#context;
    const files: Digest[] = [];
    for (const algorithm of readdirSync(`${paths.root}/blobs`))
      for (const name of readdirSync(`${paths.root}/blobs/${algorithm}`)) {
        const digest = `${algorithm}:${name}`;
        if (isDigest(digest)) files.push(digest);
        else this.#fault("leftover", `blobs/${algorithm}/${name}`, "is no blob");
      }
    const present = new Set<string>(files);
    for (const { id, blob } of this.#layers)
      if (blob !== undefined && !present.has(blob.digest))
        this.#fault("layer", id, `its blob ${blob.digest} is missing`);
    return files;
  }

  async contents(blobs: readonly Digest[], signal: AbortSignal): Promise<void> {
    const { paths } = this.#context;
    const diffIds = new Map(this.#layers.map((layer) => [layer.blob?.digest, layer.diffId]));
    const tasks: (() => Promise<void>)[] = [];
    for (const layer of this.#layers)
      tasks.push(async () => {
        const { id, layout, diffId, contentDigest, blob } = layer;
        const folder = `${paths.layers}/${id}`;
        const hasBlob = blob !== undefined;
        const found = await runLayerTask(
          { kind: "verify-layer", folder, layout, diffId, contentDigest, hasBlob },
          signal,
        );
        for (const message of found) this.#fault("layer", id, message);
      });
    for (const digest of blobs)
      tasks.push(async () => {
        const file = blobPath(paths.root, digest);
        const found = await runLayerTask({ kind: "verify-blob", file, digest, diffId: diffIds.get(digest) }, signal);
        for (const message of found) this.#fault("blob", digest, message);
      });
    const next = async (): Promise<void> => {
      for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) await task();
    };
    await Promise.all(Array.from({ length: availableParallelism() }, next));
  }
}
