/** `tsbuild save`. */
import { createWriteStream } from "node:fs";
import { resolve } from "node:path";
import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import type { Command } from "commander";
import type { ArchiveFormat, SavedImage } from "../../archive/save.ts";
import { TsbuildError } from "../../errors.ts";
import { formatPlatform, type Platform, samePlatform } from "../../oci/platform.ts";
import { familiarReference, parseReferenceAsWritten, type Reference } from "../../oci/reference.ts";
import type { Store, StoredImage } from "../../store/store.ts";
import { checkLayoutFolder, intoFile, isSpecial } from "../archive-file.ts";
import type { CommandContext } from "../command.ts";
import { platformFlag } from "../registry-flags.ts";
import { invalidFlagValue } from "../usage-errors.ts";

interface Flags {
  readonly output?: string;
  readonly platform?: string;
  readonly format: string;
}

const formats: readonly string[] = ["docker-archive", "oci-archive", "oci-dir"] satisfies ArchiveFormat[];

export function define(command: Command): void {
  command
    .usage("[OPTIONS] IMAGE [IMAGE...]")
    .argument("<IMAGE...>")
    .option("-o, --output <FILE>", "instead of stdout; a folder for oci-dir")
    .option("--platform <PLATFORM>", "fail unless the images are for this os/arch[/variant]")
    .option("--format <FORMAT>", "docker-archive (an OCI layout too), oci-archive or oci-dir", "docker-archive");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const flags = command.opts<Flags>();
  const format = formatFlag(flags.format);
  const output = flags.output === undefined ? undefined : resolve(context.cwd, flags.output);
  if (output === undefined && format === "oci-dir")
    throw new TsbuildError({ code: "USAGE", what: "oci-dir is a folder: it needs -o", hint: "name one: -o DIR" });
  if (output === undefined && context.stdout.isTTY === true)
    throw new TsbuildError({
      code: "INVALID_ARGUMENT",
      what: "cowardly refusing to save to a terminal. Use the -o flag or redirect",
    });
  const store = context.openStore();
  const platform = platformFlag(flags.platform, { ...context, environment: {} });
  const images = imagesToSave(command.args, store, platform).map((saved) =>
    withIndex(saved, store, { format, platform }),
  );
  const [{ saveImages }, sinks] = await Promise.all([
    import("../../archive/save.ts"),
    import("../../archive/archive-sink.ts"),
  ]);
  using scratch = store.temporaryFolder("save");
  const { signal } = context;
  const options = { store, images, format, scratch: scratch.path, signal };
  const intoStream = (stream: Writable): Promise<void> =>
    saveImages({ ...options, sink: sinks.tarStreamSink(stream, scratch.path, signal) });
  if (output === undefined) await intoStream(context.stdout);
  else if (format === "oci-dir") {
    checkLayoutFolder(output);
    await saveImages({ ...options, sink: sinks.folderSink(output) });
  } else if (isSpecial(output)) {
    const stream = createWriteStream(output);
    await intoStream(stream);
    await finished(stream.end());
  } else await intoFile(output, (file, fd) => saveImages({ ...options, sink: sinks.tarFileSink(file, fd) }));
  return 0;
}

function formatFlag(given: string): ArchiveFormat {
  if (formats.includes(given)) return given as ArchiveFormat;
  throw invalidFlagValue("--format", given, formats.join(", "));
}

/** An OCI layout holds the images of all platforms, unless one was asked for; docker's archive the one that runs here. */
function withIndex(
  saved: SavedImage,
  store: Store,
  { format, platform }: { readonly format: ArchiveFormat; readonly platform: Platform | undefined },
): SavedImage {
  const [name] = saved.references;
  const index = name === undefined ? undefined : store.images.index(name);
  if (index === undefined) return saved;
  if (platform !== undefined) {
    const image = index.images.find(({ config }) => samePlatform(config, platform));
    return image === undefined ? saved : { ...saved, image };
  }
  return format === "docker-archive" ? saved : { ...saved, index };
}

/** A name saves that name; a repository without a tag saves all its tags; an ID saves an image without a name. */
function imagesToSave(words: readonly string[], store: Store, platform: Platform | undefined): readonly SavedImage[] {
  const saved: { image: StoredImage; references: Reference[] }[] = [];
  const add = (image: StoredImage, references: readonly Reference[]): void => {
    const [name] = references;
    const others = (name === undefined ? undefined : store.images.index(name))?.images ?? [];
    if (!others.some(({ config }) => platform !== undefined && samePlatform(config, platform)))
      checkPlatform(image, platform);
    const before = saved.find((each) => each.image.id === image.id);
    if (before === undefined) return void saved.push({ image, references: [...references] });
    for (const reference of references)
      if (!before.references.some((each) => same(each, reference))) before.references.push(reference);
  };
  for (const word of words) {
    const written = asReference(word);
    const all = written === undefined || written.tag !== undefined ? [] : tagsOf(written, store);
    if (all.length > 0) for (const { image, reference } of all) add(image, [reference]);
    else {
      const image = store.images.lookup(word);
      const named = written === undefined ? undefined : image.references.find((each) => same(each, written));
      add(image, named === undefined ? [] : [named]);
    }
  }
  return saved;
}

function checkPlatform(image: StoredImage, wanted: Platform | undefined): void {
  const { os, architecture, variant } = image.config;
  const own: Platform = { os, architecture, ...(variant !== undefined && { variant }) };
  if (wanted === undefined || samePlatform(own, wanted)) return;
  const name = image.references[0] === undefined ? image.id : familiarReference(image.references[0]);
  throw new TsbuildError({
    code: "IMAGE_NOT_FOUND",
    what: `no match for platform ${formatPlatform(wanted)} in ${name}, available: ${formatPlatform(own)}`,
  });
}

function tagsOf(written: Reference, store: Store): { image: StoredImage; reference: Reference }[] {
  if (written.digest !== undefined) return [];
  return store.images
    .list()
    .flatMap((image) => image.references.map((reference) => ({ image, reference })))
    .filter(({ reference: { domain, path } }) => domain === written.domain && path === written.path)
    .sort((a, b) => ((a.reference.tag ?? "") < (b.reference.tag ?? "") ? -1 : 1));
}

/** Undefined for what can only be an ID. */
function asReference(word: string): Reference | undefined {
  try {
    return parseReferenceAsWritten(word);
  } catch {
    return undefined;
  }
}

function same(a: Reference, b: Reference): boolean {
  return a.domain === b.domain && a.path === b.path && a.tag === (b.tag ?? "latest");
}
