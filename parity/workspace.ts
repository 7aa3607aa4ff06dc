/** The folder in which a case is built: its context, named contexts and what lies beside, remade for each of its builds. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import { basename, dirname, join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import {
  type Answer,
  contextTime,
  type EarlierBuild,
  type Entry,
  type ParityCase,
  type Tree,
} from "../fixtures/parity/case.ts";
import { setXattr } from "../src/kernel/xattr.ts";
import { rawTar } from "../test/support/raw-tar.ts";

/** One call of a builder, with all that is relative to it in place. */
export interface BuildCall {
  readonly cwd: string;
  /** After `build`, up to the context. */
  readonly args: readonly string[];
  readonly path: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly input: string | Uint8Array | undefined;
  readonly tag: string | undefined;
}

/** Builds of a case in their order; the last one is the case itself. */
export function buildsOf(parityCase: ParityCase): readonly EarlierBuild[] {
  return [...(parityCase.before ?? []), {}];
}

/** Makes `folder` hold what this build of the case needs. */
export function prepare(
  folder: string,
  parityCase: ParityCase,
  build: EarlierBuild,
  server: string | undefined,
): BuildCall {
  const { outcome: _outcome, name, before: _before, ...own } = parityCase;
  const sources = { ...own, ...build };
  // BuildKit takes contexts of one name for one context, and files of one size and time in them for one file.
  const context = `context-of-${name.replaceAll(/[^a-zA-Z0-9]+/g, "-")}`;
  const placed = (text: string): string => text.replaceAll("{server}", server ?? "{server}");
  for (const each of readdirSync(folder)) rmSync(join(folder, each), { recursive: true });
  makeTree(folder, sources.beside ?? {});
  const ignore = sources.ignore === undefined ? {} : { ".dockerignore": sources.ignore };
  makeTree(join(folder, context), { ...sources.context, ...ignore });
  for (const [each, tree] of Object.entries(sources.contexts ?? {})) makeTree(join(folder, `context-${each}`), tree);
  const { dockerfile } = sources;
  writeFileSync(
    join(folder, sources.dockerfileName ?? "Dockerfile"),
    typeof dockerfile === "string" ? `${placed(dockerfile).replaceAll("⏎", "\n")}\n` : dockerfile,
  );
  const isRemote = sources.path !== undefined;
  return {
    cwd: folder,
    args: [
      ...(isRemote ? [] : ["-f", "Dockerfile"]),
      ...Object.keys(sources.contexts ?? {}).flatMap((each) => ["--build-context", `${each}=context-${each}`]),
      ...(sources.flags ?? []).map(placed),
    ],
    path: placed(sources.path ?? context),
    environment: sources.environment ?? {},
    input: sources.input,
    tag: build.tag,
  };
}

function makeTree(root: string, tree: Tree): void {
  mkdirSync(root, { recursive: true });
  const entries = Object.entries(tree).map(([path, entry]): [string, Entry] => [
    join(root, path),
    typeof entry === "string" ? { text: entry } : entry,
  ]);
  for (const [path, entry] of entries) if (entry.hardlink === undefined) make(path, entry);
  for (const [path, { hardlink }] of entries) {
    if (hardlink === undefined) continue;
    mkdirSync(dirname(path), { recursive: true });
    linkSync(join(root, hardlink), path);
  }
  for (const [path, entry] of entries) setMetadata(path, entry);
  const times = new Map(entries.map(([path, { mtime }]) => [path, mtime]));
  // Last: each entry that was made changed its folder's time.
  for (const path of pathsBelow(root)) lutimesSync(path, contextTime, times.get(path) ?? contextTime);
}

/** Node's own recursive listing goes through symbolic links, and these may lead anywhere. */
function pathsBelow(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? [path, ...pathsBelow(path)] : [path];
  });
}

function make(path: string, entry: Entry): void {
  mkdirSync(dirname(path), { recursive: true });
  if (entry.link !== undefined) symlinkSync(entry.link, path);
  else if (entry.kind === "folder") mkdirSync(path, { recursive: true });
  else if (entry.kind === "fifo") execFileSync("mkfifo", [path]);
  else if (entry.kind === "socket") makeSocket(path);
  else if (entry.device !== undefined) execFileSync("mknod", [path, "c", ...entry.device.map(String)]);
  else if (entry.tar !== undefined) writeFileSync(path, compress(rawTar(entry.tar), entry.compression));
  else writeFileSync(path, compress(entry.bytes ?? Buffer.from(entry.text ?? ""), entry.compression));
}

/** Node removes a socket's name when it closes it; another process leaves it there. An address has 108 bytes at most. */
function makeSocket(path: string): void {
  const script = `require("node:net").createServer().listen(${JSON.stringify(basename(path))}, () => process.kill(process.pid, "SIGKILL"))`;
  try {
    execFileSync(process.execPath, ["-e", script], { stdio: "ignore", cwd: dirname(path) });
  } catch {
    lstatSync(path);
  }
}

function compress(bytes: Uint8Array, compression: Entry["compression"]): Uint8Array {
  switch (compression) {
    case undefined:
      return bytes;
    case "gzip":
      return gzipSync(bytes);
    case "zstd":
      return zstdCompressSync(bytes);
    case "bzip2":
    case "xz":
      return execFileSync(compression, ["-c"], { input: bytes });
  }
}

function setMetadata(path: string, { link, owner, mode, kind, xattrs }: Entry): void {
  if (owner !== undefined) lchownSync(path, ...owner);
  // After the owner: chown clears set-user-ID. A link has no mode.
  if (link === undefined) chmodSync(path, mode ?? (kind === "folder" ? 0o755 : 0o644));
  for (const [name, value] of Object.entries(xattrs ?? {})) setXattr(path, name, Buffer.from(value, "latin1"));
}

// The web server ----------------------------------------------------------------------------------------------------

export interface CaseServer extends AsyncDisposable {
  readonly address: string;
}

/** On the loopback, for as long as it is not disposed. */
export async function serve(answers: Readonly<Record<string, Answer>>): Promise<CaseServer> {
  const server = createServer((request, response) => {
    const answer = answers[request.url ?? ""] ?? answers[(request.url ?? "").replace(/\?.*/, "")];
    response.writeHead(answer === undefined ? 404 : (answer.status ?? 200), answer?.headers ?? {});
    response.end(request.method === "HEAD" ? undefined : (answer?.body ?? ""));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return { address: `http://127.0.0.1:${port}`, [Symbol.asyncDispose]: () => close(server) };
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise<void>((resolve) => server.close(() => resolve()));
}
