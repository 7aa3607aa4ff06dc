/** `tsbuild build`, and what runs when no command is named. */
import type { Command } from "commander";
import type { BuildEvent } from "../../executor/events.ts";
import type { BuildResult } from "../../executor/execute.ts";
import { hostPlatform } from "../../oci/platform.ts";
import { canonicalReference, familiarReference } from "../../oci/reference.ts";
import { type BuildRequest, defineBuildFlags, readBuildRequest } from "../build-flags.ts";
import { type CallFlags, defineCallFlags, isCall } from "../call-flags.ts";
import type { CommandContext } from "../command.ts";
import { deviceSpecFolders } from "../environment.ts";
import type { BuiltOutputs } from "../outputs/finish-build.ts";
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
  const onEvent = (event: BuildEvent): void => progress.onEvent(event);
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
  try {
    result = await build(request.options, {
      store,
      driver: async () => (await import("../../runtime/drivers/create-driver.ts")).createDriver(context.runtime),
      resolveImage: imageResolver({ context, store, pull: request.pull, onNote: note }),
      externalCaches,
      finish: async (targets, keys) => {
        const { finishBuild } = await import("../outputs/finish-build.ts");
        built = await finishBuild({ targets, keys }, request.output, { store, context, onNote: note });
        return built.images;
      },
      onEvent,
      jobs: request.jobs,
      now: context.now,
      deviceSpecFolders: deviceSpecFolders(context.environment),
      signal: context.signal,
      ...(context.debug && { trace: (text: string) => void context.stderr.write(text) }),
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
  if (built === undefined) throw new Error("a build that never finished");
  writeResults(request, built, result);
  const digest = built.configDigest ?? built.descriptor?.digest;
  if (request.quiet && digest !== undefined && !usesStandardOutput(request)) context.stdout.write(`${digest}\n`);
  return 0;
}

/** A tar on standard output has nothing behind it. */
function usesStandardOutput({ output: { outputs } }: BuildRequest): boolean {
  return outputs.some((output) => output.kind !== "image" && output.kind !== "cacheonly" && output.dest === undefined);
}

/** Only now, and each whole or not at all: a file from a failed build would name the build before. */
function writeResults(request: BuildRequest, built: BuiltOutputs, { summary }: BuildResult): void {
  const id = built.configDigest ?? built.descriptor?.digest;
  if (request.iidFile !== undefined && id !== undefined) replaceFile(request.iidFile, id);
  if (request.metadataFile !== undefined) {
    const metadata = {
      ...(built.configDigest !== undefined && { "containerimage.config.digest": built.configDigest }),
      ...(built.descriptor !== undefined && { "containerimage.descriptor": built.descriptor }),
      ...(id !== undefined && { "containerimage.digest": built.descriptor?.digest ?? id }),
      ...(built.names.length > 0 && { "image.name": built.names.map(canonicalReference).join(",") }),
      "tsbuild.summary": summary,
    };
    replaceFile(request.metadataFile, `${JSON.stringify(metadata, undefined, 2)}\n`);
  }
}
