/**
 * `cp`: files between a container and the host, or a tar. Nothing of the container is executed or loaded, no path of it
 * is resolved outside its root. What goes where is docker's: a folder into an existing folder nests, `SRC/.` is its
 * content, and the parent of the destination must be there.
 */
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
  statSync,
} from "node:fs";
import { basename, dirname, posix, resolve } from "node:path";
import type { Readable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { errnoOf } from "../errors.ts";
import { type BytePath, bytePath } from "../kernel/byte-path.ts";
import { cPath, errno, errnoName, libc } from "../kernel/libc.ts";
import { closeInRoot, O_PATH, openFolderInRoot, openInRoot } from "../kernel/resolve-in-root.ts";
import { decompressor, sniffCompression, sniffLength } from "../oci/decompress.ts";
import type { Store } from "../store/store.ts";
import { type TarHandler, TarReader } from "../store/tar-reader.ts";
import { copyDirectoryToFile, copyPathFailed, destinationNotAFolder, rootfsReadOnly } from "./container-errors.ts";
import type { LiveContainer } from "./containers/container-folder.ts";
import { type ContainerRoot, openContainerRoot, openRootfs } from "./containers/container-root.ts";
import { type FileSink, fileSink } from "./copy-files-sink.ts";
import { tarWriter } from "./copy-files-tar.ts";
import { type WalkOptions, type WalkStart, walkTree } from "./copy-files-walk.ts";
import { isKernelFile } from "./kernel-files.ts";

/** One side of a copy; `path` as it was typed. */
export type CopyEnd =
  | { readonly kind: "container"; readonly container: LiveContainer; readonly path: string }
  /** Relative paths are relative to `cwd`. */
  | { readonly kind: "host"; readonly path: string; readonly cwd: string };

export interface CopyOptions {
  readonly store: Store;
  /** Keep owners. Else what is copied belongs to root in a container, and to the caller on the host. */
  readonly archive: boolean;
  /** The source itself may be a symlink that is followed. */
  readonly followLink: boolean;
  readonly signal: AbortSignal;
}

/** Where a tar goes. Resolves when there is room for more. */
export type TarOutput = (chunk: Buffer) => Promise<void> | undefined;

/** @returns how many bytes the tar of what was copied has. @throws {TsbuildError} `COPY_FAILED`, `READ_ONLY` */
export async function copyFiles(from: CopyEnd, to: CopyEnd, options: CopyOptions): Promise<number> {
  using source = openSource(from, options);
  using target = openTarget(to, source, options);
  const counted = counting(target.sink);
  await drive(walkTree(source.start, target.as, counted.handler, source), options.signal);
  target.sink.finish();
  return counted.bytes();
}

/** The same as a tar: its topmost name is the last of the path. */
export async function copyToTar(from: CopyEnd, output: TarOutput, options: CopyOptions): Promise<void> {
  using source = openSource(from, options);
  let waiting: Promise<void> | undefined;
  const writer = tarWriter((chunk) => {
    waiting = output(chunk) ?? waiting;
  });
  await drive(
    walkTree(source.start, bytePath(source.contentOnly ? "" : source.name), writer, source),
    options.signal,
    () => waiting,
  );
  writer.finish();
  await waiting;
}

/** Unpacks a tar (plain, or compressed with gzip, zstd, xz or bzip2) into a folder that exists. */
export async function copyFromTar(input: Readable, to: CopyEnd, options: CopyOptions): Promise<number> {
  using target = openFolderTarget(to, options);
  const counted = counting(target.sink);
  const reader = new TarReader(counted.handler);
  for await (const chunk of await plain(input)) {
    options.signal.throwIfAborted();
    reader.push(chunk);
  }
  reader.finish();
  target.sink.finish();
  return counted.bytes();
}

/** The whole root file system as a tar, running or not, without volumes and what the runtime mounts. */
export async function exportContainer(
  store: Store,
  container: LiveContainer,
  output: TarOutput,
  signal: AbortSignal,
): Promise<void> {
  using root = openRootfs(store, container);
  // What fsmount(2) gives can be walked from, not read.
  const fd = openInRoot(root.fd, ".", constants.O_RDONLY | constants.O_DIRECTORY);
  if (fd < 0) throw copyPathFailed("/", errnoName(fd));
  try {
    let waiting: Promise<void> | undefined;
    const writer = tarWriter((chunk) => {
      waiting = output(chunk) ?? waiting;
    });
    await drive(walkTree({ kind: "folder", fd }, bytePath(""), writer), signal, () => waiting);
    writer.finish();
    await waiting;
  } finally {
    closeInRoot(fd);
  }
}

const stepsBetweenTurns = 64;

/** Gives the event loop a turn now and then, so that signals and a gone reader are noticed. */
async function drive(
  steps: Generator<void>,
  signal: AbortSignal,
  room?: () => Promise<void> | undefined,
): Promise<void> {
  let count = 0;
  for (const _ of steps) {
    await room?.();
    count += 1;
    if (count % stepsBetweenTurns === 0) await setImmediate();
    signal.throwIfAborted();
  }
}

// The source -----------------------------------------------------------------------------------------------------

interface Source extends Disposable, WalkOptions {
  readonly start: WalkStart;
  readonly isFolder: boolean;
  /** `SRC/.`: what is in it, not itself. */
  readonly contentOnly: boolean;
  readonly name: string;
}

function openSource(end: CopyEnd, { store, followLink }: CopyOptions): Source {
  using opened = new DisposableStack();
  const typed = typedPath(end.path);
  const follow = followLink || typed.asFolder;
  const fields = { contentOnly: typed.contentOnly, name: basename(typed.clean) };
  const openAt = opener(end, opened, store, false);
  const probe = openAt(typed.clean, O_PATH | (follow ? 0 : constants.O_NOFOLLOW));
  if (probe < 0) throw copyPathFailed(displayed(end, typed.clean), errnoName(probe));
  const stat = fstatSync(probe);
  const isMadeUp = end.kind === "container" && !stat.isDirectory() && isKernelFile(probe);
  closeInRoot(probe);
  // docker looks at the root file system from outside, where these are not.
  if (isMadeUp) throw copyPathFailed(displayed(end, typed.clean), "ENOENT");
  if (typed.asFolder && !stat.isDirectory()) throw copyPathFailed(displayed(end, typed.clean), "ENOTDIR");
  const owned = (fd: number): number => {
    if (fd < 0) throw copyPathFailed(displayed(end, typed.clean), errnoName(fd));
    opened.defer(() => closeInRoot(fd));
    return fd;
  };
  let start: WalkStart;
  if (stat.isDirectory()) {
    start = { kind: "folder", fd: owned(openAt(typed.clean, constants.O_RDONLY | constants.O_DIRECTORY)) };
  } else if (stat.isFile() && follow) {
    start = { kind: "file", fd: owned(openAt(typed.clean, constants.O_RDONLY | constants.O_NONBLOCK)) };
  } else {
    const parent = owned(openAt(dirname(typed.clean), O_PATH | constants.O_DIRECTORY));
    start = { kind: "named", parent, name: Buffer.from(basename(typed.clean)) };
  }
  const deviceFolder = end.kind === "container" ? mountedDevices(openAt) : undefined;
  const kept = opened.move();
  return { start, isFolder: stat.isDirectory(), deviceFolder, ...fields, [Symbol.dispose]: () => kept.dispose() };
}

/** The container's /dev, if it is a file system of its own. */
function mountedDevices(openAt: (path: string, flags: number) => number): WalkOptions["deviceFolder"] {
  const statOf = (path: string): BigIntStats | undefined => {
    const fd = openAt(path, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    if (fd < 0) return undefined;
    try {
      return fstatSync(fd, { bigint: true });
    } finally {
      closeInRoot(fd);
    }
  };
  const devices = statOf("/dev");
  return devices === undefined || devices.dev === statOf("/")?.dev ? undefined : devices;
}

// The destination ------------------------------------------------------------------------------------------------

interface Target extends Disposable {
  readonly sink: FileSink;
  /** What the topmost entry is called in the sink's folder; `""` for content only. */
  readonly as: BytePath;
}

function openTarget(end: CopyEnd, source: Source, options: CopyOptions): Target {
  using opened = new DisposableStack();
  const typed = typedPath(end.path);
  const root =
    end.kind === "container" ? opened.use(openContainerRoot(options.store, end.container, { write: true })) : undefined;
  const path = followed(end, root, absolute(end, typed.clean));
  const type = typeAt(root, path);
  const shown = displayed(end, typed.clean);
  let base = path;
  let as = "";
  if (type === "folder") {
    as = source.isFolder && source.contentOnly ? "" : source.name;
  } else {
    if (type === "other" && source.isFolder) throw copyDirectoryToFile(shown);
    if (typed.asFolder && !source.isFolder) throw destinationNotAFolder(shown);
    base = dirname(path);
    as = basename(path);
    if (typeAt(root, base) !== "folder") throw copyPathFailed(displayed(end, base), "ENOENT");
  }
  const sink = sinkAt(end, root, base, options, opened);
  const kept = opened.move();
  return { sink, as: bytePath(as), [Symbol.dispose]: () => kept.dispose() };
}

function openFolderTarget(end: CopyEnd, options: CopyOptions): Target {
  using opened = new DisposableStack();
  const typed = typedPath(end.path);
  const root =
    end.kind === "container" ? opened.use(openContainerRoot(options.store, end.container, { write: true })) : undefined;
  const path = absolute(end, typed.clean);
  const type = typeAt(root, path);
  if (type === undefined) throw copyPathFailed(displayed(end, path), "ENOENT");
  if (type !== "folder") throw destinationNotAFolder(displayed(end, path));
  const sink = sinkAt(end, root, path, options, opened);
  const kept = opened.move();
  return { sink, as: bytePath(""), [Symbol.dispose]: () => kept.dispose() };
}

function sinkAt(
  end: CopyEnd,
  root: ContainerRoot | undefined,
  base: string,
  options: CopyOptions,
  opened: DisposableStack,
): FileSink {
  const display = displayed(end, base).replace(/\/$/, "");
  if (root === undefined) {
    const fd = openSync(base, constants.O_RDONLY | constants.O_DIRECTORY);
    opened.defer(() => closeSync(fd));
    const owner = options.archive ? undefined : { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
    return opened.use(fileSink({ root: fd, base: bytePath(""), symlinks: "none", owner, display }));
  }
  const place = root.place(base);
  if (place.readonly) throw rootfsReadOnly();
  const owner = options.archive ? undefined : { uid: 0, gid: 0 };
  const inRoot = bytePath(place.path.replace(/^\/+/, ""));
  return opened.use(fileSink({ root: place.root, base: inRoot, symlinks: "root", owner, display }));
}

const mostSymlinks = 40;

/** A destination that is a symlink means what it points to, even when that is not there yet. */
function followed(end: CopyEnd, root: ContainerRoot | undefined, path: string): string {
  let at = path;
  for (let count = 0; count < mostSymlinks; count += 1) {
    const target = linkAt(root, at);
    if (target === undefined) return at;
    at = posix.resolve(dirname(at), target);
  }
  throw copyPathFailed(displayed(end, path), "ELOOP");
}

function linkAt(root: ContainerRoot | undefined, path: string): string | undefined {
  if (root === undefined) {
    return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ? readlinkSync(path) : undefined;
  }
  const place = root.place(path);
  const fd = openInRoot(place.root, place.path, O_PATH | constants.O_NOFOLLOW);
  if (fd < 0) return undefined;
  try {
    if (!fstatSync(fd).isSymbolicLink()) return undefined;
    const buffer = Buffer.alloc(4096);
    const length = libc("readlinkat", fd, cPath(""), buffer, buffer.length);
    return length < 0 ? undefined : buffer.toString("utf8", 0, length);
  } finally {
    closeInRoot(fd);
  }
}

function typeAt(root: ContainerRoot | undefined, path: string): "folder" | "other" | undefined {
  if (root === undefined) {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat === undefined ? undefined : stat.isDirectory() ? "folder" : "other";
  }
  const place = root.place(path);
  const folder = openFolderInRoot(place.root, place.path);
  if (folder >= 0) {
    closeInRoot(folder);
    return "folder";
  }
  return folder === -errno.ENOTDIR && isThere(place) ? "other" : undefined;
}

function isThere({ root, path }: { readonly root: number; readonly path: string }): boolean {
  const fd = openInRoot(root, path, O_PATH);
  if (fd < 0) return false;
  closeInRoot(fd);
  return true;
}

// Paths ----------------------------------------------------------------------------------------------------------

interface TypedPath {
  /** Without a slash or `/.` at the end. */
  readonly clean: string;
  /** It ended in a slash, or in `/.`: only a folder is meant. */
  readonly asFolder: boolean;
  readonly contentOnly: boolean;
}

function typedPath(text: string): TypedPath {
  const contentOnly = text === "." || text.endsWith("/.");
  const clean = posix.normalize(contentOnly ? text.slice(0, -1) || "/" : text).replace(/(?<=.)\/+$/, "");
  return { clean: text === "." ? "." : clean, asFolder: contentOnly || text.endsWith("/"), contentOnly };
}

/** Opens paths of one side: fds, or −errno. A container's are absolute from its root. */
function opener(
  end: CopyEnd,
  opened: DisposableStack,
  store: Store,
  write: boolean,
): (path: string, flags: number) => number {
  if (end.kind === "host") {
    return (path, flags) => {
      try {
        return openSync(resolve(end.cwd, path), flags);
      } catch (error) {
        const code = errnoOf(error) as keyof typeof errno | undefined;
        if (code === undefined || errno[code] === undefined) throw error;
        return -errno[code];
      }
    };
  }
  const root = opened.use(openContainerRoot(store, end.container, { write }));
  return (path, flags) => {
    const place = root.place(posix.resolve("/", path));
    return openInRoot(place.root, place.path, flags);
  };
}

/** A container's paths are relative to its root. */
function absolute(end: CopyEnd, path: string): string {
  return end.kind === "host" ? resolve(end.cwd, path) : posix.resolve("/", path);
}

function displayed(end: CopyEnd, path: string): string {
  return end.kind === "host" ? path : `${end.container.record.name}:${path}`;
}

// Streams --------------------------------------------------------------------------------------------------------

const blockBytes = 512;

function counting(to: TarHandler): { readonly handler: TarHandler; readonly bytes: () => number } {
  let bytes = 2 * blockBytes;
  const handler: TarHandler = {
    begin(header) {
      bytes += blockBytes + Math.ceil(header.size / blockBytes) * blockBytes;
      to.begin(header);
    },
    data: (chunk) => to.data(chunk),
    hole: (length) => to.hole(length),
    end: () => to.end(),
    skipped: (name, typeFlag) => to.skipped(name, typeFlag),
  };
  return { handler, bytes: () => bytes };
}

/** Looks at the first bytes and decompresses in process. */
async function plain(input: Readable): Promise<AsyncIterable<Buffer>> {
  const chunks = input[Symbol.asyncIterator]();
  let start: Buffer = Buffer.alloc(0);
  while (start.length < sniffLength) {
    const next = (await chunks.next()) as IteratorResult<Buffer>;
    if (next.done === true) break;
    start = Buffer.concat([start, next.value]);
  }
  const kind = sniffCompression(start);
  if (kind === "none") return joined(start, chunks);
  const through = decompressor(kind);
  const feed = async (): Promise<void> => {
    for await (const chunk of joined(start, chunks)) {
      if (!through.write(chunk)) await new Promise((done) => through.once("drain", done));
    }
    through.end();
  };
  feed().catch((error: unknown) => through.destroy(error instanceof Error ? error : new Error(String(error))));
  return through;
}

async function* joined(start: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  if (start.length > 0) yield start;
  for (;;) {
    const next = await rest.next();
    if (next.done === true) return;
    yield next.value;
  }
}
