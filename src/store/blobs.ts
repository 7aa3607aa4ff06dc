/**
 * Blobs in an OCI image layout: `blobs/sha256/<hex>`. A file that has its name is complete and on the disk. A blob that
 * no row points at yet is held by the process that wrote it, so that no collector takes it.
 */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { errnoOf } from "../errors.ts";
import { type Digest, hexOf, sha256 } from "../oci/digest.ts";
import { storeCorrupt } from "./errors.ts";
import { explainingRoot } from "./explain-root.ts";
import type { BlobStore } from "./store.ts";
import { makeFolder, publish, removeTree, type StoreContext } from "./store-context.ts";

/** The lease under which fresh blobs are held. */
export const freshBlobLease = "fresh-blobs";

export function blobStore(context: StoreContext): BlobStore {
  const path = (digest: Digest): string => blobPath(context.paths.root, digest);

  /** After this, the blob is not collected; a file that is being removed counts as gone. */
  const hold = (digest: Digest): boolean =>
    context.db.lossyTransaction(() => {
      context.hold(freshBlobLease, "blob", digest);
      finishRemoval(digest);
      return existsSync(path(digest));
    });

  const finishRemoval = (digest: Digest): void => {
    if (context.db.run("DELETE FROM removals WHERE kind = 'blob' AND target = ?", digest) === 0) return;
    try {
      unlinkSync(path(digest));
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  };

  return {
    has: (digest) => existsSync(path(digest)),
    hold: (digest) => existsSync(path(digest)) && hold(digest),
    path,
    read(digest) {
      try {
        return readFileSync(path(digest));
      } catch (error) {
        if (errnoOf(error) === "ENOENT") throw storeCorrupt(`the blob ${digest} is missing`, path(digest));
        throw error;
      }
    },
    size: (digest) => statSync(path(digest), { throwIfNoEntry: false })?.size,
    write(bytes) {
      const digest = sha256(bytes);
      if (hold(digest)) return digest;
      explainingRoot(context.paths.root, () => {
        const staged = context.temporaryPath("blob");
        try {
          writeFileSync(staged, bytes, { flag: "wx", mode: 0o600, flush: true });
          publish(staged, path(digest));
        } catch (error) {
          removeTree(staged);
          throw error;
        }
      });
      return digest;
    },
    adopt(file, digest) {
      if (hold(digest)) {
        unlinkSync(file);
        return;
      }
      explainingRoot(context.paths.root, () => {
        const fd = openSync(file, "r");
        try {
          fsyncSync(fd);
        } finally {
          closeSync(fd);
        }
        if (!digest.startsWith("sha256:")) makeFolder(dirname(path(digest)));
        publish(file, path(digest));
      });
    },
  };
}

export function blobPath(root: string, digest: Digest): string {
  return `${root}/blobs/${digest.slice(0, digest.indexOf(":"))}/${hexOf(digest)}`;
}
