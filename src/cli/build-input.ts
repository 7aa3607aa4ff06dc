/**
 * The context and the Dockerfile of a build: looked up, read, or taken from standard input.
 * Source: Docker docs, "Build context".
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import { errnoOf, TsbuildError } from "../errors.ts";
import { nearestWord } from "../nearest-word.ts";
import type { BuildContext, BuildOptions } from "../planner/build-options.ts";
import type { CommandContext } from "./command.ts";
import { readStandardInput, unpackContext } from "./context-archive.ts";

type Source = Pick<BuildOptions, "dockerfile" | "context" | "ignore">;

export interface BuildInput {
  readonly source: Source;
  readonly dispose: () => void;
}

const nothingToDispose = (): void => undefined;

export async function readInput(
  given: string | undefined,
  flags: { readonly file?: string },
  context: CommandContext,
  notes: string[],
): Promise<BuildInput> {
  let path = given;
  if (path === undefined) {
    if (flags.file === undefined)
      throw usage("'build' needs a context (a directory or -)", "did you mean: tsbuild build .");
    path = ".";
    notes.push("no context given, using the current directory");
  }
  if (path === "-") {
    if (flags.file === "-") throw usage("the Dockerfile and the context cannot both come from standard input");
    return readInputFromStdin(await readStandardInput(context), flags.file, context);
  }
  if (/^(?:[a-z]+:\/\/|git@)/.test(path))
    throw new TsbuildError({
      code: "UNSUPPORTED",
      what: `a remote context is not supported: ${withoutCredentials(path)}`,
      hint: "fetch it first and give its directory",
    });
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
      ignore: readIgnoreFile(folder, undefined),
    };
    return { source, dispose: nothingToDispose };
  }
  const dockerfile = findDockerfile(flags.file, folder, context.cwd);
  const source: Source = {
    dockerfile: { text: textOf(readDockerfile(dockerfile), dockerfile.shown), file: dockerfile.shown },
    context: buildContext,
    ignore: readIgnoreFile(folder, dockerfile.path),
  };
  return { source, dispose: nothingToDispose };
}

async function readInputFromStdin(
  bytes: Buffer,
  file: string | undefined,
  context: CommandContext,
): Promise<BuildInput> {
  const unpacked = await unpackContext(bytes, context);
  if (unpacked === undefined) {
    const text = textOf(bytes, "standard input");
    // `-f F -` with a Dockerfile on standard input: there is no place in which F could lie.
    if (file !== undefined) throw usage(`-f ${file} needs a context, and standard input is not a tar archive`);
    const source: Source = { dockerfile: { text, file: "Dockerfile" }, context: { kind: "empty" }, ignore: undefined };
    return { source, dispose: nothingToDispose };
  }
  try {
    // An archive is its own world: -f names a file inside it, and its ignore file does not apply.
    const dockerfile = findDockerfile(
      file === undefined ? undefined : resolve("/", file).slice(1),
      unpacked.path,
      unpacked.path,
    );
    const source: Source = {
      dockerfile: { text: textOf(readDockerfile(dockerfile), dockerfile.shown), file: dockerfile.shown },
      context: { kind: "directory", path: unpacked.path, temporary: true },
      ignore: undefined,
    };
    return { source, dispose: () => unpacked[Symbol.dispose]() };
  } catch (error) {
    unpacked[Symbol.dispose]();
    throw error;
  }
}

function withoutCredentials(url: string): string {
  return url.replace(/\/\/[^/@]*@/, "//").replace(/\?.*$/, "");
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
      throw new TsbuildError({
        code: "DOCKERFILE_NOT_FOUND",
        what: `${given} is a directory, not a Dockerfile`,
        hint: existsSync(join(path, "Dockerfile")) ? `-f ${join(given, "Dockerfile")}` : undefined,
      });
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

export function readDockerfile(dockerfile: FoundDockerfile): Buffer {
  try {
    return readFileSync(dockerfile.path);
  } catch (error) {
    throw new TsbuildError({
      code: errnoOf(error) === "EACCES" ? "PERMISSION_DENIED" : "DOCKERFILE_NOT_FOUND",
      what: `cannot read ${dockerfile.shown}: ${errnoOf(error) ?? "failed"}`,
      cause: error,
    });
  }
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
function readIgnoreFile(folder: string, dockerfile: string | undefined): BuildOptions["ignore"] {
  const own = dockerfile === undefined ? undefined : `${dockerfile}.dockerignore`;
  for (const path of own === undefined ? [join(folder, ".dockerignore")] : [own, join(folder, ".dockerignore")]) {
    try {
      return { text: readFileSync(path, "utf8"), file: basename(path) };
    } catch (error) {
      if (errnoOf(error) === "ENOENT") continue;
      throw new TsbuildError({
        code: errnoOf(error) === "EACCES" ? "PERMISSION_DENIED" : "INVALID_ARGUMENT",
        what: `cannot read ${basename(path)}: ${errnoOf(error) ?? "failed"}`,
        cause: error,
      });
    }
  }
  return undefined;
}

const usage = (what: string, hint?: string): TsbuildError => new TsbuildError({ code: "USAGE", what, hint });
