/** The statements that `--attest` asks for, for each target: provenance, and what a scanner's image says. */
import { TsbuildError } from "../../errors.ts";
import type { Statement } from "../../executor/attestation-manifest.ts";
import { commitImage } from "../../executor/commit-image.ts";
import { type BuildEnvironment, build, type MadeBuild } from "../../executor/execute.ts";
import type { FinishedTarget } from "../../executor/finished-target.ts";
import { type ProvenanceSubject, predicateTypes, provenance } from "../../executor/provenance.ts";
import { captureSources } from "../../executor/provenance-sources.ts";
import { bytePath, textOfBytePath } from "../../kernel/byte-path.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { hexOf } from "../../oci/digest.ts";
import { hostPlatform, samePlatform } from "../../oci/platform.ts";
import { parseReference } from "../../oci/reference.ts";
import type { BuildOptions } from "../../planner/build-options.ts";
import { layeredView } from "../../store/layered-view.ts";
import type { Store } from "../../store/store.ts";
import type { AttestSettings } from "./attest-spec.ts";

export interface NamedStatement extends Statement {
  /** Beside exported files; undefined: not there. */
  readonly filename: string | undefined;
}

export interface AttestPlace {
  readonly store: Store;
  readonly made: MadeBuild;
  readonly options: BuildOptions;
  readonly environment: Omit<BuildEnvironment, "finish" | "onEvent" | "externalCaches">;
  /** Epoch ms. */
  readonly started: number;
  /** Of this build, alike on every platform. */
  readonly invocationId: string;
  readonly vcs: ProvenanceSubject["vcs"];
  readonly onNote: (text: string) => void;
}

export interface Attestor {
  /** Before anything of the target is written: looking at an image that is not kept takes its blobs away again. */
  scans(target: FinishedTarget): Promise<readonly NamedStatement[]>;
  /** `layers`: those of its manifest, if it has one. */
  provenance(target: FinishedTarget, layers: readonly Descriptor[] | undefined): Promise<readonly NamedStatement[]>;
  /** Nothing of it asks for an index where there would be none. */
  readonly inlineOnly: boolean;
}

/** Undefined when nothing is to be attested. */
export function attestor(settings: AttestSettings, place: AttestPlace): Attestor | undefined {
  const { provenance: wanted, sbom } = settings;
  if (wanted === undefined && sbom === undefined) return undefined;
  const finished = place.environment.now();
  return {
    async scans(target) {
      return sbom === undefined ? [] : await scanned(target, sbom.generator, place);
    },
    async provenance(target, descriptors) {
      if (wanted === undefined) return [];
      const { made, options, started, invocationId, vcs, environment } = place;
      const { platform } = target;
      const { graph, contexts } = made;
      const sources = await captureSources({ graph, options, platform, contexts, signal: environment.signal });
      const layers = descriptors && { descriptors, base: target.baseLayers };
      const subject = { graph, options, platform, sources, vcs, layers, started, finished, invocationId };
      return [
        {
          predicateType: predicateTypes[wanted.version],
          predicate: provenance(subject, wanted),
          filename: wanted.inlineOnly ? undefined : wanted.filename,
        },
      ];
    },
    inlineOnly: sbom === undefined && wanted?.inlineOnly === true,
  };
}

const source = "/run/src/core/sbom";
const extras = "/run/src/extras";
const destination = "/run/out";

/**
 * Runs the scanner over the result. Source: BuildKit, docs/attestations/sbom-protocol.md.
 * @throws {TsbuildError} `INVALID_CONFIG` for an image that is no scanner, and what its run throws
 */
async function scanned(
  target: FinishedTarget,
  generator: string,
  { store, made, options, environment, onNote }: AttestPlace,
): Promise<readonly NamedStatement[]> {
  onNote(`scanning with ${generator}`);
  const scanner = await environment.resolveImage(parseReference(generator), hostPlatform());
  const { Entrypoint = [], Cmd = [] } = scanner.config.config;
  const argv = [...Entrypoint, ...Cmd];
  if (argv.length === 0)
    throw new TsbuildError({ code: "INVALID_CONFIG", what: `${generator} is no scanner: it has no command` });
  const wanted = await furtherTrees(target, made, options);
  const scans = [{ name: "scanned", target: source, result: target }, ...wanted.stages];
  const isNew = scans.map(({ result }) => store.images.get(result.id) === undefined);
  for (const { result } of scans) commitImage(store, result, []);
  const mounts = [
    ...scans.map(({ name, target: place }) => `--mount=type=bind,from=${name},target=${place}`),
    ...(wanted.context ? [`--mount=type=bind,target=${extras}/sbom-context`] : []),
  ];
  const hasExtras = mounts.length > 1;
  const text = [
    `FROM ${generator}`,
    `ENV BUILDKIT_SCAN_SOURCE=${source} BUILDKIT_SCAN_DESTINATION=${destination}`,
    ...(hasExtras ? [`ENV BUILDKIT_SCAN_SOURCE_EXTRAS=${extras}/`] : []),
    `COPY <<EOF ${destination}/.scan`,
    "EOF",
    `RUN ${mounts.join(" ")} ${JSON.stringify(argv)}`,
    "",
  ].join("\n");
  let found: readonly NamedStatement[] = [];
  try {
    await build(
      {
        ...options,
        dockerfile: { text, file: "scanner" },
        ...(!wanted.context && { context: { kind: "empty" }, ignore: undefined }),
        namedContexts: new Map(
          scans.map(({ name, result }) => [name, { kind: "image", reference: hexOf(result.id).slice(0, 32) }]),
        ),
        target: undefined,
        buildArgs: new Map(),
        labels: new Map(),
        platforms: [],
        noCache: false,
        noCacheFilter: [],
        secrets: new Map(),
      },
      {
        ...environment,
        onEvent: () => undefined,
        finish: (targets) => {
          found = targets.flatMap(({ chain }) => statementsIn(store.layers.trees(chain), generator));
          return [];
        },
      },
    );
  } finally {
    const ids = new Set(scans.filter((_, at) => isNew[at]).map(({ result }) => result.id));
    for (const id of ids) store.images.remove(id);
  }
  if (found.length === 0)
    throw new TsbuildError({ code: "INVALID_CONFIG", what: `${generator} wrote no *.spdx.json into ${destination}` });
  return found;
}

interface FurtherTrees {
  readonly stages: readonly { readonly name: string; readonly target: string; readonly result: FinishedTarget }[];
  readonly context: boolean;
}

/** What the Dockerfile wants to have scanned beside the result, of all that the result needs. */
async function furtherTrees(target: FinishedTarget, made: MadeBuild, { context }: BuildOptions): Promise<FurtherTrees> {
  const { graph } = made;
  const at = graph.targets.findIndex(({ platform }) => samePlatform(platform, target.platform));
  const own = graph.targets[at]?.stage;
  const before = graph.targets[at - 1]?.stage.index ?? -1;
  // Stages of one platform stand together, and the one that is built is the last of them.
  const needed = graph.stages.filter(({ index }) => index > before && index <= (own?.index ?? -1));
  const stages = [];
  for (const stage of needed.filter((one) => one.scans.stage && one !== own))
    stages.push({
      name: `scanned-${stage.index}`,
      target: `${extras}/sbom-${stage.name ?? stage.index - before - 1}`,
      result: await made.finishStage({ platform: target.platform, stage }),
    });
  return { stages, context: context.kind === "directory" && needed.some(({ scans }) => scans.context) };
}

const largestBytes = 256 << 20;

/** A scanner writes in-toto statements; their subject is ours to say. */
function statementsIn(trees: readonly string[], generator: string): readonly NamedStatement[] {
  const view = layeredView(trees);
  const folder = view.lookup(bytePath(destination.slice(1)));
  if (folder === undefined) return [];
  return view.readdir(folder).flatMap(({ path }): readonly NamedStatement[] => {
    const name = textOfBytePath(path).split("/").at(-1) ?? "";
    if (!name.endsWith(".spdx.json")) return [];
    const bytes = view.readFile(path, largestBytes);
    try {
      const { predicateType, predicate } = JSON.parse(bytes?.toString("utf8") ?? "") as Partial<Statement>;
      if (typeof predicateType === "string" && predicate !== undefined)
        return [{ predicateType, predicate, filename: /^sbom[.-]/.test(name) ? name : `sbom-${name}` }];
    } catch (cause) {
      throw new TsbuildError({ code: "INVALID_CONFIG", what: `${generator} wrote ${name}, which is not JSON`, cause });
    }
    throw new TsbuildError({
      code: "INVALID_CONFIG",
      what: `${generator} wrote ${name}, which is no in-toto statement`,
    });
  });
}
