/** An OCI layout, or docker's archive, as a file, a folder or a stream. */
import { createWriteStream } from "node:fs";
import { finished } from "node:stream/promises";
import type { ArchiveSink } from "../../archive/archive-sink.ts";
import { TsbuildError } from "../../errors.ts";
import type { FinishedTarget } from "../../executor/finished-target.ts";
import { checkLayoutFolder, intoFile, isSpecial } from "../archive-file.ts";
import type { CommandContext } from "../command.ts";
import { attestorFor, withAnnotations, writeDocuments } from "./documents.ts";
import type { Made, OutputPlace, OutputRequest } from "./finish-build.ts";
import type { ArchiveOutput } from "./output-spec.ts";

export async function toArchive(
  targets: readonly FinishedTarget[],
  output: ArchiveOutput,
  request: OutputRequest,
  place: OutputPlace,
): Promise<Made> {
  const attest = attestorFor(targets, output.settings, request, place);
  if (output.kind === "docker" && (targets.length > 1 || attest !== undefined))
    throw new TsbuildError({
      code: "UNSUPPORTED",
      what: "docker exporter does not currently support exporting manifest lists",
      hint: "type=oci holds several platforms, and attestations",
    });
  const { store, context } = place;
  const names = [...output.names, ...request.tags];
  const settings = withAnnotations(output.settings, request);
  const { manifests, index } = await writeDocuments(targets, settings, { ...request, names }, place);
  const top = index ?? manifests[0];
  if (top === undefined) throw new Error("nothing was built");
  const { saveDocuments } = await import("../../archive/save-documents.ts");
  const [target] = targets;
  const document = { descriptor: top.descriptor, references: names, created: target?.config.created };
  await intoSink(output, place, (sink) =>
    saveDocuments({
      store,
      documents: [
        output.kind === "docker" && manifests[0] !== undefined
          ? { ...document, descriptor: manifests[0].descriptor }
          : document,
      ],
      forDocker: output.kind === "docker",
      sink,
      signal: context.signal,
    }),
  );
  return { images: [], names, descriptor: top.descriptor };
}

async function intoSink(
  { dest, engine, tar }: ArchiveOutput,
  { store, context }: OutputPlace,
  save: (sink: ArchiveSink) => Promise<void>,
): Promise<void> {
  const sinks = await import("../../archive/archive-sink.ts");
  using scratch = store.temporaryFolder("output");
  if (engine !== undefined) {
    const { loadIntoEngine } = await import("./docker-engine.ts");
    await loadIntoEngine(engine, context, (stream) => save(sinks.tarStreamSink(stream, scratch.path, context.signal)));
  } else if (dest === undefined) {
    refuseTerminal(context);
    await save(sinks.tarStreamSink(context.stdout, scratch.path, context.signal));
  } else if (!tar) {
    checkLayoutFolder(dest);
    await save(sinks.folderSink(dest));
  } else if (isSpecial(dest)) {
    const stream = createWriteStream(dest);
    await save(sinks.tarStreamSink(stream, scratch.path, context.signal));
    await finished(stream.end());
  } else await intoFile(dest, (file, fd) => save(sinks.tarFileSink(file, fd)));
}

export const refusal = "dest file is required for a terminal: name one, or redirect standard output";

function refuseTerminal({ stdout }: CommandContext): void {
  if (stdout.isTTY === true) throw new TsbuildError({ code: "USAGE", what: refusal });
}
