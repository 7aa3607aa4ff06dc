/** What the executor can say when it fails: one function an error, to be read side by side. */
import { errnoOf, TsbuildError, type Where } from "../errors.ts";
import { type BytePath, textOfBytePath } from "../kernel/byte-path.ts";
import { isFull } from "../store/errors.ts";

const inImage = (path: BytePath): string => `/${textOfBytePath(path)}`;

export const notAFolder = (path: BytePath): TsbuildError =>
  new TsbuildError({ code: "COPY_FAILED", what: `${inImage(path)} is not a directory` });

export const tooManyLinks = (path: BytePath): TsbuildError =>
  new TsbuildError({ code: "COPY_FAILED", what: `${inImage(path)}: too many levels of symbolic links` });

export const cannotCopyToNonDirectory = (path: BytePath): TsbuildError =>
  new TsbuildError({ code: "COPY_FAILED", what: `cannot copy a directory to ${inImage(path)}: it is not a directory` });

export const cannotReplaceDirectory = (path: BytePath): TsbuildError =>
  new TsbuildError({ code: "COPY_FAILED", what: `cannot replace the directory ${inImage(path)} with a file` });

export const changedWhileCopied = (hostPath: string): TsbuildError =>
  new TsbuildError({
    code: "COPY_FAILED",
    what: `${hostPath} changed while it was being copied`,
    hint: "build again",
  });

export const noAccountsForName = (owner: string, why: string): TsbuildError =>
  new TsbuildError({
    code: "COPY_FAILED",
    what: `cannot look up ${owner}: ${why}`,
    hint: "use numbers, as in --chown=1000:1000",
  });

export const invalidMode = (text: string): TsbuildError =>
  new TsbuildError({
    code: "COPY_FAILED",
    what: `invalid mode ${JSON.stringify(text)}`,
    hint: "use octal (0644) or symbolic (u+x,go-w)",
  });

/** Of an archive, whose name its reader adds. */
export const entryInvalid = (why: string): TsbuildError => new TsbuildError({ code: "ARCHIVE_INVALID", what: why });

export const archiveBroken = (name: string, why: string): TsbuildError =>
  new TsbuildError({ code: "ARCHIVE_INVALID", what: `cannot unpack ${name}: ${why}` });

/** What the disk says no to; undefined for what is no system error, and so a defect. */
export function fileWorkFailed(storeRoot: string, cause: unknown): TsbuildError | undefined {
  const errno = errnoOf(cause);
  if (errno === undefined || !(cause instanceof Error) || !("syscall" in cause)) return undefined;
  if (errno === "ENOSPC" || errno === "EDQUOT")
    return new TsbuildError({
      code: "NO_SPACE",
      what: `no space left for the store at ${storeRoot}`,
      hint: "see what may go with tsbuild cache du, let it go with tsbuild cache prune",
      cause,
    });
  const path = "path" in cause && typeof cause.path === "string" ? `${cause.path}: ` : "";
  return new TsbuildError({ code: "COPY_FAILED", what: `${path}${errno} in ${cause.syscall}`, cause });
}

// RUN -------------------------------------------------------------------------------------------------------------

export const mountSourceNotFound = (source: string, from: string): TsbuildError =>
  new TsbuildError({ code: "SOURCE_NOT_FOUND", what: `mount source ${source} not found in ${from}` });

export const secretMissing = (id: string): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `secret ${id} is required and was not given`,
    hint: `--secret id=${id},src=FILE`,
  });

export const deviceNotAllowed = (names: readonly string[], where: Where): TsbuildError =>
  new TsbuildError({
    code: "INSTRUCTION_INVALID",
    what:
      names.length === 1
        ? `device ${names[0]} is requested by the build but not allowed`
        : `devices ${names.join(", ")} are requested by the build but not allowed`,
    where,
    hint: names.map((name) => `--allow device=${name}`).join(" "),
  });

export const agentMissing = (id: string): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `the ssh agent ${id} is required and was not given`,
    hint: id === "default" ? "--ssh default" : `--ssh ${id}=SOCKET or --ssh ${id}=KEYFILE`,
  });

export const privateKeyEncrypted = (file: string): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `${file}: the private key is encrypted, and nobody can be asked for its passphrase`,
    hint: `ssh-add ${file}, and give the agent: --ssh default`,
  });

export const privateKeyInvalid = (file: string, why: string, cause?: unknown): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `cannot read a private key from ${file}: ${why}`,
    hint: "an unencrypted RSA, ECDSA or Ed25519 key, or the socket of an agent",
    cause,
  });

export const workdirIsNoFolder = (path: string): TsbuildError =>
  new TsbuildError({ code: "COPY_FAILED", what: `the working directory ${path} is not a directory` });

/** Owners, device nodes and overlay marks of a layer are root's to write. */
export const layersNeedRoot = (): TsbuildError =>
  new TsbuildError({
    code: "UNSUPPORTED",
    what: "building needs root for now",
    hint: "run it with sudo; plan and parse work without",
  });

/** Of files that are written to where the user wants them. */
export function exportFailed(folder: string, error: unknown): unknown {
  const what = (why: string): string => `cannot write the result to ${folder}: ${why}`;
  if (isFull(error)) return new TsbuildError({ code: "NO_SPACE", what: what("no space left"), cause: error });
  if (error instanceof TsbuildError) return error;
  switch (errnoOf(error)) {
    case "EROFS":
      return new TsbuildError({ code: "READ_ONLY", what: what("the file system is read-only"), cause: error });
    case "EACCES":
    case "EPERM":
      return new TsbuildError({ code: "PERMISSION_DENIED", what: what("permission denied"), cause: error });
    case "ENOTDIR":
    case "EEXIST":
    case "ENOENT":
      return new TsbuildError({ code: "INVALID_ARGUMENT", what: what("it is not a directory"), cause: error });
    default:
      return error;
  }
}
