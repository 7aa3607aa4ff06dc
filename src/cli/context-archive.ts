/** A context that comes as one file: a tar that is the whole of it, or no tar, and then it is the Dockerfile. */
import { chmodSync, createWriteStream, mkdirSync, statSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { TsbuildError } from "../errors.ts";
import { bytePath } from "../kernel/byte-path.ts";
import type { CommandContext } from "./command.ts";

/** @throws {TsbuildError} `USAGE` when standard input is a terminal: nobody would know what it waits for. */
function refuseTerminal(context: CommandContext): void {
  if (!context.stdin.isTTY) return;
  throw new TsbuildError({
    code: "USAGE",
    what: "standard input is a terminal",
    hint: "pipe a Dockerfile or a tar into it: tar c . | tsbuild -",
  });
}

/** More is no Dockerfile, and memory has an end that an endless input has not. */
const longestDockerfileBytes = 32 << 20;

export async function readStandardInput(context: CommandContext): Promise<Buffer> {
  refuseTerminal(context);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of context.stdin) {
    context.signal.throwIfAborted();
    length += chunk.length;
    if (length > longestDockerfileBytes) {
      throw new TsbuildError({
        code: "DOCKERFILE_INVALID",
        what: "standard input is not a Dockerfile: it has more than 32 MiB",
      });
    }
    chunks.push(Buffer.from(chunk));
  }
  return Buffer.concat(chunks);
}

/** Into a file, since a context may be larger than memory. */
export async function saveStandardInput(context: CommandContext, file: string): Promise<void> {
  refuseTerminal(context);
  await pipeline(context.stdin, createWriteStream(file, { flags: "wx", mode: 0o600 }), { signal: context.signal });
}

/**
 * Unpacks `file` into `folder`, which is made, if its content is a tar (plain, gzip, zstd, xz, bzip2); else false. Modes,
 * owners and times are the archive's; who is not root gets everything for himself.
 * @throws {TsbuildError} `ARCHIVE_INVALID`
 */
export async function unpackContext(
  file: string,
  folder: string,
  { shown, signal }: { readonly shown: string; readonly signal: AbortSignal },
): Promise<boolean> {
  const { addTree, holdsTar } = await import("../executor/add-archive.ts");
  if (!(await holdsTar(file))) return false;
  mkdirSync(folder);
  chmodSync(folder, 0o755);
  const root = bytePath("");
  const { size, mtimeNs } = statSync(file, { bigint: true });
  const entry = {
    path: root,
    type: "file",
    mode: 0o600,
    uid: 0,
    gid: 0,
    mtimeNs,
    size: Number(size),
    hostPath: file,
  } as const;
  const isRoot = process.geteuid?.() === 0;
  const task = {
    upperdir: folder,
    lowerdirs: [],
    destination: "/",
    sources: [{ basename: bytePath(shown), matched: false, entries: [entry], keptParents: [] }],
    owner: isRoot ? undefined : { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
    chmod: undefined,
    parents: false,
  } as const;
  try {
    await addTree(task, signal, "files");
  } catch (error) {
    if (!(error instanceof TsbuildError) || error.code !== "COPY_FAILED") throw error;
    // It tells of a place in an image, and there is none.
    const what = `cannot unpack ${shown}: ${error.message}`;
    throw new TsbuildError({ code: "ARCHIVE_INVALID", what, cause: error });
  }
  return true;
}
