/** The statements that `--attest` asks for, for each target: provenance, and what a scanner's image says. */
import { TsbuildError } from "../../errors.ts";
import type { Statement } from "../../executor/attestation-manifest.ts";
import { commitImage } from "../../executor/commit-image.ts";
import { type BuildEnvironment, build } from "../../executor/execute.ts";
import type { FinishedTarget } from "../../executor/finished-target.ts";
import { predicateTypes, provenance } from "../../executor/provenance.ts";
import { bytePath, textOfBytePath } from "../../kernel/byte-path.ts";
import { hexOf } from "../../oci/digest.ts";
import { hostPlatform } from "../../oci/platform.ts";
import { parseReference } from "../../oci/reference.ts";
import type { BuildGraph } from "../../planner/build-graph.ts";
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
  readonly graph: BuildGraph;
  readonly options: BuildOptions;
  readonly environment: Omit<BuildEnvironment, "finish" | "onEvent" | "externalCaches">;
  /** Epoch ms. */
  readonly started: number;
  /** Of this build, alike on every platform. */
  readonly invocationId: string;
  readonly onNote: (text: string) => void;
}

export interface Attestor {
  statements(target: FinishedTarget): Promise<readonly NamedStatement[]>;
  /** Nothing of it asks for an index where there would be none. */
  readonly inlineOnly: boolean;
}

/** Undefined when nothing is to be attested. */
export function attestor(settings: AttestSettings, place: AttestPlace): Attestor | undefined {
  if (settings.provenance === undefined && settings.sbom === undefined) return undefined;
  const { invocationId } = place;
  const finished = place.environment.now();
  const statementsOf = async (target: FinishedTarget): Promise<readonly NamedStatement[]> => {
    const statements: NamedStatement[] = [];
    if (settings.sbom !== undefined) statements.push(...(await scanned(target, settings.sbom.generator, place)));
    if (settings.provenance !== undefined) {
      const { graph, options, started } = place;
      const subject = { graph, options, platform: target.platform, started, finished, invocationId };
      statements.push({
        predicateType: predicateTypes[settings.provenance.version],
        predicate: provenance(subject, settings.provenance),
        filename: settings.provenance.inlineOnly ? undefined : settings.provenance.filename,
      });
    }
    return statements;
  };
  return {
    statements: statementsOf,
    inlineOnly: settings.sbom === undefined && settings.provenance?.inlineOnly === true,
  };
}

const source = "/run/src/core/sbom";
const destination = "/run/out";

/**
 * Runs the scanner over the result. Source: BuildKit, docs/attestations/sbom-protocol.md.
 * @throws {TsbuildError} `INVALID_CONFIG` for an image that is no scanner, and what its run throws
 */
async function scanned(
  target: FinishedTarget,
  generator: string,
  { store, options, environment, onNote }: AttestPlace,
): Promise<readonly NamedStatement[]> {
  onNote(`scanning with ${generator}`);
  const scanner = await environment.resolveImage(parseReference(generator), hostPlatform());
  const { Entrypoint = [], Cmd = [] } = scanner.config.config;
  const argv = [...Entrypoint, ...Cmd];
  if (argv.length === 0)
    throw new TsbuildError({ code: "INVALID_CONFIG", what: `${generator} is no scanner: it has no command` });
  const isNew = store.images.get(target.id) === undefined;
  commitImage(store, target, []);
  const text = [
    `FROM ${generator}`,
    `ENV BUILDKIT_SCAN_SOURCE=${source} BUILDKIT_SCAN_DESTINATION=${destination}`,
    `COPY <<EOF ${destination}/.scan`,
    "EOF",
    `RUN --mount=type=bind,from=scanned,target=${source} ${JSON.stringify(argv)}`,
    "",
  ].join("\n");
  let found: readonly NamedStatement[] = [];
  try {
    await build(
      {
        ...options,
        dockerfile: { text, file: "scanner" },
        context: { kind: "empty" },
        ignore: undefined,
        namedContexts: new Map([["scanned", { kind: "image", reference: hexOf(target.id).slice(0, 32) }]]),
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
    if (isNew) store.images.remove(target.id);
  }
  if (found.length === 0)
    throw new TsbuildError({ code: "INVALID_CONFIG", what: `${generator} wrote no *.spdx.json into ${destination}` });
  return found;
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
        return [{ predicateType, predicate, filename: name === "sbom.spdx.json" ? name : `sbom-${name}` }];
    } catch (cause) {
      throw new TsbuildError({ code: "INVALID_CONFIG", what: `${generator} wrote ${name}, which is not JSON`, cause });
    }
    throw new TsbuildError({
      code: "INVALID_CONFIG",
      what: `${generator} wrote ${name}, which is no in-toto statement`,
    });
  });
}
