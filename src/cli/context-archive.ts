/** What comes on standard input: a Dockerfile, or a tar that is the whole context. */
import { chmodSync, linkSync, lstatSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { TsbuildError } from "../errors.ts";
import { setMtime } from "../kernel/files.ts";
import { decompressor, sniffCompression } from "../oci/decompress.ts";
import type { TemporaryFolder } from "../store/store.ts";
import type { CommandContext } from "./command.ts";

/** @throws {TsbuildError} `USAGE` when standard input is a terminal: nobody would know what it waits for. */
export async function readStandardInput(context: CommandContext): Promise<Buffer> {
  if (context.stdin.isTTY)
    throw new TsbuildError({
      code: "USAGE",
      what: "standard input is a terminal",
      hint: "pipe a Dockerfile or a tar into it: tar c . | tsbuild -",
    });
  const chunks: Buffer[] = [];
  for await (const chunk of context.stdin) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/**
 * The folder that `bytes` unpacks to, or undefined when they are no tar (plain, gzip, zstd, xz, bzip2, by content).
 * @throws {TsbuildError} `ARCHIVE_INVALID`
 */
export async function unpackContext(bytes: Buffer, context: CommandContext): Promise<TemporaryFolder | undefined> {
  const tar = await plain(bytes);
  if (!isTar(tar)) return undefined;
  const folder = context.openStore().temporaryFolder("context");
  try {
    await unpack(tar, folder.path);
  } catch (error) {
    folder[Symbol.dispose]();
    throw error instanceof TsbuildError ? error : invalid(error instanceof Error ? error.message : "damaged", error);
  }
  return folder;
}

const invalid = (why: string, cause?: unknown): TsbuildError =>
  new TsbuildError({ code: "ARCHIVE_INVALID", what: `the archive on standard input cannot be read: ${why}`, cause });

/** `ustar` at its place, or for the oldest format a header whose checksum holds. */
function isTar(bytes: Buffer): boolean {
  if (bytes.length < 512) return false;
  if (bytes.subarray(257, 262).toString("latin1") === "ustar") return true;
  const stated = Number.parseInt(bytes.subarray(148, 156).toString("latin1"), 8);
  const header = Buffer.from(bytes.subarray(0, 512)).fill(" ", 148, 156);
  return stated > 8 * 32 && header.reduce((sum, byte) => sum + byte, 0) === stated;
}

async function plain(bytes: Buffer): Promise<Buffer> {
  const kind = sniffCompression(bytes);
  if (kind === "none") return bytes;
  const unpacking = decompressor(kind);
  const chunks: Buffer[] = [];
  await pipeline(Readable.from([bytes]), unpacking, async (output: AsyncIterable<Buffer>) => {
    for await (const chunk of output) chunks.push(chunk);
  });
  return Buffer.concat(chunks);
}

async function unpack(tar: Buffer, root: string): Promise<void> {
  const { extract } = await import("tar-stream");
  const entries = extract();
  Readable.from([tar]).pipe(entries);
  const folders: { readonly path: string; readonly mode: number; readonly mtime: Date }[] = [];
  for await (const entry of entries) {
    const { name, type, mode = 0o644, mtime = new Date(0), linkname } = entry.header;
    const path = inside(root, name);
    const chunks: Buffer[] = [];
    // What tar-stream reads from a buffer are buffers; its type says unknown.
    for await (const chunk of entry as AsyncIterable<Buffer>) chunks.push(chunk);
    if (path === root) continue;
    makeFolders(root, dirname(path));
    if (type === "directory") {
      if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) replace(path, () => mkdirSync(path));
      folders.push({ path, mode, mtime });
    } else if (type === "symlink") {
      replace(path, () => symlinkSync(linkname ?? "", path));
    } else if (type === "link") {
      const target = inside(root, linkname ?? "");
      makeFolders(root, dirname(target));
      replace(path, () => linkSync(target, path));
    } else if (type === "file" || type === "contiguous-file") {
      replace(path, () => writeFileSync(path, Buffer.concat(chunks)));
      chmodSync(path, mode & 0o7777);
      setMtime(path, BigInt(mtime.getTime()) * 1_000_000n);
    }
  }
  // Children first: a folder without write permission could not be filled, and filling it changes its time.
  for (const folder of folders.reverse()) {
    chmodSync(folder.path, folder.mode & 0o7777);
    setMtime(folder.path, BigInt(folder.mtime.getTime()) * 1_000_000n);
  }
}

/** `..` and a leading slash stop at the root. */
function inside(root: string, name: string): string {
  const clean = normalize(`/${name}`).replace(/\/+$/, "");
  return clean === "" ? root : join(root, clean);
}

/** An archive may hold a link and then a file below that link: nothing is written through a link. */
function makeFolders(root: string, folder: string): void {
  if (folder === root || folder.length < root.length) return;
  makeFolders(root, dirname(folder));
  const stat = lstatSync(folder, { throwIfNoEntry: false });
  if (stat === undefined) mkdirSync(folder);
  else if (!stat.isDirectory()) throw invalid(`${folder.slice(root.length + 1)} is used as a directory and is none`);
}

function replace(path: string, make: () => void): void {
  rmSync(path, { recursive: true, force: true });
  make();
}
