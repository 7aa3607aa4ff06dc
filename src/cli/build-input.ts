/**
 * The context and the Dockerfile of a build: looked up, read, or taken from standard input.
 * Source: Docker docs, "Build context".
 */
import {
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
  renameSync,
  statSync,
} from "node:fs";
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import { errnoOf, TsbuildError } from "../errors.ts";
import { nearestWord } from "../nearest-word.ts";
import type { BuildContext, BuildOptions, RemoteSource } from "../planner/build-options.ts";
import { shownUrl } from "../planner/download.ts";
import { gitContext } from "../planner/git-url.ts";
import { readIgnoreFile } from "../planner/read-ignore-file.ts";
import type { TemporaryFolder } from "../store/store.ts";
import type { CommandContext } from "./command.ts";
import { readStandardInput, saveStandardInput, unpackContext } from "./context-archive.ts";

type Source = Pick<BuildOptions, "dockerfile" | "context" | "ignore">;

export interface BuildInput {
  readonly source: Source;
  readonly dispose: () => void;
}

/** What a context elsewhere is fetched with. */
export type FetchOptions = Pick<BuildOptions, "secrets" | "ssh" | "buildArgs">;

const nothingToDispose = (): void => undefined;

/**
 * @throws {TsbuildError} `USAGE`, `CONTEXT_NOT_FOUND`, `DOCKERFILE_NOT_FOUND`, `ARCHIVE_INVALID`, `SOURCE_NOT_FOUND`
 */
export async function readInput(
  given: string | undefined,
  flags: { readonly file?: string },
  context: CommandContext,
  { notes, fetch }: { readonly notes: string[]; readonly fetch: FetchOptions },
): Promise<BuildInput> {
  let path = given;
  if (path === undefined) {
    if (flags.file === undefined)
      throw usage("'build' needs a context (a directory, a URL or -)", "did you mean: tsbuild build .");
    path = ".";
    notes.push("no context given, using the current directory");
  }
  if (path === "-") {
    if (flags.file === "-") throw usage("the Dockerfile and the context cannot both come from standard input");
    return await inFolder(context, "context", async (folder) => {
      const file = join(folder, "input");
      await saveStandardInput(context, file);
      return await inputOfFile(file, {
        folder,
        shown: "standard input",
        flags,
        context,
        time: undefined,
        remote: undefined,
      });
    });
  }
  const git = gitContext(path, undefined);
  if (git !== undefined)
    return await inFolder(context, "context", async (folder) => {
      const { checkOutContext } = await import("./remote-context.ts");
      const tree = await checkOutContext(git, folder, fetch, context);
      return await inputOfTree(tree.folder, { flags, context, owners: "root", time: tree.time, remote: tree.remote });
    });
  if (/^https?:\/\//.test(path)) {
    const url = path;
    return await inFolder(context, "context", async (folder) => {
      const { downloadContext } = await import("./remote-context.ts");
      const { file, shown, time, remote } = await downloadContext(url, folder, fetch, context);
      return await inputOfFile(file, { folder, shown, flags, context, time, remote });
    });
  }
  if (/^[a-z][a-z0-9-]*:\/\//.test(path))
    throw new TsbuildError({
      code: "UNSUPPORTED",
      what: `a build context cannot come from ${shownUrl(path)}`,
      hint: "a directory, a git URL, http:// and https:// can be given, and - for standard input",
    });
  return await inputOfDirectory(path, flags, fetch, context);
}

async function inputOfDirectory(
  path: string,
  flags: { readonly file?: string },
  fetch: FetchOptions,
  context: CommandContext,
): Promise<BuildInput> {
  const folder = resolve(context.cwd, path);
  const kind = kindOf(folder);
  if (kind === undefined)
    throw new TsbuildError({ code: "CONTEXT_NOT_FOUND", what: `unable to prepare context: path "${path}" not found` });
  if (kind !== "directory")
    throw new TsbuildError({
      code: "CONTEXT_NOT_FOUND",
      what: `unable to prepare context: "${path}" is not a directory`,
      hint: `name the Dockerfile with -f and the folder it builds: tsbuild -f ${path} ${dirname(path)}`,
    });
  const buildContext: BuildContext = { kind: "directory", path: folder };
  if (flags.file === "-") {
    const text = textOf(await readStandardInput(context), "standard input");
    const source: Source = {
      dockerfile: { text, file: "Dockerfile" },
      context: buildContext,
      ignore: ignoreFileOf(folder, undefined),
    };
    return { source, dispose: nothingToDispose };
  }
  if (flags.file !== undefined && /^https?:\/\//.test(flags.file)) {
    const text = await dockerfileAt(flags.file, fetch, context);
    const source: Source = {
      dockerfile: { text, file: "Dockerfile" },
      context: buildContext,
      ignore: ignoreFileOf(folder, undefined),
    };
    return { source, dispose: nothingToDispose };
  }
  const dockerfile = findDockerfile(flags.file, folder, context.cwd);
  const source: Source = {
    dockerfile: { text: textOf(await readDockerfile(dockerfile), dockerfile.shown), file: dockerfile.shown },
    context: buildContext,
    ignore: ignoreFileOf(folder, dockerfile.path),
  };
  return { source, dispose: nothingToDispose };
}

/** `-f URL`. */
async function dockerfileAt(url: string, fetch: FetchOptions, context: CommandContext): Promise<string> {
  using folder = context.openStore().temporaryFolder("dockerfile");
  const { downloadContext } = await import("./remote-context.ts");
  const { file, shown } = await downloadContext(url, folder.path, fetch, context);
  return textOf(readFileSync(file), shown);
}

// What comes from elsewhere --------------------------------------------------------------------------------------

/** A folder for as long as the build, which goes at once when there is no input. */
async function inFolder(
  context: CommandContext,
  purpose: string,
  read: (folder: string) => Promise<Source>,
): Promise<BuildInput> {
  const folder: TemporaryFolder = context.openStore().temporaryFolder(purpose);
  try {
    return { source: await read(folder.path), dispose: () => folder[Symbol.dispose]() };
  } catch (error) {
    folder[Symbol.dispose]();
    throw error;
  }
}

interface FilePlace {
  readonly folder: string;
  readonly time: number | undefined;
  readonly remote: RemoteSource | undefined;
  readonly shown: string;
  readonly flags: { readonly file?: string };
  readonly context: CommandContext;
}

/** A tar is the context; anything else is the Dockerfile, and of a URL the context's only file, `context`, too. */
async function inputOfFile(file: string, { folder, shown, flags, context, time, remote }: FilePlace): Promise<Source> {
  const tree = join(folder, "tree");
  if (await unpackContext(file, tree, { shown, signal: context.signal }))
    return await inputOfTree(tree, {
      flags,
      context,
      owners: "kept",
      time: time ?? newestIn(Buffer.from(tree)),
      remote,
    });
  const text = textOf(readFileSync(file), shown);
  // `-f F -` with a Dockerfile on standard input: there is no place in which F could lie.
  if (flags.file !== undefined && flags.file !== "-")
    throw usage(`-f ${flags.file} needs a context, and ${shown} is not a tar archive`);
  const dockerfile = { text: flags.file === "-" ? textOf(await readStandardInput(context), "standard input") : text };
  if (shown === "standard input")
    return { dockerfile: { ...dockerfile, file: "Dockerfile" }, context: { kind: "empty" }, ignore: undefined };
  mkdirSync(tree, { mode: 0o755 });
  renameSync(file, join(tree, "context"));
  return {
    dockerfile: { ...dockerfile, file: "Dockerfile" },
    context: { kind: "directory", path: tree, temporary: true, time, remote },
    ignore: undefined,
  };
}

interface TreePlace {
  readonly flags: { readonly file?: string };
  readonly context: CommandContext;
  readonly owners: "root" | "kept";
  readonly time: number | undefined;
  readonly remote: RemoteSource | undefined;
}

/** Its own world: -f names a file inside it, and an ignore file is a file like others. */
async function inputOfTree(folder: string, { flags, context, owners, time, remote }: TreePlace): Promise<Source> {
  const tree = { kind: "directory", path: folder, temporary: true, owners, time, remote } as const;
  if (flags.file === "-") {
    const text = textOf(await readStandardInput(context), "standard input");
    return { dockerfile: { text, file: "Dockerfile" }, context: tree, ignore: undefined };
  }
  const dockerfile = findDockerfileInside(flags.file, folder);
  const text = textOf(await readDockerfile(dockerfile), dockerfile.shown);
  return { dockerfile: { text, file: dockerfile.shown }, context: tree, ignore: undefined };
}

/** Epoch seconds of the newest regular file. */
function newestIn(tree: Buffer): number | undefined {
  const times = readdirSync(tree, { withFileTypes: true, encoding: "buffer" }).map((entry) => {
    const path = Buffer.concat([tree, Buffer.from("/"), entry.name]);
    if (entry.isDirectory()) return newestIn(path);
    return entry.isFile() ? Math.floor(lstatSync(path).mtimeMs / 1000) : undefined;
  });
  return times.reduce((newest, time) => (newest === undefined || (time ?? 0) > newest ? time : newest), undefined);
}

/** No link of the tree leads out of it, and whoever reads a device or a pipe reads without end. */
function findDockerfileInside(given: string | undefined, folder: string): FoundDockerfile {
  const inside = given === undefined ? undefined : resolve("/", given).slice(1);
  const found = findDockerfile(inside, folder, folder);
  const root = realpathSync(folder);
  if (!realpathSync(found.path).startsWith(`${root}/`))
    throw new TsbuildError({
      code: "DOCKERFILE_NOT_FOUND",
      what: `${found.shown} is a link that leads out of the context`,
    });
  if (!statSync(found.path).isFile()) throw notADockerfile(found.shown, "no regular file");
  return found;
}

function kindOf(path: string): "directory" | "file" | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? undefined : stat.isDirectory() ? "directory" : "file";
}

export interface FoundDockerfile {
  readonly path: string;
  readonly shown: string;
}

/** `Containerfile` is podman's name for it. */
export function findDockerfile(given: string | undefined, folder: string, cwd: string): FoundDockerfile {
  const wanted = given === undefined ? join(folder, "Dockerfile") : resolve(cwd, given);
  const candidates = [wanted];
  if (basename(wanted) === "Dockerfile") candidates.push(join(dirname(wanted), "dockerfile"));
  if (given === undefined) candidates.push(join(folder, "Containerfile"));
  for (const path of candidates) {
    const kind = kindOf(path);
    if (kind === "file") return { path, shown: shownPath(path, folder, given) };
    if (kind === "directory" && given !== undefined)
      throw notADockerfile(
        given,
        "a directory",
        existsSync(join(path, "Dockerfile")) ? `-f ${join(given, "Dockerfile")}` : undefined,
      );
  }
  throw dockerfileNotFound(given, wanted, folder);
}

function dockerfileNotFound(given: string | undefined, wanted: string, folder: string): TsbuildError {
  const near = similarNames(dirname(wanted), basename(wanted));
  const shownFolder = given === undefined ? "" : dirname(given) === "." ? "" : `${dirname(given)}/`;
  const elsewhere = given !== undefined && existsSync(join(folder, given)) ? join(folder, given) : undefined;
  return new TsbuildError({
    code: "DOCKERFILE_NOT_FOUND",
    what: `open ${given ?? "Dockerfile"}: no such file or directory`,
    hint:
      elsewhere !== undefined
        ? `-f ${elsewhere}`
        : near.length > 0
          ? `there is ${near.map((name) => `-f ${shownFolder}${name}`).join(", ")}`
          : undefined,
  });
}

function similarNames(folder: string, wanted: string): readonly string[] {
  let names: readonly string[];
  try {
    names = readdirSync(folder);
  } catch {
    return []; // the folder is not there either: the message says enough
  }
  const near = names.filter((name) => /^(?:docker|container)file|\.(?:docker|container)file$/i.test(name));
  const meant = nearestWord(wanted, names);
  return [...new Set(meant === undefined ? near : [meant, ...near])]
    .filter((name) => kindOf(join(folder, name)) === "file" && !name.endsWith(".dockerignore"))
    .slice(0, 4);
}

/** As below the context where it is, else as it was typed. */
function shownPath(path: string, folder: string, given: string | undefined): string {
  const inside = relative(folder, path);
  return inside.startsWith("..") || isAbsolute(inside) ? (given ?? path) : inside;
}

function notADockerfile(shown: string, kind: string, hint?: string): TsbuildError {
  return new TsbuildError({ code: "DOCKERFILE_NOT_FOUND", what: `${shown} is ${kind}, not a Dockerfile`, hint });
}

/** Also of a pipe, as a shell's `-f <(…)` makes one. */
export async function readDockerfile(dockerfile: FoundDockerfile): Promise<Buffer> {
  const { path, shown } = dockerfile;
  try {
    const stat = statSync(path);
    if (stat.isCharacterDevice() || stat.isBlockDevice()) throw notADockerfile(shown, "a device");
    if (!stat.isFIFO()) return readFileSync(path);
    return await readPipe(path);
  } catch (error) {
    if (error instanceof TsbuildError) throw error;
    throw new TsbuildError({
      code: errnoOf(error) === "EACCES" ? "PERMISSION_DENIED" : "DOCKERFILE_NOT_FOUND",
      what: `cannot read ${dockerfile.shown}: ${errnoOf(error) ?? "failed"}`,
      cause: error,
    });
  }
}

/** Never waits for a writer, which would be to hear no signal: without one it is empty. */
async function readPipe(path: string): Promise<Buffer> {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const first = Buffer.alloc(64 * 1024);
  let length = 0;
  try {
    length = readSync(fd, first);
    if (length === 0) {
      closeSync(fd);
      return first.subarray(0, 0);
    }
  } catch (error) {
    // There is a writer, and nothing yet.
    if (errnoOf(error) !== "EAGAIN") throw error;
  }
  const { Socket } = await import("node:net");
  const rest: Buffer[] = await new Socket({ fd, readable: true, writable: false }).toArray();
  return Buffer.concat([first.subarray(0, length), ...rest]);
}

/** A NUL among the first bytes, or many that no text has: then every line of it would be an error of its own. */
export function textOf(bytes: Buffer, shown: string): string {
  const head = bytes.subarray(0, 4096);
  const strange = head.reduce((count, byte) => count + (byte < 9 || (byte > 13 && byte < 27) ? 1 : 0), 0);
  if (strange > head.length / 20)
    throw new TsbuildError({ code: "DOCKERFILE_INVALID", what: `${shown} is not a Dockerfile: it holds binary data` });
  return bytes.toString("utf8");
}

/** `NAME.dockerignore` beside the Dockerfile hides the context's `.dockerignore` entirely. */
function ignoreFileOf(folder: string, dockerfile: string | undefined): BuildOptions["ignore"] {
  const own = dockerfile === undefined ? [] : [`${dockerfile}.dockerignore`];
  for (const path of [...own, join(folder, ".dockerignore")]) {
    const text = readIgnoreFile(path, basename(path));
    if (text !== undefined) return { text, file: basename(path) };
  }
  return undefined;
}

const usage = (what: string, hint?: string): TsbuildError => new TsbuildError({ code: "USAGE", what, hint });
