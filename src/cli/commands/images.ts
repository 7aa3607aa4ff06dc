/** `tsbuild images`: a compact view for people, docker's table for scripts. */
import type { Command } from "commander";
import { hexOf } from "../../oci/digest.ts";
import { formatPlatform, normalisePlatform } from "../../oci/platform.ts";
import { familiarName, familiarReference, type Reference } from "../../oci/reference.ts";
import type { Store, StoredImage } from "../../store/store.ts";
import type { CommandContext } from "../command.ts";
import { parseFilters } from "../filters.ts";
import { imageFilter, imageFilterKeys, referenceMatches } from "../image-filters.ts";
import { listOption } from "../list-option.ts";
import { formatSize } from "../render/size.ts";
import { formatRows, type Row } from "../render/table.ts";
import { formatAgo, formatCreatedAt } from "../render/time.ts";

interface Options {
  readonly all?: boolean;
  readonly quiet?: boolean;
  /** False with `--no-trunc`. */
  readonly trunc: boolean;
  readonly digests?: boolean;
  readonly tree?: boolean;
  readonly filter?: readonly string[];
  readonly format?: string;
}

export function define(command: Command): void {
  command
    .usage("[OPTIONS] [REPOSITORY[:TAG]]")
    .argument("[pattern]", "repository, or repository:tag, with * and ?")
    .option("-a, --all", "images without a name too")
    .option("-q, --quiet", "only IDs")
    .option("--no-trunc", "whole IDs")
    .option("--tree", "with the platforms of each index")
    .option("--digests", "the manifest's digest, for images that were pulled, pushed or loaded")
    .addOption(listOption("-f, --filter <key=value>", imageFilterKeys.join(", ")))
    .option("--format <format>", "table, json, or a template such as {{.Repository}}:{{.Tag}}");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const options = command.opts<Options>();
  const pattern = command.args[0];
  const store = context.openStore();
  const { images } = store;
  const filters = parseFilters(options.filter, imageFilterKeys);
  const fits = imageFilter(images, filters, context.now());
  const showsNameless = options.all === true || filters.has("dangling");
  const found = images
    .list()
    .filter((image) => (showsNameless || image.references.length + image.repoDigests.length > 0) && fits(image))
    .filter((image) => pattern === undefined || referenceMatches(image, pattern));
  for (const { damage } of found) {
    if (damage !== undefined) context.stderr.write(`warning: ${damage.message}\n   hint: ${damage.hint}\n`);
  }
  if (found.length === 0 && (pattern === "ls" || pattern === "list")) {
    context.stderr.write(`No images found matching "${pattern}": did you mean "tsbuild image ls"?\n`);
  }
  if (options.tree === true) {
    context.stdout.write(treeView(store, found));
    return 0;
  }
  const isPlain = !options.quiet && options.trunc && !options.digests && options.format === undefined;
  if (isPlain && context.stdout.isTTY) {
    context.stdout.write(compactView(found, await imagesInUse(store)));
    return 0;
  }
  const rows = found.flatMap((image) =>
    tableNames(image, options.digests === true)
      .filter(({ reference }) => pattern === undefined || reference === undefined || isShown(reference, pattern, image))
      .map((name) => imageRow(image, name, options, context.now())),
  );
  const idOfQuiet = options.quiet ? "ID" : undefined;
  const columns = ["Repository", "Tag", ...(options.digests ? ["Digest"] : []), "ID", "CreatedSince", "Size"];
  context.stdout.write(formatRows(rows, { format: options.format, headers, columns, quiet: idOfQuiet }));
  return 0;
}

/** Column titles, and the names that templates use. */
const headers = { ID: "IMAGE ID", CreatedSince: "CREATED", CreatedAt: "CREATED AT" };

interface TableName {
  readonly reference: Reference | undefined;
  readonly repository: string;
  readonly tag: string;
  readonly digest: string;
}

const none = "<none>";

/** One row a tag; one for the repository alone where only a digest is known; one for an image without any name. */
function tableNames(image: StoredImage, withDigests: boolean): readonly TableName[] {
  const names: TableName[] = [];
  const repositories = new Set([...image.references, ...image.repoDigests].map(familiarName));
  for (const repository of repositories) {
    const isHere = (reference: Reference): boolean => familiarName(reference) === repository;
    const tags = image.references.filter(isHere);
    const digests = withDigests ? image.repoDigests.filter(isHere) : [];
    for (const reference of tags.length > 0 ? tags : [undefined]) {
      for (const byDigest of digests.length > 0 ? digests : [undefined]) {
        const tag = reference?.tag ?? none;
        names.push({ reference: reference ?? byDigest, repository, tag, digest: byDigest?.digest ?? none });
      }
    }
  }
  return names.length > 0 ? names : [{ reference: undefined, repository: none, tag: none, digest: none }];
}

/** Of an image with several names, only those that the pattern fits. */
function isShown(reference: Reference, pattern: string, image: StoredImage): boolean {
  return referenceMatches({ ...image, references: [reference], repoDigests: [] }, pattern);
}

function imageRow(image: StoredImage, name: TableName, options: Options, nowMs: number): Row {
  return {
    ID: options.trunc ? hexOf(image.id).slice(0, 12) : image.id,
    Repository: name.repository,
    Tag: name.tag,
    Digest: name.digest,
    CreatedSince: formatAgo(image.created, nowMs),
    CreatedAt: formatCreatedAt(image.created),
    Size: formatSize(image.sizeBytes),
    VirtualSize: formatSize(image.sizeBytes),
    UniqueSize: "N/A",
    SharedSize: "N/A",
    Containers: "N/A",
  };
}

/** Each name, and below it the images of its index. */
function treeView(store: Store, images: readonly StoredImage[]): string {
  const lines = images.flatMap((image) => {
    const names = image.references.length > 0 ? image.references : [undefined];
    return names.map((name) => {
      const title = name === undefined ? none : familiarReference(name);
      const parts = (name === undefined ? undefined : store.images.index(name))?.images ?? [image];
      const branches = parts.map(
        ({ id, config, sizeBytes }, at) =>
          `${at === parts.length - 1 ? "└─" : "├─"} ${formatPlatform(normalisePlatform(config))}  ${hexOf(id).slice(0, 12)}  ${formatSize(sizeBytes)}`,
      );
      return [title, ...branches].join("\n");
    });
  });
  return lines.length === 0 ? "" : `${lines.sort().join("\n")}\n`;
}

/** By name, nameless last. `U`: a container stands on it. */
function compactView(images: readonly StoredImage[], used: ReadonlySet<string>): string {
  const rows = images.flatMap((image) => {
    const names = image.references.map((reference) => familiarReference(reference));
    return (names.length > 0 ? names : [none]).map((name) => ({
      Name: name,
      ID: hexOf(image.id).slice(0, 12),
      DiskUsage: formatSize(image.sizeBytes),
      ContentSize: formatSize(contentBytes(image)),
      Extra: used.has(image.id) ? "U" : "",
    }));
  });
  const rank = (name: string): string => (name === none ? "\uffff" : name);
  rows.sort((a, b) => (rank(a.Name) < rank(b.Name) ? -1 : rank(a.Name) > rank(b.Name) ? 1 : 0));
  return formatRows(rows, {
    format: undefined,
    headers: { Name: "IMAGE", DiskUsage: "DISK USAGE", ContentSize: "CONTENT SIZE" },
    columns: ["Name", "ID", "DiskUsage", "ContentSize", "Extra"],
  });
}

/** What the image weighs in a registry, as far as that is known: built layers are not compressed before a push. */
function contentBytes(image: StoredImage): number {
  const layers = image.manifest?.value.layers;
  return layers === undefined ? image.sizeBytes : layers.reduce((sum, layer) => sum + layer.size, 0);
}

async function imagesInUse(store: Store): Promise<ReadonlySet<string>> {
  const { containersUsing } = await import("../../runtime/containers/containers-using.ts");
  return new Set(containersUsing(store).map((user) => user.image));
}
