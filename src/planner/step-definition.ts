/**
 * A step's definition: its own effective input with the contents it takes from elsewhere, in canonical form. With the
 * parent's result it makes the cache key. Times of files, paths of this
 * machine and secrets stay out.
 */
import { assertNever, type Where } from "../errors.ts";
import { canonicalJson, type Json } from "../oci/canonical-json.ts";
import { type CacheKey, cacheKeyOf, type Digest, type ResultId, sha256 } from "../oci/digest.ts";
import { formatPlatform } from "../oci/platform.ts";
import { whereOf } from "../parser/position.ts";
import type { Chain, Store } from "../store/store.ts";
import type { BuildContexts } from "./build-contexts.ts";
import type {
  BuildGraph,
  CopyInput,
  CopySource,
  RunInput,
  RunMount,
  Step,
  StepId,
  TreeRef,
  WorkdirInput,
} from "./build-graph.ts";
import type { ContextOrigin, Observe } from "./context-origin.ts";
import { checkChecksum, type RemoteFile, verifyChecksum } from "./download.ts";
import { type GitSource, shownGitUrl } from "./git-url.ts";
import { layerOrigin } from "./layer-origin.ts";
import { missingInContext, missingInTree } from "./missing-source.ts";
import { emptyOrigin, type Origin } from "./origin.ts";
import { canonicalOwner } from "./owner-text.ts";
import type { FileRequest } from "./remote-files.ts";
import { type SelectionRequest, selectSources } from "./select-sources.ts";
import type { Selection } from "./selection.ts";
import { selectionLines } from "./selection-lines.ts";

export interface StepDefinition {
  readonly digest: Digest;
  /** The canonical JSON that was hashed. It lists the selected files with their digests, to explain a miss. */
  readonly input: string;
  /** COPY and ADD. */
  readonly selection: Selection | undefined;
  /** Instead of `selection`, where what is taken lies elsewhere and comes only for a step that runs. */
  readonly fetch?: () => Promise<Selection>;
  /** What each bind mount, and each cache mount with a `from`, shows: by target. */
  readonly mounts: ReadonlyMap<string, Selection>;
  /** `--link`, and nothing else, does not stand on its parent. */
  readonly needsParent: boolean;
}

export interface DefinitionContext {
  readonly graph: BuildGraph;
  readonly store: Store;
  readonly contexts: BuildContexts;
  /** The sealed layers of an image or of another step. Asked only for trees of `originsOf(step)`. */
  readonly chainOf: (tree: TreeRef) => Chain | Promise<Chain>;
  /** Epoch ms. */
  readonly now: number;
  readonly signal: AbortSignal;
  /** Told what is looked at in contexts. */
  readonly observe?: Observe;
}

/** Raised whenever an equal input would no longer give an equal result, or is written in another form. */
export const KEY_FORMAT = 1;

/** Trees that the definition needs the content of, beside the parent: images, steps and contexts. */
export function originsOf({ input }: Step): readonly TreeRef[] {
  switch (input.kind) {
    case "copy":
      return input.sources.some((source) => source.kind === "path") ? [input.from] : [];
    case "run":
      return input.mounts.flatMap((mount) => (mount.type === "bind" || mount.type === "cache" ? mount.from : []));
    case "workdir":
      return [];
    default:
      return assertNever(input);
  }
}

/** @throws {TsbuildError} `SOURCE_NOT_FOUND` and what opening a context throws, with the step's place */
export async function defineStep(step: Step, context: DefinitionContext): Promise<StepDefinition> {
  const { input } = step;
  switch (input.kind) {
    case "copy":
      return defineCopy(step, input, context);
    case "run":
      return defineRun(step, input, context);
    case "workdir":
      return definition(workdirJson(input), { selection: undefined, mounts: new Map(), needsParent: true });
    default:
      return assertNever(input);
  }
}

/** `parent`: of what the step stands on; undefined for the empty tree, and for a step that stands on nothing. */
export function cacheKey(
  parent: ResultId | undefined,
  { digest, needsParent }: Pick<StepDefinition, "digest" | "needsParent">,
): CacheKey {
  const below = needsParent ? parent : undefined;
  return cacheKeyOf(sha256(canonicalJson({ format: KEY_FORMAT, definition: digest, parent: below })));
}

/** The same step of the next edit of the same Dockerfile: counted among its kind within its stage. */
export function siteOf(graph: BuildGraph, step: Step): string {
  const stage = graph.stages.find((one) => one.index === step.stage);
  const same = graph.steps.filter((one) => one.stage === step.stage && one.input.kind === step.input.kind);
  const ordinal = same.findIndex((one) => one.id === step.id);
  const platform = graph.targets.length > 1 && stage !== undefined ? [formatPlatform(stage.platform)] : [];
  return [graph.site, graph.file, ...platform, stage?.name ?? step.stage, step.input.kind, ordinal].join("\n");
}

function definition(
  input: { readonly [key: string]: Json | undefined },
  rest: Omit<StepDefinition, "digest" | "input">,
): StepDefinition {
  const text = canonicalJson({ ...input, format: KEY_FORMAT });
  return { digest: sha256(text), input: text, ...rest };
}

// COPY, ADD ------------------------------------------------------------------------------------------------------

async function defineCopy(step: Step, input: CopyInput, context: DefinitionContext): Promise<StepDefinition> {
  const place = await openOrigin(input.from, step, context);
  const common = { ...place, unpackFetched: input.unpack === true, parents: input.parents, exclude: input.exclude };
  const files = await remoteFiles(step, input, context, (request) => context.contexts.look(request));
  // What git gives is known by its commit.
  const sources = input.sources.filter((source) => source.kind !== "git");
  const request = { ...common, sources, fetched: files, now: context.now };
  const selection = await selectSources(request, context.signal);
  const commits = await gitCommits(step, input, context);
  const isHere = commits.length === 0 && [...files.values()].every((file) => file.path !== undefined);
  return definition(
    {
      kind: "copy",
      instruction: input.instruction,
      destination: input.destination,
      chown: input.chown === undefined ? undefined : canonicalOwner(input.chown),
      chmod: input.chmod === undefined ? undefined : input.chmod.kind === "octal" ? input.chmod.mode : input.chmod.text,
      link: input.link || undefined,
      parents: input.parents || undefined,
      // For local sources not given and `true` mean the same, for a URL not given and `false`.
      unpack: input.instruction === "ADD" ? (input.unpack ?? !input.sources.some(isUrl)) : undefined,
      files: selection.lines,
      ...(commits.length > 0 && { commits, exclude: input.exclude, order: input.sources.map(({ kind }) => kind) }),
    },
    {
      selection: isHere ? selection : undefined,
      ...(!isHere && { fetch: () => fetchSelection(step, input, context, common) }),
      mounts: new Map(),
      needsParent: needsParent(input),
    },
  );
}

/** With --chmod a linked copy becomes a plain one. As in BuildKit. */
export function needsParent({ link, chmod }: CopyInput): boolean {
  return !(link && chmod === undefined);
}

function isUrl(source: CopySource): boolean {
  return source.kind === "url";
}

/** With the bytes of URLs and the files of repositories. */
async function fetchSelection(
  step: Step,
  input: CopyInput,
  context: DefinitionContext,
  common: Pick<SelectionRequest, "origin" | "missing" | "unpackFetched" | "parents" | "exclude">,
): Promise<Selection> {
  const { contexts, signal, now } = context;
  const where = whereOf(context.graph, step.range);
  const checkouts = gitSources(input).map((source) => contexts.checkout(source, { where, signal }));
  const fetched = await remoteFiles(step, input, context, (request) => contexts.fetch(request));
  const request = { ...common, sources: input.sources, fetched, checkouts: await Promise.all(checkouts), now };
  return await selectSources(request, signal);
}

/** One after the other would be slow, so all at once. */
async function remoteFiles(
  step: Step,
  input: CopyInput,
  context: DefinitionContext,
  get: (request: FileRequest) => Promise<RemoteFile>,
): Promise<ReadonlyMap<string, RemoteFile>> {
  const where = whereOf(context.graph, step.range);
  const { checksum } = input;
  if (checksum !== undefined) checkChecksum(checksum, where);
  const files = input.sources.map(async (source) => {
    if (source.kind !== "url") return undefined;
    const file = await get({ url: source.url, checksum, where, signal: context.signal });
    if (checksum !== undefined) verifyChecksum(checksum, file, source.url, where);
    return [source.url, file] as const;
  });
  return new Map((await Promise.all(files)).filter((pair) => pair !== undefined));
}

function gitSources(input: CopyInput): readonly GitSource[] {
  return input.sources.flatMap((source) => (source.kind === "git" ? source.source : []));
}

/** `6ce541b… /docs .git`: what a checkout depends on. With its `.git` it also holds where it came from. */
async function gitCommits(step: Step, input: CopyInput, context: DefinitionContext): Promise<readonly string[]> {
  const where = whereOf(context.graph, step.range);
  const commits = gitSources(input).map(async (source) => {
    const { id, name, tag } = await context.contexts.commit(source, { where, signal: context.signal });
    const dir = source.keepGitDir ? [".git", shownGitUrl(source), name ?? "", ...(tag === undefined ? [] : [tag])] : [];
    return [id, source.folder, ...dir, ...(source.submodules ? [] : ["without submodules"])].join(" ").trim();
  });
  return await Promise.all(commits);
}

interface OpenOrigin {
  readonly origin: Origin;
  readonly missing: Parameters<typeof selectSources>[0]["missing"];
}

async function openOrigin(from: TreeRef, step: Step, context: DefinitionContext): Promise<OpenOrigin> {
  const where: Where = whereOf(context.graph, step.range);
  switch (from.kind) {
    case "scratch":
      return { origin: emptyOrigin, missing: (path) => missingInTree(emptyOrigin, path, "an empty tree", where) };
    case "context": {
      const origin: ContextOrigin | undefined = await context.contexts.open(from.name, where, context.signal);
      if (origin === undefined)
        return {
          origin: emptyOrigin,
          missing: (path) => missingInTree(emptyOrigin, path, "the context, which has no files", where),
        };
      return {
        origin: context.observe === undefined ? origin : origin.watched(context.observe),
        missing: (path) => missingInContext(origin, path, where, from.name),
      };
    }
    case "image":
    case "step": {
      const origin = layerOrigin(context.store, await context.chainOf(from));
      const title = from.kind === "image" ? `the image ${from.image.name}` : stageTitle(context.graph, from.step);
      return { origin, missing: (path) => missingInTree(origin, path, title, where) };
    }
    default:
      return assertNever(from);
  }
}

function stageTitle(graph: BuildGraph, id: StepId): string {
  const index = graph.steps.find((step) => step.id === id)?.stage;
  const stage = graph.stages.find((one) => one.index === index);
  return `the stage ${stage?.name ?? index}`;
}

// RUN ------------------------------------------------------------------------------------------------------------

async function defineRun(step: Step, input: RunInput, context: DefinitionContext): Promise<StepDefinition> {
  const mounts = new Map<string, Selection>();
  const keyed: Json[] = [];
  for (const mount of input.mounts) {
    const selection = await mountSelection(mount, step, context);
    if (selection !== undefined && mount.target !== undefined) mounts.set(mount.target, selection);
    keyed.push(mountJson(mount, selection));
  }
  return definition(
    {
      kind: "run",
      platform: formatPlatform(step.platform),
      argv: input.argv,
      env: input.env,
      cwd: input.cwd,
      user: input.user,
      network: input.network,
      security: input.security,
      hostname: input.hostname,
      extraHosts: input.extraHostNames,
      shmSize: input.shmSizeBytes,
      ulimits: input.ulimits.map(({ name, soft, hard }) => `${name}=${soft}:${hard}`),
      cgroupParent: input.cgroupParent,
      devices:
        input.devices.length === 0
          ? undefined
          : input.devices.map(({ name, required }) => (required ? `${name},required` : name)),
      mounts: keyed,
      // Their names stand in argv.
      scripts: input.scripts.map((script) => script.content),
    },
    { selection: undefined, mounts, needsParent: true },
  );
}

async function mountSelection(mount: RunMount, step: Step, context: DefinitionContext): Promise<Selection | undefined> {
  if (mount.type !== "bind" && mount.type !== "cache") return undefined;
  if (mount.type === "cache" && mount.from.kind === "scratch") return undefined;
  const place = await openOrigin(mount.from, step, context);
  return selectSources(
    {
      ...place,
      sources: [{ kind: "path", path: mount.source }],
      fetched: new Map(),
      unpackFetched: false,
      parents: false,
      exclude: [],
      now: context.now,
    },
    context.signal,
  );
}

/** A bind counts by content and not by path, a cache by what it is and not what is in it. */
function mountJson(mount: RunMount, selection: Selection | undefined): Json {
  // The name of what is shown is the target's, so it is left out.
  const files = selection?.sources.flatMap((source) => selectionLines({ ...source, basename: unnamed }));
  switch (mount.type) {
    case "bind":
      return { type: "bind", target: mount.target, readonly: mount.readonly, files };
    case "cache":
      return {
        type: "cache",
        target: mount.target,
        readonly: mount.readonly,
        id: isDefaultId(mount.id, mount.target) ? undefined : "named",
        sharing: mount.sharing === "shared" ? undefined : "exclusive",
        mode: mount.mode,
        owner: `${mount.uid}:${mount.gid}`,
        files,
      };
    case "tmpfs":
      return { type: "tmpfs", target: mount.target, readonly: mount.readonly, size: mount.sizeBytes };
    case "secret":
      return {
        type: "secret",
        target: mount.target,
        env: mount.env,
        id: mount.id,
        required: mount.required,
        mode: mount.mode,
        owner: `${mount.uid}:${mount.gid}`,
      };
    case "ssh":
      return {
        type: "ssh",
        target: mount.target,
        id: mount.id,
        required: mount.required,
        mode: mount.mode,
        owner: `${mount.uid}:${mount.gid}`,
      };
    default:
      return assertNever(mount);
  }
}

const unnamed = "" as Selection["sources"][number]["basename"];

/** The default is the target as written, which may be relative to the workdir, below a namespace. */
function isDefaultId(id: string, target: string): boolean {
  return id === target || target.endsWith(`/${id}`) || id.endsWith(target);
}

// WORKDIR --------------------------------------------------------------------------------------------------------

function workdirJson(input: WorkdirInput): { readonly [key: string]: Json | undefined } {
  return {
    kind: "workdir",
    path: input.path,
    user: input.user === "" ? undefined : canonicalOwner(input.user),
    epoch: input.sourceDateEpoch,
  };
}
