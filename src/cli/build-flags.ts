/**
 * The flags of `build`, declared once for `build`, `plan` and `cache why`, and read into the value that the library
 * takes: files, environment and standard input are looked at here and nowhere else.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import { type Command, Option } from "commander";
import { errnoOf, TsbuildError } from "../errors.ts";
import { type Platform, parsePlatform } from "../oci/platform.ts";
import { parseReference, parseReferenceAsWritten, type Reference } from "../oci/reference.ts";
import type { BuildContext, BuildOptions, NamedContext, SecretSource } from "../planner/build-options.ts";
import type { CommandContext } from "./command.ts";
import { readStandardInput, unpackContext } from "./context-archive.ts";
import { nearestWord } from "./nearest-word.ts";

/** What was asked: the library's options, and what the command itself does with the result. */
export interface BuildRequest extends Disposable {
  readonly options: BuildOptions;
  readonly tags: readonly Reference[];
  readonly progress: ProgressMode;
  readonly quiet: boolean;
  /** Absolute. */
  readonly iidFile: string | undefined;
  /** Absolute. */
  readonly metadataFile: string | undefined;
  /** Ask the registry for each FROM again. */
  readonly pull: boolean;
  /** Steps at once. */
  readonly jobs: number;
  /** Said before the build starts: what was assumed, which flags have no effect. */
  readonly notes: readonly string[];
}

export type ProgressMode = "auto" | "tty" | "plain" | "quiet" | "json";

/** Flags of the classic builder that mean nothing here; taken so that old command lines work. */
const ignoredFlags = ["--rm", "--force-rm", "--compress", "--load", "--disable-content-trust"] as const;

/** commander starts an option whose name begins with `no-` at true. */
const collect = (value: string, before: readonly string[] | boolean | undefined): readonly string[] => [
  ...(typeof before === "object" ? before : []),
  value,
];

/** Declares argument and flags of `build`. */
export function defineBuildFlags(command: Command): void {
  const list = (flags: string, description: string): Option => new Option(flags, description).argParser(collect);
  command
    .argument("[context]", "a directory, or - for a Dockerfile or a tar on standard input")
    .option("-f, --file <file>", "the Dockerfile (default: Dockerfile in the context; - for standard input)")
    .addOption(list("-t, --tag <name>", "name the image (repeatable)"))
    .option("--target <stage>", "build this stage, and what it needs")
    .addOption(list("--build-arg <key[=value]>", "value of an ARG; without =value taken from the environment"))
    .addOption(list("--build-context <name=value>", "a further context: a directory or docker-image://reference"))
    .option("--platform <platform>", "os/arch[/variant] to build for")
    .addOption(list("--label <key=value>", "label of the image"))
    .option("--no-cache", "run every step; results are still recorded")
    .addOption(list("--no-cache-filter <stage>", "the same for these stages (comma-separated)"))
    .option("--pull", "ask the registry for every FROM again")
    .addOption(list("--secret <spec>", "id=NAME[,src=FILE|,env=VARIABLE]"))
    .option("--network <mode>", "network of RUN steps: default, none, host")
    .addOption(list("--add-host <name:address>", "a line for /etc/hosts of RUN steps"))
    .option("--shm-size <size>", "size of /dev/shm of RUN steps")
    .addOption(list("--ulimit <name=soft[:hard]>", "resource limit of RUN steps"))
    .option("-m, --memory <size>", "memory limit of RUN steps")
    .option("--cgroup-parent <path>", "cgroup that RUN steps are placed below")
    .addOption(list("--allow <entitlement>", "network.host"))
    .option("--iidfile <file>", "write the image's ID here")
    .option("--metadata-file <file>", "write what was built here, as JSON")
    .option("--progress <mode>", "auto, tty, plain, quiet, json")
    .option("-q, --quiet", "print only the image's ID")
    .option("-j, --jobs <number>", "steps at once (default: the number of processors)");
  for (const flag of ignoredFlags) command.addOption(new Option(flag).hideHelp());
}

/** What commander makes of the flags above. */
interface BuildFlags {
  readonly file?: string;
  readonly tag?: readonly string[];
  readonly target?: string;
  readonly buildArg?: readonly string[];
  readonly buildContext?: readonly string[];
  readonly platform?: string;
  readonly label?: readonly string[];
  /** `--no-cache` makes it false. */
  readonly cache?: boolean;
  /** `--no-cache-filter`: commander takes the `no` away, and starts it at true. */
  readonly cacheFilter?: readonly string[] | boolean;
  readonly pull?: boolean;
  readonly secret?: readonly string[];
  readonly network?: string;
  readonly addHost?: readonly string[];
  readonly shmSize?: string;
  readonly ulimit?: readonly string[];
  readonly memory?: string;
  readonly cgroupParent?: string;
  readonly allow?: readonly string[];
  readonly iidfile?: string;
  readonly metadataFile?: string;
  readonly progress?: string;
  readonly quiet?: boolean;
  readonly jobs?: string;
}

/**
 * Reads the flags, the Dockerfile and the ignore file. Dispose it when the build is over: a context that came as a tar
 * lies in a temporary folder of the store.
 * @throws {TsbuildError} `USAGE`, `CONTEXT_NOT_FOUND`, `DOCKERFILE_NOT_FOUND`, `INVALID_…`
 */
export async function readBuildRequest(command: Command, context: CommandContext): Promise<BuildRequest> {
  // Safe: these are the very names that defineBuildFlags declares.
  const flags = command.opts() as BuildFlags;
  const { DOCKER_DEFAULT_PLATFORM, BUILDKIT_PROGRESS } = context.environment;
  const notes: string[] = [];
  const input = await readInput(command.args[0], flags, context, notes);
  try {
    const quiet = flags.quiet ?? false;
    return {
      options: {
        ...input.source,
        namedContexts: parseNamedContexts(flags.buildContext ?? [], context.cwd),
        target: flags.target,
        buildArgs: parseBuildArgs(flags.buildArg ?? [], context.environment),
        labels: parsePairs("--label", flags.label ?? []),
        platform: parseBuildPlatform(flags.platform ?? (DOCKER_DEFAULT_PLATFORM || undefined)),
        noCache: flags.cache === false,
        noCacheFilter: commaLists(typeof flags.cacheFilter === "object" ? flags.cacheFilter : []).map((name) =>
          name.toLowerCase(),
        ),
        network: parseNetwork(flags.network),
        extraHosts: (flags.addHost ?? []).map(parseExtraHost),
        shmSizeBytes: flags.shmSize === undefined ? undefined : parseSize("--shm-size", flags.shmSize),
        ulimits: (flags.ulimit ?? []).map(parseUlimit),
        memoryBytes: flags.memory === undefined ? undefined : parseSize("--memory", flags.memory),
        cgroupParent: flags.cgroupParent,
        allow: flags.allow ?? [],
        secrets: parseSecrets(flags.secret ?? [], context),
      },
      tags: (flags.tag ?? []).map(parseTag),
      progress: quiet ? "quiet" : parseProgress(flags.progress ?? (BUILDKIT_PROGRESS || "auto")),
      quiet,
      iidFile: flags.iidfile === undefined ? undefined : resolve(context.cwd, flags.iidfile),
      metadataFile: flags.metadataFile === undefined ? undefined : resolve(context.cwd, flags.metadataFile),
      pull: flags.pull ?? false,
      jobs: flags.jobs === undefined ? availableParallelism() : parseJobs(flags.jobs),
      notes,
      [Symbol.dispose]: input.dispose,
    };
  } catch (error) {
    input.dispose();
    throw error;
  }
}

// Context and Dockerfile -----------------------------------------------------------------------------------------

type Source = Pick<BuildOptions, "dockerfile" | "context" | "ignore">;

interface Input {
  readonly source: Source;
  readonly dispose: () => void;
}

const usage = (what: string, hint?: string): TsbuildError => new TsbuildError({ code: "USAGE", what, hint });

const nothingToDispose = (): void => undefined;

async function readInput(
  given: string | undefined,
  flags: BuildFlags,
  context: CommandContext,
  notes: string[],
): Promise<Input> {
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

async function readInputFromStdin(bytes: Buffer, file: string | undefined, context: CommandContext): Promise<Input> {
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

/** Source: LANGUAGE rule 1.1.7; `Containerfile` is podman's name for it. */
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

/** `NAME.dockerignore` beside the Dockerfile hides the context's `.dockerignore` entirely. Source: LANGUAGE §3.6. */
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

// Values of single flags -----------------------------------------------------------------------------------------

function invalidFlag(flag: string, value: string, why: string, hint?: string): TsbuildError {
  return usage(`invalid argument ${JSON.stringify(value)} for ${flag}: ${why}`, hint);
}

function splitPair(text: string): readonly [string, string | undefined] {
  const at = text.indexOf("=");
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function commaLists(values: readonly string[]): readonly string[] {
  return values.flatMap((value) => value.split(",")).filter((value) => value !== "");
}

/** A bare key takes the caller's value and is dropped when there is none. Source: LANGUAGE rule 2.7.7. */
function parseBuildArgs(
  values: readonly string[],
  environment: CommandContext["environment"],
): ReadonlyMap<string, string> {
  const args = new Map<string, string>();
  for (const text of values) {
    const [key, value] = splitPair(text);
    if (key === "") throw invalidFlag("--build-arg", text, "the name is empty");
    const taken = value ?? environment[key];
    if (taken !== undefined) args.set(key, taken);
  }
  return args;
}

function parsePairs(flag: string, values: readonly string[]): ReadonlyMap<string, string> {
  const pairs = new Map<string, string>();
  for (const text of values) {
    const [key, value] = splitPair(text);
    if (key === "") throw invalidFlag(flag, text, "the name is empty");
    pairs.set(key, value ?? "");
  }
  return pairs;
}

/** Whether a value is usable is decided where it is used: an unused context is never looked at. */
function parseNamedContexts(values: readonly string[], cwd: string): ReadonlyMap<string, NamedContext> {
  const contexts = new Map<string, NamedContext>();
  for (const text of values) {
    const [name, value] = splitPair(text);
    if (name === "" || value === undefined || value === "")
      throw invalidFlag("--build-context", text, "must be name=value");
    const image = /^docker-image:\/\/(.*)$/s.exec(value)?.[1];
    contexts.set(
      name.toLowerCase(),
      image !== undefined
        ? { kind: "image", reference: image }
        : { kind: "directory", path: /^[a-z-]+:\/\//.test(value) ? value : resolve(cwd, value) },
    );
  }
  return contexts;
}

function parseBuildPlatform(text: string | undefined): Platform | undefined {
  if (text === undefined) return undefined;
  if (text.includes(","))
    throw new TsbuildError({
      code: "UNSUPPORTED",
      what: "building for several platforms at once is not supported",
      hint: "build one platform at a time",
    });
  return parsePlatform(text);
}

function parseNetwork(text: string | undefined): BuildOptions["network"] {
  switch (text) {
    case undefined:
    case "":
    case "default":
      return "default";
    case "none":
    case "host":
      return text;
    default:
      throw invalidFlag("--network", text, "must be default, none or host");
  }
}

/** `NAME:ADDRESS` or `NAME=ADDRESS`; an IPv6 address may stand in brackets. */
function parseExtraHost(text: string): { readonly name: string; readonly address: string } {
  const match = /^([^:=]+)[:=](.+)$/s.exec(text);
  const address = match?.[2]?.replace(/^\[(.*)\]$/s, "$1") ?? "";
  const valid =
    address === "host-gateway" ||
    /^[0-9]{1,3}(?:\.[0-9]{1,3}){3}$/.test(address) ||
    /^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$/.test(address);
  if (match?.[1] === undefined || !valid) throw invalidFlag("--add-host", text, "must be name:address");
  return { name: match[1].toLowerCase(), address };
}

/** Bytes, in powers of 1024. Source: SURFACE §3.5. */
export function parseSize(flag: string, text: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)\s*([kmgtp]?)(?:i?b)?$/i.exec(text.trim());
  if (match?.[1] === undefined) throw usage(`invalid size for ${flag}: '${text}'`, "such as 64m or 1.5g");
  const power = ["", "k", "m", "g", "t", "p"].indexOf((match[2] ?? "").toLowerCase());
  return Math.floor(Number(match[1]) * 1024 ** power);
}

function parseUlimit(text: string): BuildOptions["ulimits"][number] {
  const match = /^([a-z]+)=(-?[0-9]+)(?::(-?[0-9]+))?$/.exec(text);
  if (match?.[1] === undefined) throw invalidFlag("--ulimit", text, "must be name=soft[:hard]");
  const soft = Number(match[2]);
  const hard = match[3] === undefined ? soft : Number(match[3]);
  if (hard !== -1 && (soft === -1 || soft > hard))
    throw invalidFlag("--ulimit", text, "the soft limit is above the hard limit");
  return { name: match[1], soft, hard };
}

const maxSecretBytes = 500 * 1024;

/** Source: LANGUAGE §9.3. Everything is looked at before anything runs. */
function parseSecrets(values: readonly string[], context: CommandContext): ReadonlyMap<string, SecretSource> {
  const secrets = new Map<string, SecretSource>();
  for (const text of values) {
    const fields = new Map(text.split(",").map(splitPair));
    for (const key of fields.keys())
      if (!["id", "src", "source", "env", "type"].includes(key))
        throw invalidFlag("--secret", text, `unexpected key '${key}'`, "id=NAME[,src=FILE|,env=VARIABLE]");
    const type = fields.get("type");
    const file = fields.get("src") ?? fields.get("source");
    const id = fields.get("id") || (file === undefined ? fields.get("env") : basename(file));
    if (id === undefined || id === "")
      throw invalidFlag("--secret", text, "id is missing", "--secret id=NAME,src=FILE");
    if (type !== undefined && type !== "file" && type !== "env")
      throw invalidFlag("--secret", text, `unsupported type '${type}'`, "the types are file and env");
    const variable = fields.get("env") ?? (type === "env" ? (file ?? id) : undefined);
    secrets.set(id, secretSource(id, variable, file, type, context));
  }
  return secrets;
}

function secretSource(
  id: string,
  variable: string | undefined,
  file: string | undefined,
  type: string | undefined,
  context: CommandContext,
): SecretSource {
  const bare = variable === undefined && file === undefined && type === undefined;
  const named = variable ?? (bare && context.environment[id] !== undefined ? id : undefined);
  if (named !== undefined) {
    const value = context.environment[named];
    if (value === undefined) throw usage(`secret ${id}: the variable ${named} is not set`);
    if (Buffer.byteLength(value) > maxSecretBytes) throw usage(`secret ${id} is larger than 500 KiB`);
    return { kind: "environment", value };
  }
  const path = resolve(context.cwd, file ?? id);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isFile())
    throw usage(
      `secret ${id}: no such file: ${file ?? id}`,
      "--secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE",
    );
  if (stat.size > maxSecretBytes) throw usage(`secret ${id} is larger than 500 KiB`);
  return { kind: "file", path };
}

function parseTag(text: string): Reference {
  if (parseReferenceAsWritten(text).digest !== undefined)
    throw usage(`invalid tag ${JSON.stringify(text)}: a tag has no digest`);
  return parseReference(text);
}

function parseProgress(text: string): ProgressMode {
  switch (text) {
    case "auto":
    case "tty":
    case "plain":
    case "quiet":
    case "json":
      return text;
    default:
      throw invalidFlag("--progress", text, "must be auto, tty, plain, quiet or json");
  }
}

function parseJobs(text: string): number {
  const jobs = Number(text);
  if (!Number.isSafeInteger(jobs) || jobs < 1) throw invalidFlag("--jobs", text, "must be a number from 1");
  return jobs;
}
