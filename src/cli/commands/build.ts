/** `tsbuild build`, and what runs when no command is named. */
import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import type { BuildEvent } from "../../executor/events.ts";
import type { BuildResult, MadeBuild } from "../../executor/execute.ts";
import type { FinishedTarget } from "../../executor/finished-target.ts";
import type { ProvenanceSources } from "../../executor/provenance-sources.ts";
import { hexOf } from "../../oci/digest.ts";
import { hostPlatform } from "../../oci/platform.ts";
import { familiarReference } from "../../oci/reference.ts";
import type { BuildGraph } from "../../planner/build-graph.ts";
import { type BuildRequest, defineBuildFlags, readBuildRequest } from "../build-flags.ts";
import { type CallFlags, defineCallFlags, isCall } from "../call-flags.ts";
import type { CommandContext } from "../command.ts";
import { deviceSpecFolders } from "../environment.ts";
import type { BuiltOutputs } from "../outputs/finish-build.ts";
import { isTrue, usesStandardOutput } from "../outputs/output-flags.ts";
import type { Vcs } from "../outputs/vcs.ts";
import { openProgress } from "../render/progress.ts";
import { replaceFile } from "../replace-file.ts";
import { imageResolver } from "../resolve-base-image.ts";

export function define(command: Command): void {
  defineBuildFlags(command);
  defineCallFlags(command);
}

/** 0; 1 when a step failed, whose report is printed here. Everything else is thrown. */
export async function run(command: Command, context: CommandContext): Promise<number> {
  const flags = command.opts<CallFlags>();
  const call = isCall(flags) ? (await import("../read-call.ts")).readCall(flags) : undefined;
  using request = await readBuildRequest(command, context);
  if (call !== undefined) {
    const { answerCall, dockerfilePath } = await import("../call.ts");
    return await answerCall(
      call,
      { options: request.options, file: dockerfilePath(command, context), pull: request.pull },
      context,
    );
  }
  const [firstTag] = request.tags;
  using progress = openProgress(request.progress, {
    stderr: context.stderr,
    environment: context.environment,
    runName: firstTag === undefined ? undefined : familiarReference(firstTag).replace(/:latest$/, ""),
  });
  let checks: BuildChecksEvent | undefined;
  const onEvent = (event: BuildEvent): void => {
    if (event.kind === "checks") checks = event;
    progress.onEvent(event);
  };
  const note = (text: string): void => onEvent({ kind: "note", text, time: context.now() });
  for (const text of request.notes) note(text);
  const { build } = await import("../../executor/execute.ts");
  const store = context.openStore();
  const { cacheSources } = request.output;
  const externalCaches =
    cacheSources.length === 0
      ? []
      : await (await import("../external-cache/import-cache.ts")).importCaches(cacheSources, {
          store,
          context,
          platform: request.options.platforms[0] ?? hostPlatform(),
          onNote: note,
        });
  let result: BuildResult;
  let built: BuiltOutputs | undefined;
  let graph: BuildGraph | undefined;
  let sources: readonly (ProvenanceSources | undefined)[] = [];
  let vcs: Vcs | undefined;
  const started = context.now();
  const invocationId = newInvocationId();
  const environment = {
    store,
    driver: async () => (await import("../../runtime/drivers/create-driver.ts")).createDriver(context.runtime),
    resolveImage: imageResolver({ context, store, pull: request.pull, onNote: note }),
    jobs: request.jobs,
    now: context.now,
    deviceSpecFolders: deviceSpecFolders(context.environment),
    signal: context.signal,
    ...(context.debug && { trace: (text: string) => void context.stderr.write(text) }),
  };
  try {
    result = await build(request.options, {
      ...environment,
      externalCaches,
      wantsTrees: wantsTrees(request.output),
      finish: async (targets, made) => {
        graph = made.graph;
        const { finishBuild } = await import("../outputs/finish-build.ts");
        const { attest: wanted } = request.output;
        const { options } = request;
        const tells = await metadataTells(request, context);
        if (wanted?.provenance !== undefined || tells)
          vcs = (await import("../outputs/vcs.ts")).vcsOf(options.context, context);
        if (tells) sources = await sourcesOf(targets, made, request, context);
        const attest =
          wanted === undefined
            ? undefined
            : (await import("../outputs/attestor.ts")).attestor(wanted, {
                store,
                made,
                options,
                vcs,
                environment,
                started,
                invocationId,
                onNote: note,
              });
        built = await finishBuild({ targets, keys: made.keys }, request.output, {
          store,
          context,
          attest,
          onNote: note,
        });
        return built.images;
      },
      onEvent,
    });
  } catch (error) {
    progress[Symbol.dispose]();
    const { StepFailed } = await import("../../executor/step-failed.ts");
    if (!(error instanceof StepFailed) || context.signal.aborted) throw error;
    const { renderStepFailure } = await import("../render/step-failure.ts");
    const output = progress.unseenOutput(error.failure.step);
    const dockerfile = request.options.dockerfile.text;
    context.stderr.write(renderStepFailure({ error, output, dockerfile }, context.stderr));
    return 1;
  }
  if (built === undefined || graph === undefined) throw new Error("a build that never finished");
  const times = { started, finished: context.now() };
  await writeResults(request, context, { built, result, graph, times, invocationId, checks, sources, vcs });
  const digest = built.configDigest ?? built.descriptor?.digest;
  if (request.quiet && digest !== undefined && !request.output.outputs.some(usesStandardOutput))
    context.stdout.write(`${digest}\n`);
  return 0;
}

/** Only now, and each whole or not at all: a file from a failed build would name the build before. */
async function writeResults(
  request: BuildRequest,
  { environment }: CommandContext,
  { built, result, graph, times, invocationId, checks, sources, vcs }: Results,
): Promise<void> {
  const id = built.configDigest ?? built.descriptor?.digest;
  if (request.iidFile !== undefined && id !== undefined) replaceFile(request.iidFile, id);
  if (request.rawIidFile !== undefined && id !== undefined) replaceFile(request.rawIidFile, hexOf(id));
  if (request.digestFile !== undefined && built.descriptor !== undefined)
    replaceFile(request.digestFile, built.descriptor.digest);
  if (request.metadataFile === undefined) return;
  const { buildMetadata } = await import("../outputs/build-metadata.ts");
  const metadata = buildMetadata(built, {
    targets: result.targets.map(({ platform }, at) => ({ platform, sources: sources[at] })),
    vcs,
    graph,
    options: request.options,
    ...times,
    invocationId,
    provenance: environment["BUILDX_METADATA_PROVENANCE"],
    checks: isTrue(environment["BUILDX_METADATA_WARNINGS"]) ? checks : undefined,
  });
  const all = { ...metadata, "tsbuild.summary": result.summary };
  replaceFile(request.metadataFile, `${JSON.stringify(all, undefined, 2)}\n`);
}

interface Results {
  readonly built: BuiltOutputs;
  readonly result: BuildResult;
  readonly graph: BuildGraph;
  /** Epoch ms. */
  readonly times: { readonly started: number; readonly finished: number };
  readonly invocationId: string;
  readonly checks: BuildChecksEvent | undefined;
  /** By target. */
  readonly sources: readonly (ProvenanceSources | undefined)[];
  readonly vcs: Vcs | undefined;
}

async function metadataTells({ metadataFile }: BuildRequest, { environment }: CommandContext): Promise<boolean> {
  if (metadataFile === undefined) return false;
  const { tellsProvenance } = await import("../outputs/build-metadata.ts");
  return tellsProvenance(environment["BUILDX_METADATA_PROVENANCE"]);
}

async function sourcesOf(
  targets: readonly FinishedTarget[],
  { graph, contexts }: MadeBuild,
  { options }: BuildRequest,
  { signal }: CommandContext,
): Promise<readonly ProvenanceSources[]> {
  const { captureSources } = await import("../../executor/provenance-sources.ts");
  return await Promise.all(
    targets.map(({ platform }) => captureSources({ graph, options, platform, contexts, signal })),
  );
}

type BuildChecksEvent = Extract<BuildEvent, { readonly kind: "checks" }>;

/** As long as BuildKit's. */
function newInvocationId(): string {
  return randomUUID().replaceAll("-", "").slice(0, 25);
}

/** Files are written from trees, layers are joined in one, and statements are looked for in them. */
function wantsTrees({ outputs, squash, attest }: BuildRequest["output"]): boolean {
  return squash !== undefined || attest !== undefined || outputs.some(({ kind }) => kind === "local" || kind === "tar");
}
