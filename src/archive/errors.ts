/** What can be wrong with an archive, as sentences side by side. */
import { TsbuildError } from "../errors.ts";

export const archiveInvalid = (detail: string, cause?: unknown): TsbuildError =>
  new TsbuildError({ code: "ARCHIVE_INVALID", what: `invalid archive: ${detail}`, cause });

export const noImageArchive = (): TsbuildError =>
  new TsbuildError({
    code: "ARCHIVE_INVALID",
    what: "not an image archive: neither manifest.json nor index.json nor repositories in it",
    hint: "a root file system becomes an image with tsbuild import",
  });

export const missingInArchive = (name: string): TsbuildError => archiveInvalid(`${name} is not in it`);

export const nothingRead = (what: string): TsbuildError => new TsbuildError({ code: "ARCHIVE_INVALID", what });

export const cannotImport = (name: string, cause: TsbuildError): TsbuildError =>
  new TsbuildError({ code: cause.code, what: `cannot import ${name}: ${cause.message}`, hint: cause.hint, cause });

export const noMatchForPlatform = (platform: string, available: readonly string[]): TsbuildError =>
  new TsbuildError({
    code: "IMAGE_NOT_FOUND",
    what: `no match for platform ${platform} in the archive, available: ${available.join(", ") || "none"}`,
    ...(available[0] !== undefined && { hint: `choose one of them: --platform ${available[0]}` }),
  });

export const notALayout = (path: string): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: "the folder is not empty and no OCI layout",
    where: { kind: "path", path },
    hint: "name a new folder",
  });

export const noSpaceFor = (path: string, cause: unknown): TsbuildError =>
  new TsbuildError({ code: "NO_SPACE", what: "no space left for the archive", where: { kind: "path", path }, cause });

export const noLayout = (path: string): TsbuildError =>
  new TsbuildError({ code: "CONTEXT_NOT_FOUND", what: `no OCI layout at ${path}`, where: { kind: "path", path } });

export const notInLayout = (path: string, wanted: string, names: readonly string[]): TsbuildError =>
  new TsbuildError({
    code: "IMAGE_NOT_FOUND",
    what: `the OCI layout at ${path} has no image ${wanted}`,
    hint: names.length === 0 ? "it is empty" : `it has ${names.join(", ")}`,
  });
