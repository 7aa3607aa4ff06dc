/** What can go wrong in a store, in words. */
import { errnoOf, TsbuildError, type Where } from "../errors.ts";
import { hexOf, type ImageId } from "../oci/digest.ts";

const at = (path: string): Where => ({ kind: "path", path });

export const rootNotAFolder = (root: string): TsbuildError =>
  new TsbuildError({
    code: "STORE_UNAVAILABLE",
    what: "the store's root is not a directory",
    where: at(root),
    hint: "name another one with --root",
  });

export const rootNotReachable = (root: string, cause: unknown): TsbuildError => {
  const errno = errnoOf(cause);
  const hint = "name a folder that you may write with --root or TSBUILD_ROOT";
  if (errno === "EROFS")
    return new TsbuildError({
      code: "READ_ONLY",
      what: "the store's file system is read-only",
      where: at(root),
      hint,
      cause,
    });
  if (errno === "EACCES" || errno === "EPERM")
    return new TsbuildError({
      code: "PERMISSION_DENIED",
      what: "no permission to use this store",
      where: at(root),
      hint,
      cause,
    });
  if (errno === "ENOSPC" || errno === "EDQUOT") return noSpace(root, cause);
  return new TsbuildError({
    code: "STORE_UNAVAILABLE",
    what: `the store cannot be used${errno === undefined ? "" : `: ${errno}`}`,
    where: at(root),
    hint,
    cause,
  });
};

export const noSpace = (root: string, cause?: unknown): TsbuildError =>
  new TsbuildError({
    code: "NO_SPACE",
    what: "no space left for the store",
    where: at(root),
    hint: "see what may go with tsbuild cache du, let it go with tsbuild cache prune",
    cause,
  });

/** `error`, or `noSpace` when it says so. */
export function spaceExplained(root: string, error: unknown): unknown {
  return isFull(error) ? noSpace(root, error) : error;
}

/** Does it say that a disk, or somebody's share of it, is full, and not yet which? */
export function isFull(error: unknown): boolean {
  // That of a system call of ours knows no place.
  if (error instanceof TsbuildError) return error.code === "NO_SPACE" && error.where === undefined;
  const errno = errnoOf(error);
  return errno === "ENOSPC" || errno === "EDQUOT";
}

export const newerFormat = (root: string, found: number, known: number): TsbuildError =>
  new TsbuildError({
    code: "STORE_UNAVAILABLE",
    what: `the store has format ${found}, and this tsbuild knows formats up to ${known}`,
    where: at(root),
    hint: "use the tsbuild that wrote it, or another --root",
  });

export const notOurFolder = (root: string): TsbuildError =>
  new TsbuildError({
    code: "STORE_UNAVAILABLE",
    what: "the folder is not empty and holds no store",
    where: at(root),
    hint: "name an empty or new folder with --root",
  });

export const databaseBroken = (file: string, detail: string, cause: unknown): TsbuildError =>
  new TsbuildError({
    code: "STORE_CORRUPT",
    what: `the store's database cannot be read: ${detail}`,
    where: at(file),
    hint: "move the folder away; a new store is made in its place",
    cause,
  });

export const databaseBusy = (root: string, cause: unknown): TsbuildError =>
  new TsbuildError({
    code: "STORE_UNAVAILABLE",
    what: "another process keeps the store's database locked",
    where: at(root),
    hint: "try again when it has ended",
    cause,
  });

export const storeCorrupt = (what: string, path?: string): TsbuildError =>
  new TsbuildError({
    code: "STORE_CORRUPT",
    what,
    where: path === undefined ? undefined : at(path),
    hint: "see what is wrong with tsbuild system check",
  });

/** `cause` says which of its files is missing or does not parse. */
export const imageDamaged = (image: ImageId, cause: unknown): TsbuildError => {
  const id = hexOf(image).slice(0, 12);
  return new TsbuildError({
    code: "STORE_CORRUPT",
    what: `the image ${id} is damaged: ${cause instanceof TsbuildError ? cause.message : "its config or manifest does not parse"}`,
    hint: `remove it with tsbuild rmi -f ${id}, then build, load or pull it again`,
    cause,
  });
};

export const layerGone = (layer: string): TsbuildError =>
  storeCorrupt(`the layer ${layer} is not in the store, or was removed by another process just now`);

export const imageNotFound = (text: string): TsbuildError =>
  new TsbuildError({
    code: "IMAGE_NOT_FOUND",
    what: `No such image: ${text}`,
    hint: "see what there is: tsbuild images",
  });

export const ambiguousImage = (text: string, matches: readonly string[]): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `several images have IDs that begin with ${text}: ${matches.join(", ")}`,
    hint: "give more digits",
  });

export const digestInTag = (reference: string): TsbuildError =>
  new TsbuildError({
    code: "INVALID_REFERENCE",
    what: `refusing to create a tag with a digest reference: ${reference}`,
  });

export const configInvalid = (detail: string): TsbuildError =>
  new TsbuildError({ code: "INVALID_CONFIG", what: `the image config does not fit its layers: ${detail}` });

export const whiteoutNameUsed = (path: string): TsbuildError =>
  new TsbuildError({
    code: "UNSUPPORTED",
    what: `a layer cannot hold a file whose name begins with .wh.: ${path}`,
    hint: "the prefix marks deleted files in image layers; use another name",
  });

export const pathTooLong = (cause: unknown): TsbuildError =>
  new TsbuildError({
    code: "UNSUPPORTED",
    what: "a step has made a path that is longer than the 4,096 bytes which a path may have",
    cause,
  });

export const tooManyFiles = (cause: unknown): TsbuildError =>
  new TsbuildError({ code: "UNSUPPORTED", what: "a layer has more files than there is memory for their names", cause });

export const archiveInvalid = (what: string): TsbuildError => new TsbuildError({ code: "ARCHIVE_INVALID", what });
