/**
 * A build: from options to an image. Each step starts as soon as what it stands on and takes from is there; cache lookups
 * happen as results arrive; layers are sealed (hashed, recorded) beside the steps that follow.
 *
 * A step has three moments. *Committed*: its tree is a folder that others can stand on. *Sealed*: its digests are known, so
 * steps above it can be keyed. *Recorded*: the cache knows it. A step whose definition has no record cannot hit and waits
 * for committed parents only.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type PQueue from "p-queue";
import { boundGraph } from "../checks/bound-graph.ts";
import { storedBase } from "../checks/stored-bases.ts";
import type { FindBase } from "../checks/walk-stages.ts";
import { type CacheKey, type Digest, type ImageId, type ResultId, resultId, sha256 } from "../oci/digest.ts";
import type { Timestamp } from "../oci/image-config.ts";
import { timestampOfMs } from "../oci/image-config-json.ts";
import { whereOf } from "../parser/position.ts";
import { BuildContexts } from "../planner/build-contexts.ts";
import type { BuildGraph, GraphTarget, ResolvedImage, Step, StepId, TreeRef } from "../planner/build-graph.ts";
import type { BuildOptions, ResolveImage } from "../planner/build-options.ts";
import { withAllMissing } from "../planner/missing-sources.ts";
import { type KnownDefinition, knownDefinition } from "../planner/remembered-definition.ts";
import { parseRemembered } from "../planner/remembered-parse.ts";
import { cacheKey, type StepDefinition, siteOf } from "../planner/step-definition.ts";
import type { Driver } from "../runtime/driver.ts";
import { BuildNetworks } from "../runtime/network/build-network.ts";
import type { FoldedTar } from "../store/folded-layer.ts";
import type { Chain, LayerId, LayerRecord, Lease, NewCacheRecord, Store, UnsealedLayer } from "../store/store.ts";
import { type BuildChecks, buildWarnings, mayReject, rejectWarnings, remembered } from "./build-checks.ts";
import { finishTarget } from "./commit-image.ts";
import { ContextFiles } from "./context-files.ts";
import { haveEqualTimes } from "./equal-times.ts";
import { layersNeedRoot } from "./errors.ts";
import type { BuildEvent, BuildSummary } from "./events.ts";
import type { ExternalCache } from "./external-cache.ts";
import type { FinishedTarget } from "./finished-target.ts";
import type { GrantedDevices } from "./granted-devices.ts";
import { type ReusableFiles, reusableFiles } from "./reusable-files.ts";
import { StepFailed } from "./step-failed.ts";

export interface BuildEnvironment {
  readonly store: Store;
  /** Asked when the first RUN runs: a build that is all cached needs no runtime. */
  readonly driver: () => Promise<Driver>;
  readonly resolveImage: ResolveImage;
  /** Asked in this order for steps that the store does not know. */
  readonly externalCaches?: readonly ExternalCache[];
  /**
   * What becomes of the result, one target for each platform: called once, when all steps are done and while all layers
   * are held. Returns the images that the store has now.
   */
  readonly finish: (
    targets: readonly FinishedTarget[],
    made: MadeBuild,
  ) => Promise<readonly ImageId[]> | readonly ImageId[];
  readonly onEvent: (event: BuildEvent) => void;
  /** `finish` looks into the trees of layers: none is left to be made later. */
  readonly wantsTrees?: boolean;
  /** Steps at once. */
  readonly jobs: number;
  /** Epoch ms. */
  readonly now: () => number;
  /** `--debug`: each container's program of system calls. */
  readonly trace?: ((text: string) => void) | undefined;
  /** Where RUN --device looks; absent: the system's folders. */
  readonly deviceSpecFolders?: readonly string[] | undefined;
  /** Abort ends every container of the build at once. */
  readonly signal: AbortSignal;
}

/** What there is of a build beside its results. */
export interface MadeBuild {
  readonly graph: BuildGraph;
  /** Of all steps. */
  readonly keys: readonly CacheKey[];
  /** Where files came from; what was asked is remembered. */
  readonly contexts: BuildContexts;
  /** Any stage of the graph, as if it were a target. */
  readonly finishStage: (target: GraphTarget) => Promise<FinishedTarget>;
}

export interface BuildResult {
  /** In the order of the platforms. */
  readonly targets: readonly FinishedTarget[];
  readonly summary: BuildSummary;
}

/**
 * Builds, records each step, and hands over what was made.
 * @throws {TsbuildError} `DOCKERFILE_INVALID` and what the planner throws; `StepFailed`; the signal's reason on abort
 */
export async function build(options: BuildOptions, environment: BuildEnvironment): Promise<BuildResult> {
  const started = environment.now();
  const parsed = await parseRemembered(options.dockerfile, environment.store.memo);
  const resolveImage = remembered(environment.resolveImage);
  const findBase: FindBase = async (name) => storedBase(environment.store, name);
  using contexts = new BuildContexts(options, environment.store, async (source) =>
    (await import("./ssh/open-agent.ts")).openAgent(source),
  );
  const graph = await boundGraph({
    parsed,
    options,
    resolveImage,
    findBase,
    resolveTime: async (source, where) =>
      (await import("./source-time.ts")).timesIn(contexts, environment.signal)(source, where),
  });
  const devices = await grantedDevices(graph, options, environment);
  const { onEvent, now } = environment;
  const checks: BuildChecks = { parsed, options, resolveImage };
  const early = mayReject(checks) ? await rejectWarnings(checks) : undefined;
  onEvent({
    kind: "plan",
    steps: graph.steps.map(({ id, label, text }) => ({ id, label, text })),
    time: now(),
  });
  for (const diagnostic of [...parsed.diagnostics, ...graph.warnings].filter(
    ({ code }) => code !== "NoEmptyContinuation",
  ))
    onEvent({ kind: "warning", diagnostic, time: now() });
  for (const id of unusedSecrets(graph, options))
    onEvent({ kind: "note", text: `warning: no RUN mounts the secret ${id}`, time: now() });
  using lease = environment.store.lease("build");
  using networks = new BuildNetworks(
    () => environment.store.temporaryFolder("network"),
    (text) => onEvent({ kind: "note", text, time: now() }),
  );
  const execution = new Execution({ graph, options, environment, lease, networks, devices, contexts });
  const tellWarnings = async (): Promise<void> => {
    const warnings = early ?? (await buildWarnings(checks));
    if (warnings.length > 0) onEvent({ kind: "checks", dockerfile: parsed.dockerfile, warnings, time: now() });
  };
  const targets = await execution.run().catch(async (error: unknown) => {
    // A variable that nobody has set may be why.
    if (environment.signal.aborted) throw error;
    await tellWarnings();
    const { signal } = environment;
    throw await withAllMissing(error, { dockerfile: parsed.dockerfile, graph, contexts, signal });
  });
  const images = await environment.finish(targets, {
    keys: [...execution.keys],
    graph,
    contexts,
    finishStage: (target) => execution.finished(target),
  });
  await tellWarnings();
  // What the outputs have made of them: --squash leaves fewer.
  const stored = images.flatMap((id) => environment.store.images.get(id) ?? []);
  const layers = (stored.length === targets.length ? stored : targets).flatMap(({ chain }) => chain);
  const summary: BuildSummary = {
    steps: graph.steps.length,
    hits: execution.hits,
    sizeBytes: layers.reduce((sum, layer) => sum + environment.store.layers.get(layer).sizeBytes, 0),
    layers: layers.length,
    durationMs: now() - started,
  };
  onEvent({ kind: "done", images, summary, time: now() });
  return { targets, summary };
}

/** Most builds ask for none, and load nothing of it. */
async function grantedDevices(
  graph: BuildGraph,
  options: BuildOptions,
  { deviceSpecFolders }: BuildEnvironment,
): Promise<GrantedDevices> {
  if (!graph.steps.some(({ input }) => input.kind === "run" && input.devices.length > 0)) return new Map();
  const { grantDevices } = await import("./granted-devices.ts");
  return await grantDevices(graph, options.allow, deviceSpecFolders);
}

function unusedSecrets(graph: BuildGraph, { secrets }: BuildOptions): readonly string[] {
  const used = new Set<string>();
  for (const { input } of graph.steps)
    if (input.kind === "run") for (const mount of input.mounts) if (mount.type === "secret") used.add(mount.id);
  return [...secrets.keys()].filter((id) => !used.has(id) && !fetchSecret.test(id));
}

/** Those that git repositories and URLs are asked with, if any are. */
const fetchSecret = /^(?:GIT_AUTH_(?:TOKEN|HEADER)(?:\..+)?|HTTP_AUTH_(?:TOKEN|HEADER)_.+)$/;

/** A tree that steps can stand on. */
interface Tree {
  readonly chain: Chain;
  /** What made it, from the base up: equal for equal steps on equal bases, without knowing any result. */
  readonly lineage: Digest;
  readonly sealed: Promise<SealedTree>;
}

interface SealedTree {
  /** With layers of earlier builds in place of new ones that hold the same. */
  readonly chain: Chain;
  readonly result: ResultId | undefined;
}

interface OwnLayer {
  readonly layer: LayerId;
  readonly sealed: Promise<SealedLayer>;
}

interface SealedLayer {
  readonly layer: LayerId;
  readonly created: Timestamp;
}

interface Place {
  readonly step: Step;
  readonly parent: Tree;
  readonly definition: KnownDefinition;
}

interface ExecutionParts {
  readonly graph: BuildGraph;
  readonly options: BuildOptions;
  readonly environment: BuildEnvironment;
  readonly lease: Lease;
  readonly networks: BuildNetworks;
  readonly devices: GrantedDevices;
  readonly contexts: BuildContexts;
}

class Execution {
  hits = 0;
  /** Of all steps that are done. */
  readonly keys: Set<CacheKey> = new Set();
  readonly #graph: BuildGraph;
  readonly #options: BuildOptions;
  readonly #environment: BuildEnvironment;
  readonly #store: Store;
  readonly #lease: Lease;
  readonly #networks: BuildNetworks;
  readonly #devices: GrantedDevices;
  #queue: PQueue | undefined;
  readonly #contexts: BuildContexts;
  readonly #contextFiles: ContextFiles;
  readonly #stop = new AbortController();
  readonly #trees = new Map<StepId, Promise<Tree>>();
  readonly #layers = new Map<Digest, Promise<OwnLayer>>();
  readonly #created = new Map<StepId, Promise<SealedLayer>>();
  readonly #background: Promise<unknown>[] = [];
  readonly #unsealed: UnsealedLayer[] = [];
  readonly #running = new Set<StepId>();

  constructor({ graph, options, environment, lease, networks, devices, contexts }: ExecutionParts) {
    this.#graph = graph;
    this.#options = options;
    this.#environment = environment;
    this.#store = environment.store;
    this.#lease = lease;
    this.#networks = networks;
    this.#devices = devices;
    this.#contexts = contexts;
    this.#contextFiles = new ContextFiles(this.#contexts, environment.store);
  }

  async run(): Promise<readonly FinishedTarget[]> {
    const { signal } = this.#environment;
    const abort = (): void => this.#stop.abort(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    try {
      signal.throwIfAborted();
      for (const step of this.#graph.steps) this.#trees.set(step.id, this.#tree(step));
      await Promise.all(this.#trees.values());
      await Promise.all(this.#background);
      this.#contexts.save();
      return await Promise.all(this.#graph.targets.map((target) => this.finished(target)));
    } catch (error) {
      this.#stop.abort(error);
      // Whatever still runs ends now, and nothing is left behind before the error is told.
      await Promise.allSettled(this.#trees.values());
      await Promise.allSettled(this.#background);
      for (const layer of this.#unsealed) await layer[Symbol.asyncDispose]();
      throw signal.aborted ? signal.reason : (this.#failure ?? error);
    } finally {
      this.#contextFiles[Symbol.dispose]();
      signal.removeEventListener("abort", abort);
    }
  }

  #failure: unknown;

  /** The first error is the build's; those that follow from it are not told. */
  #fail(error: unknown): never {
    if (!this.#stop.signal.aborted) {
      this.#failure = error;
      this.#stop.abort(error);
    }
    throw error;
  }

  // Trees -----------------------------------------------------------------------------------------------------------

  async #tree(step: Step): Promise<Tree> {
    try {
      const parent = await this.#treeOf(step.parent);
      const definition = await this.#define(step);
      this.#stop.signal.throwIfAborted();
      const lineage = sha256(`${definition.needsParent ? parent.lineage : ""} ${definition.digest}`);
      const known = this.#layers.get(lineage);
      const own = known ?? this.#ownLayer({ step, parent, definition }, lineage);
      if (known === undefined) this.#layers.set(lineage, own);
      const { layer, sealed } = await own;
      if (known !== undefined) await this.#reuse({ step, parent, definition }, sealed);
      this.#created.set(step.id, sealed);
      const tree = { chain: [...parent.chain, layer], lineage, sealed: this.#sealedTree(parent, sealed) };
      this.#watch(tree.sealed);
      return tree;
    } catch (error) {
      return this.#fail(error);
    }
  }

  async #treeOf(ref: TreeRef): Promise<Tree> {
    switch (ref.kind) {
      case "step": {
        const tree = this.#trees.get(ref.step);
        if (tree === undefined) throw new Error(`step ${ref.step} stands behind one that needs it`);
        return await tree;
      }
      case "image":
        return this.#imageTree(ref.image);
      case "scratch":
      case "context":
        return emptyTree;
    }
  }

  #imageTree(image: ResolvedImage): Tree {
    this.#lease.addLayers(image.chain);
    const result = this.#store.layers.resultId(image.chain);
    const lineage = sha256(`image ${result ?? ""}`);
    return { chain: image.chain, lineage, sealed: Promise.resolve({ chain: image.chain, result }) };
  }

  async #sealedTree(parent: Tree, own: Promise<SealedLayer>): Promise<SealedTree> {
    const [below, { layer }] = await Promise.all([parent.sealed, own]);
    const { contentDigest } = this.#store.layers.get(layer);
    return { chain: [...below.chain, layer], result: resultId(below.result, contentDigest) };
  }

  // One step --------------------------------------------------------------------------------------------------------

  async #ownLayer(place: Place, lineage: Digest): Promise<OwnLayer> {
    const { step } = place;
    const hit = step.noCache ? undefined : await this.#lookup(place);
    if (hit !== undefined) return hit;
    // What only a step that runs needs is loaded here.
    const [{ default: Queue }, { lockStep }] = await Promise.all([import("p-queue"), import("./step-lock.ts")]);
    this.#queue ??= new Queue({ concurrency: this.#environment.jobs });
    return await this.#queue.add(async () => {
      this.#stop.signal.throwIfAborted();
      const lock = step.noCache ? undefined : await lockStep(this.#store.root, lineage, this.#stop.signal);
      try {
        // Another build may have been at the same step: what it made is in the cache now.
        const made = lock === undefined ? undefined : await this.#lookup(place);
        if (made !== undefined) {
          lock?.[Symbol.dispose]();
          return made;
        }
        const own = await this.#perform(place);
        this.#watch(own.sealed.finally(() => lock?.[Symbol.dispose]()));
        return own;
      } catch (error) {
        lock?.[Symbol.dispose]();
        throw error;
      }
    });
  }

  /** The layer of an earlier build, if this step has been done on the same files. */
  async #lookup({ step, parent, definition }: Place): Promise<OwnLayer | undefined> {
    const { cache, layers } = this.#store;
    const { externalCaches = [] } = this.#environment;
    const isKnown = cache.hasDefinition(definition.digest);
    const offers = externalCaches.filter((external) => external.hasDefinition(definition.digest));
    if (!isKnown && offers.length === 0) return undefined;
    const below = definition.needsParent ? (await parent.sealed).result : undefined;
    const key = cacheKey(below, definition);
    if (cache.find(key) === undefined) await this.#importStep({ step, parent, definition }, key, offers);
    const record = cache.find(key);
    if (record === undefined) return undefined;
    this.#lease.addLayers(record.chain);
    // Held now; it may have gone in between.
    if (cache.find(key) === undefined) return undefined;
    cache.touch(key);
    this.#hit(step, key);
    const { layer } = record;
    const created = timestampOfMs(layers.get(layer).created.getTime());
    return { layer, sealed: Promise.resolve({ layer, created }) };
  }

  /** Takes a step over from elsewhere: its layer and its record. What cannot be read is a warning. */
  async #importStep(
    { step, parent, definition }: Place,
    key: CacheKey,
    offers: readonly ExternalCache[],
  ): Promise<void> {
    const standsOn = definition.needsParent ? await parent.sealed : { chain: [], result: undefined };
    const whole = offers.length === 0 ? undefined : await definition.whole();
    if (whole?.digest !== definition.digest) return;
    for (const external of offers) {
      const found = external.find(key);
      if (found === undefined) continue;
      try {
        const layer = await external.fetch(found, standsOn.chain, this.#stop.signal);
        this.#lease.addLayers([layer]);
        this.#store.cache.put({
          ...recordedStep(this.#graph, step, whole),
          key,
          parent: standsOn.result,
          chain: [...standsOn.chain, layer],
          durationMs: found.durationMs,
        });
        return;
      } catch (error) {
        this.#stop.signal.throwIfAborted();
        const why = error instanceof Error ? error.message : String(error);
        const text = `warning: a layer of the cache from ${external.title} cannot be had: ${why}`;
        this.#emit({ kind: "note", text, time: this.#environment.now() });
      }
    }
  }

  /** An equal step of this very build: run once, shown as a hit once its result is there. */
  async #reuse({ step, parent, definition }: Place, own: Promise<SealedLayer>): Promise<void> {
    await own;
    const key = cacheKey(definition.needsParent ? (await parent.sealed).result : undefined, definition);
    this.#hit(step, key);
  }

  #hit(step: Step, key: CacheKey): void {
    this.hits++;
    this.keys.add(key);
    this.#emit({ kind: "stepHit", step: step.id, key, time: this.#environment.now() });
  }

  #define(step: Step): Promise<KnownDefinition> {
    return knownDefinition(step, {
      graph: this.#graph,
      store: this.#store,
      contexts: this.#contexts,
      chainOf: async (tree) => (await (await this.#treeOf(tree)).sealed).chain,
      now: this.#environment.now(),
      signal: this.#stop.signal,
    });
  }

  /** `--no-cache` takes nothing from earlier layers. */
  #earlierLayer(step: Step): LayerId | undefined {
    if (step.noCache) return undefined;
    const [nearest] = this.#store.cache.nearest(siteOf(this.#graph, step), "copy");
    if (nearest === undefined) return undefined;
    this.#lease.addLayers([nearest.layer]);
    return nearest.layer;
  }

  /** Nobody is known to want its tree. */
  #mayFold(step: Step): boolean {
    return this.#environment.wantsTrees !== true && isTopmost(this.#graph, step);
  }

  #earlierFiles(step: Step): ReusableFiles | undefined {
    const { layers } = this.#store;
    const layer = this.#earlierLayer(step);
    if (layer === undefined || layers.isFolded(layer)) return undefined;
    return reusableFiles(layers.tree(layer), layers.index(layer));
  }

  #earlierTar(step: Step): FoldedTar | undefined {
    const layer = this.#earlierLayer(step);
    return layer === undefined ? undefined : this.#store.layers.foldedTar(layer, maxEarlierBytes);
  }

  async #perform(place: Place): Promise<OwnLayer> {
    const { step, parent } = place;
    const definition = await place.definition.whole();
    if (process.geteuid?.() !== 0) throw layersNeedRoot();
    const { now, driver, trace } = this.#environment;
    const { layers } = this.#store;
    const [{ performStep }, { explainMiss }] = await Promise.all([
      import("./perform-step.ts"),
      import("../planner/explain-miss.ts"),
    ]);
    const started = now();
    const mustKnow = !step.noCache && this.#store.cache.hasDefinition(definition.digest);
    const below = mustKnow ? (await parent.sealed).result : "unknown";
    const [reason] = explainMiss(this.#store, { graph: this.#graph, step, definition, parent: below }).reasons;
    this.#emit({ kind: "stepMiss", step: step.id, reason, time: started });
    this.#emit({ kind: "stepStarted", step: step.id, time: started });
    this.#running.add(step.id);
    await using snapshot = layers.prepare(definition.needsParent ? parent.chain : []);
    try {
      const selection = definition.fetch === undefined ? definition.selection : await definition.fetch();
      await performStep(step, {
        driver,
        networks: this.#networks,
        snapshot,
        lowerdirs: lowerdirs(this.#store, parent.chain),
        selection,
        standsAlone: !definition.needsParent,
        storeRoot: this.#store.root,
        sharedDir: this.#store.runtimeFolder,
        isAlone: this.#running.size === 1 && this.#queue?.size === 0,
        earlierFiles: () => this.#earlierFiles(step),
        folding: this.#mayFold(step) ? { now: started, earlier: () => this.#earlierTar(step) } : undefined,
        where: whereOf(this.#graph, step.range),
        cacheMountsFolder: this.#store.cacheMountsFolder,
        secrets: this.#options.secrets,
        ssh: this.#options.ssh,
        devices: this.#devices.get(step.id) ?? [],
        trees: (from) => this.#committedTrees(from),
        filling: (target) => definition.mounts.get(target),
        context: async (bind) => this.#contextFiles.find(bind, definition.mounts.get(bind.target), await driver()),
        onOutput: (stream, bytes) => this.#emit({ kind: "stepOutput", step: step.id, stream, bytes, time: now() }),
        onNote: (text) => this.#emit({ kind: "note", text, time: now() }),
        trace,
        signal: this.#stop.signal,
      });
      this.#stop.signal.throwIfAborted();
    } catch (error) {
      this.#running.delete(step.id);
      if (this.#stop.signal.aborted) this.#emit({ kind: "stepCanceled", step: step.id, time: now() });
      else {
        const message = error instanceof StepFailed ? error.failure.sentence : String((error as Error).message);
        this.#emit({ kind: "stepFailed", step: step.id, message, time: now() });
      }
      throw this.#stop.signal.aborted ? this.#stop.signal.reason : error;
    }
    const unsealed = snapshot.commit();
    this.#running.delete(step.id);
    this.#unsealed.push(unsealed);
    const finished = now();
    return { layer: unsealed.id, sealed: this.#seal(place, definition, unsealed, { started, finished }) };
  }

  /** Computes the layer's digests, takes an older layer that holds the same, and records the step. */
  async #seal(
    { step, parent }: Place,
    definition: StepDefinition,
    unsealed: UnsealedLayer,
    times: { readonly started: number; readonly finished: number },
  ): Promise<SealedLayer> {
    const { layers, cache } = this.#store;
    // The next step's command is started first, if nothing else keeps it: this thread only waits while one runs.
    await nextTurn();
    const record = await unsealed.seal(this.#stop.signal);
    const below = await parent.sealed;
    const standsOn = definition.needsParent ? below : { chain: [], result: undefined };
    const kept = this.#equalLayer(resultId(standsOn.result, record.contentDigest), record, times.started);
    const key = cacheKey(standsOn.result, definition);
    this.keys.add(key);
    cache.put({
      ...recordedStep(this.#graph, step, definition),
      key,
      parent: standsOn.result,
      chain: [...standsOn.chain, kept.id],
      durationMs: times.finished - times.started,
    });
    this.#emit({ kind: "stepDone", step: step.id, sizeBytes: kept.sizeBytes, time: times.finished });
    return { layer: kept.id, created: timestampOfMs(layers.get(kept.id).created.getTime()) };
  }

  /** Early cutoff: a step that ran again and made the same files takes the layer it made before, times included. */
  #equalLayer(result: ResultId, made: LayerRecord, startedMs: number): LayerRecord {
    const { layers } = this.#store;
    const older = layers.findByResult(result)?.at(-1);
    if (older === undefined || older === made.id) return made;
    if (!haveEqualTimes(this.#store, older, made.id, startedMs)) return made;
    this.#lease.addLayers([older]);
    return layers.get(older);
  }

  // Around it -------------------------------------------------------------------------------------------------------

  async finished({ platform, stage }: GraphTarget): Promise<FinishedTarget> {
    const { chain } = await (await this.#treeOf(stage.result)).sealed;
    const created = new Map<StepId, Timestamp>();
    for (const [step, layer] of this.#created) created.set(step, (await layer).created);
    return finishTarget(
      this.#store,
      {
        template: stage.image,
        chain,
        baseLayers: chain.length - stage.image.history.filter((entry) => entry.step !== undefined).length,
        createdBy: (step) => {
          const time = created.get(step);
          if (time === undefined) throw new Error(`step ${step} has no layer`);
          return time;
        },
      },
      { platform, base: this.#baseImage(stage.result), sourceDateEpoch: this.#graph.sourceDateEpoch },
    );
  }

  /** Below all steps. */
  #baseImage(result: TreeRef): ImageId | undefined {
    const parents = new Map(this.#graph.steps.map(({ id, parent }) => [id, parent]));
    let tree: TreeRef | undefined = result;
    while (tree?.kind === "step") tree = parents.get(tree.step);
    return tree?.kind === "image" ? tree.image.id : undefined;
  }

  /** Of a stage or image that is committed: what needs it waits for it first. */
  async #committedTrees(ref: TreeRef): Promise<readonly string[]> {
    return lowerdirs(this.#store, (await this.#treeOf(ref)).chain);
  }

  /** Waited for before the build ends; its failure is the build's. */
  #watch(work: Promise<unknown>): void {
    this.#background.push(work);
    work.catch((error) => {
      if (this.#stop.signal.aborted) return;
      this.#failure = error;
      this.#stop.abort(error);
    });
  }

  #emit(event: BuildEvent): void {
    this.#environment.onEvent(event);
  }
}

/** A layer's tar of more than that is not read to save reading files. */
const maxEarlierBytes = 128 * 1024 * 1024;

/** No step of this build stands on it or takes from it. */
function isTopmost({ steps }: BuildGraph, { id }: Step): boolean {
  const isThis = (ref: TreeRef): boolean => ref.kind === "step" && ref.step === id;
  return steps.every(({ parent, input }) => !isThis(parent) && !treesTaken(input).some(isThis));
}

function treesTaken(input: Step["input"]): readonly TreeRef[] {
  if (input.kind === "copy") return [input.from];
  return input.kind === "run" ? input.mounts.flatMap((mount) => ("from" in mount ? [mount.from] : [])) : [];
}

/** What a record says of a step, wherever it was done. */
function recordedStep(
  graph: BuildGraph,
  step: Step,
  definition: StepDefinition,
): Pick<NewCacheRecord, "definition" | "kind" | "site" | "instruction" | "input"> {
  return {
    definition: definition.digest,
    kind: step.input.kind,
    site: siteOf(graph, step),
    instruction: step.text,
    input: definition.input,
  };
}

const emptyTree: Tree = {
  chain: [],
  lineage: sha256(""),
  sealed: Promise.resolve({ chain: [], result: undefined }),
};

/** The same tree twice is an error to overlayfs, and the lower one shows nothing that the upper does not. */
function lowerdirs(store: Store, chain: Chain): readonly string[] {
  return store.layers.trees(chain.filter((layer, at) => chain.lastIndexOf(layer) === at));
}
