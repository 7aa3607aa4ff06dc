/**
 * `build --output`, `--load`, `--push`: what is to become of a build, as values. Source: Docker docs, "docker buildx
 * build", "--output", and the pages of the exporters; BuildKit, exporter/containerimage/opts.go.
 */
import { resolve } from "node:path";
import { TsbuildError } from "../../errors.ts";
import type { Annotation, AnnotationPlace } from "../../executor/image-manifest.ts";
import { nearestWord } from "../../nearest-word.ts";
import { parsePlatform } from "../../oci/platform.ts";
import { parseReferenceAsWritten, type Reference } from "../../oci/reference.ts";
import type { Packing } from "../../store/packed-layer.ts";
import { parseTag } from "../build-flag-values.ts";
import { csvFields } from "../csv-fields.ts";

export type BuildOutput = ImageOutput | ArchiveOutput | FilesOutput | { readonly kind: "cacheonly" };

/** How manifests are made, for the outputs that have some. */
export interface DocumentSettings {
  readonly packing: Packing;
  /** Layers in that format, compressed so much; undefined: as they are. */
  readonly estargzLevel: number | undefined;
  readonly ociMediaTypes: boolean;
  readonly annotations: readonly Annotation[];
  /** Times of files above the base image are at most SOURCE_DATE_EPOCH. */
  readonly rewriteTimestamp: boolean;
  /** Seconds, of this output alone. */
  readonly sourceDateEpoch: number | undefined;
  /** False: attestations as images that list statements, for registries that know no artifacts. */
  readonly ociArtifact: boolean;
  /** False: attestations that ask for no index of their own get none. */
  readonly inlineAttestations: boolean;
}

/** Into the store, and to registries. */
export interface ImageOutput {
  readonly kind: "image";
  /** Beside those of `--tag`. */
  readonly names: readonly Reference[];
  readonly push: boolean;
  readonly pushByDigest: boolean;
  readonly insecure: boolean;
  readonly store: boolean;
  /** Also `name@digest`. */
  readonly canonicalNames: boolean;
  /** Without any name, the image is `prefix@digest`. */
  readonly danglingPrefix: Reference | undefined;
  readonly settings: DocumentSettings;
}

/** An OCI layout; for `docker` with what `docker load` reads. */
export interface ArchiveOutput {
  readonly kind: "oci" | "docker";
  /** Absolute; undefined for standard output, and for an engine. */
  readonly dest: string | undefined;
  /** The docker context whose engine loads it. */
  readonly engine: string | undefined;
  /** False: a folder. */
  readonly tar: boolean;
  readonly names: readonly Reference[];
  readonly settings: DocumentSettings;
}

/** The files alone, without config. */
export interface FilesOutput {
  readonly kind: "local" | "tar";
  /** Absolute; undefined for standard output. */
  readonly dest: string | undefined;
  readonly mode: "copy" | "delete";
  /** A folder for each platform; undefined: if there are several. */
  readonly platformSplit: boolean | undefined;
  readonly sourceDateEpoch: number | undefined;
  readonly attestationPrefix: string;
}

const places = ["manifest", "manifest-descriptor", "index", "index-descriptor"] satisfies AnnotationPlace[];

const settingKeys = [
  "compression",
  "compression-level",
  "force-compression",
  "oci-mediatypes",
  "oci-artifact",
  "rewrite-timestamp",
  "source-date-epoch",
  "prefer-nondist-layers",
  "attestation-inline",
] as const;

const keysOf: Readonly<Record<string, readonly string[]>> = {
  image: [
    "name",
    "push",
    "push-by-digest",
    "registry.insecure",
    "store",
    "unpack",
    "name-canonical",
    "dangling-name-prefix",
    ...settingKeys,
  ],
  oci: ["dest", "tar", "name", ...settingKeys],
  docker: [
    "dest",
    "tar",
    "name",
    "context",
    "load",
    "push",
    "push-by-digest",
    "registry.insecure",
    "unpack",
    "name-canonical",
    "dangling-name-prefix",
    ...settingKeys,
  ],
  local: ["dest", "mode", "platform-split", "attestation-prefix", "source-date-epoch"],
  tar: ["dest", "platform-split", "attestation-prefix", "source-date-epoch"],
  cacheonly: [],
};

/** @throws {TsbuildError} `USAGE`, `UNSUPPORTED` */
export function parseOutput(text: string, cwd: string): BuildOutput {
  if (!text.includes("=")) return parseFields(text === "-" ? "tar" : "local", new Map([["dest", text]]), text, cwd);
  const fields = new Map<string, string>();
  for (const field of csvFields(text)) {
    const at = field.indexOf("=");
    if (at <= 0) throw invalid(text, `${JSON.stringify(field)} is not key=value`);
    const key = field.slice(0, at).trim();
    // Keys of annotations are the image's and keep their case.
    fields.set(key.startsWith("annotation") ? key : key.toLowerCase(), field.slice(at + 1));
  }
  const type = fields.get("type");
  if (type === undefined) throw invalid(text, "type is missing", `type is one of ${types.join(", ")}`);
  fields.delete("type");
  return parseFields(type, fields, text, cwd);
}

const types = ["image", "registry", "docker", "oci", "local", "tar", "cacheonly"];

function parseFields(type: string, given: ReadonlyMap<string, string>, text: string, cwd: string): BuildOutput {
  if (!types.includes(type)) {
    const near = nearestWord(type, types);
    throw invalid(text, `unknown type ${type}`, near === undefined ? `one of ${types.join(", ")}` : `type=${near}`);
  }
  const fields = new Fields(given, text);
  const known = keysOf[type === "registry" ? "image" : type] ?? [];
  for (const key of given.keys()) checkKey(key, known, type, text);
  switch (type) {
    case "image":
    case "registry":
      return imageOutput(fields, type === "registry");
    case "docker":
      if (!given.has("dest") && !given.has("context") && fields.bool("tar", true)) return imageOutput(fields, false);
      return archiveOutput("docker", fields, cwd);
    case "oci":
      return archiveOutput("oci", fields, cwd);
    case "cacheonly":
      return { kind: "cacheonly" };
    default:
      return filesOutput(type === "tar" ? "tar" : "local", fields, cwd);
  }
}

function checkKey(key: string, known: readonly string[], type: string, text: string): void {
  const hasDocuments = known.includes("compression");
  if (known.includes(key) || (hasDocuments && annotationPlace(key) !== undefined)) return;
  const near = nearestWord(key, known);
  throw invalid(
    text,
    `type=${type} has no key ${key}`,
    near !== undefined ? `did you mean ${near}?` : known.length > 0 ? `its keys: ${known.join(", ")}` : undefined,
  );
}

class Fields {
  readonly #fields: ReadonlyMap<string, string>;
  readonly #text: string;

  constructor(fields: ReadonlyMap<string, string>, text: string) {
    this.#fields = fields;
    this.#text = text;
  }

  get(key: string): string | undefined {
    return this.#fields.get(key);
  }

  entries(): Iterable<readonly [string, string]> {
    return this.#fields;
  }

  has(...keys: readonly string[]): boolean {
    return keys.some((key) => this.#fields.has(key));
  }

  fail(why: string, hint?: string): TsbuildError {
    return invalid(this.#text, why, hint);
  }

  bool(key: string, otherwise: boolean): boolean {
    const value = this.#fields.get(key);
    if (value === undefined) return otherwise;
    if (/^(?:1|t|true)$/i.test(value)) return true;
    if (/^(?:0|f|false)$/i.test(value)) return false;
    throw this.fail(`${key} must be true or false`);
  }

  number(key: string, from: number, to: number): number | undefined {
    const value = this.#fields.get(key);
    if (value === undefined) return undefined;
    if (/^[0-9]{1,15}$/.test(value) && Number(value) >= from && Number(value) <= to) return Number(value);
    throw this.fail(`${key} must be a number from ${from} to ${to}`);
  }
}

function imageOutput(fields: Fields, push: boolean): ImageOutput {
  const pushByDigest = fields.bool("push-by-digest", false);
  const names = namesOf(fields);
  return {
    kind: "image",
    names,
    push: fields.bool("push", push || pushByDigest),
    pushByDigest,
    insecure: fields.bool("registry.insecure", false),
    store: fields.bool("store", true),
    canonicalNames: fields.bool("name-canonical", false),
    danglingPrefix: danglingPrefix(fields),
    // The store holds every layer unpacked, so `unpack` asks for what is there.
    settings: documentSettings(fields, { oci: true, inlineAttestations: true }),
  };
}

function archiveOutput(kind: "oci" | "docker", fields: Fields, cwd: string): ArchiveOutput {
  const dest = fields.get("dest");
  const engine = fields.get("context");
  const tar = fields.bool("tar", true);
  if (engine !== undefined && (dest !== undefined || !tar))
    throw fields.fail("an engine loads the archive, which then lies nowhere else", `type=docker,context=${engine}`);
  if (engine === undefined && (dest === undefined || dest === ""))
    throw fields.fail("dest is missing", `type=${kind},dest=FILE`);
  if (!tar && dest === "-") throw fields.fail("tar=false makes a folder, and - is none");
  const names = namesOf(fields);
  const settings = documentSettings(fields, { oci: kind === "oci", inlineAttestations: false });
  const file = dest === undefined || dest === "-" ? undefined : resolve(cwd, dest);
  return { kind, dest: file, engine, tar, names, settings };
}

function filesOutput(kind: "local" | "tar", fields: Fields, cwd: string): FilesOutput {
  const dest = fields.get("dest");
  if (dest === undefined || dest === "") throw fields.fail("dest is missing", `type=${kind},dest=PATH`);
  if (kind === "local" && dest === "-") throw fields.fail("- is no folder", "type=tar,dest=-");
  const mode = fields.get("mode") ?? "copy";
  if (mode !== "copy" && mode !== "delete") throw fields.fail("mode must be copy or delete");
  return {
    kind,
    dest: dest === "-" ? undefined : resolve(cwd, dest),
    mode,
    platformSplit: fields.get("platform-split") === undefined ? undefined : fields.bool("platform-split", true),
    sourceDateEpoch: fields.number("source-date-epoch", 0, Number.MAX_SAFE_INTEGER),
    attestationPrefix: fields.get("attestation-prefix") ?? "",
  };
}

/** `*` would be a name of each tag's own. */
function namesOf(fields: Fields): readonly Reference[] {
  const name = fields.get("name");
  return name === undefined
    ? []
    : name
        .split(",")
        .filter((text) => text.trim() !== "")
        .map((text) => parseTag(text.trim()));
}

const compressions = ["uncompressed", "gzip", "estargz", "zstd"] as const;

function isCompression(text: string): text is (typeof compressions)[number] {
  return (compressions as readonly string[]).includes(text);
}

/** eStargz is gzip to whoever does not know it. */
function packingOf(compression: (typeof compressions)[number]): Packing["compression"] {
  if (compression === "uncompressed") return "none";
  return compression === "estargz" ? "gzip" : compression;
}

/** @throws {TsbuildError} `INVALID_REFERENCE`, `USAGE` for one with a tag */
function danglingPrefix(fields: Fields): Reference | undefined {
  const prefix = fields.get("dangling-name-prefix");
  if (prefix === undefined || prefix === "") return undefined;
  const reference = parseReferenceAsWritten(prefix);
  if (reference.tag !== undefined || reference.digest !== undefined)
    throw fields.fail("dangling-name-prefix is a name without tag and digest");
  return reference;
}

function documentSettings(
  fields: Fields,
  otherwise: { readonly oci: boolean; readonly inlineAttestations: boolean },
): DocumentSettings {
  const annotations = [...fields.entries()].flatMap(([key, value]) => annotationOf(key, value));
  const compression = fields.get("compression") ?? "gzip";
  if (!isCompression(compression)) throw fields.fail(`compression must be one of ${compressions.join(", ")}`);
  const level = fields.number("compression-level", 0, compression === "zstd" ? 22 : 9);
  const wantsOci = annotations.length > 0 || compression === "zstd" || compression === "estargz";
  const ociMediaTypes = fields.bool("oci-mediatypes", otherwise.oci || wantsOci);
  if (!ociMediaTypes && wantsOci)
    throw fields.fail(
      annotations.length > 0 ? "annotations need OCI media types" : `${compression} needs OCI media types`,
      "leave oci-mediatypes out",
    );
  return {
    packing: {
      compression: packingOf(compression),
      level: compression === "estargz" ? undefined : level,
      force: fields.bool("force-compression", false),
      keepNondistributable: fields.bool("prefer-nondist-layers", false),
    },
    estargzLevel: compression === "estargz" ? (level ?? 6) : undefined,
    ociMediaTypes,
    annotations,
    rewriteTimestamp: fields.bool("rewrite-timestamp", false),
    sourceDateEpoch: fields.number("source-date-epoch", 0, Number.MAX_SAFE_INTEGER),
    ociArtifact: fields.bool("oci-artifact", true),
    inlineAttestations: fields.bool("attestation-inline", otherwise.inlineAttestations),
  };
}

/** `annotation[-TYPE][[PLATFORM]].KEY` */
function annotationPlace(
  name: string,
): { readonly place: AnnotationPlace; readonly platform: string | undefined; readonly key: string } | undefined {
  const match = /^annotation(?:-(manifest-descriptor|manifest|index-descriptor|index))?(?:\[([^\]]*)\])?\.(.+)$/s.exec(
    name,
  );
  if (match?.[3] === undefined) return undefined;
  return { place: (match[1] ?? "manifest") as AnnotationPlace, platform: match[2], key: match[3] };
}

function annotationOf(name: string, value: string): readonly Annotation[] {
  const found = annotationPlace(name);
  if (found === undefined) return [];
  const { place, key } = found;
  return [{ place, platform: found.platform === undefined ? undefined : parsePlatform(found.platform), key, value }];
}

/**
 * `--annotation [TYPE[,TYPE…][[PLATFORM]]:]KEY=VALUE`. Types stand in front of a colon, so a colon in a key is one only if
 * what is before it are types. Source: buildx, util/buildflags/annotations.go.
 */
export function parseAnnotation(text: string): readonly Annotation[] {
  const match = /^((?:[a-z-]+(?:\[[^\]]*\])?)(?:,[a-z-]+(?:\[[^\]]*\])?)*):([^=]*=.*)$/s.exec(text);
  const words = match?.[1]?.split(/,(?![^[]*\])/) ?? [];
  const isTyped =
    words.length > 0 && words.every((word) => (places as readonly string[]).includes(word.replace(/\[.*$/, "")));
  if (match !== null && !isTyped && words.some((word) => /\[/.test(word) || words.length > 1))
    throw invalidAnnotation(
      text,
      `unknown type ${words.find((word) => !(places as readonly string[]).includes(word.replace(/\[.*$/, "")))}`,
    );
  const pair = isTyped ? (match?.[2] ?? "") : text;
  const at = pair.indexOf("=");
  if (at <= 0) throw invalidAnnotation(text, "it must be key=value");
  const key = pair.slice(0, at);
  const value = pair.slice(at + 1);
  return (isTyped ? words : ["manifest"]).map((word) => {
    const platform = /\[(.*)\]$/.exec(word)?.[1];
    const place = word.replace(/\[.*$/, "") as AnnotationPlace;
    if (platform !== undefined && place.startsWith("index"))
      throw invalidAnnotation(text, "an index has no platform of its own");
    return { place, platform: platform === undefined ? undefined : parsePlatform(platform), key, value };
  });
}

function invalidAnnotation(text: string, why: string): TsbuildError {
  return new TsbuildError({
    code: "USAGE",
    what: `invalid argument ${JSON.stringify(text)} for --annotation: ${why}`,
    hint: `[${places.join("|")}[PLATFORM]:]KEY=VALUE`,
  });
}

function invalid(text: string, why: string, hint?: string): TsbuildError {
  return new TsbuildError({
    code: "USAGE",
    what: `invalid argument ${JSON.stringify(text)} for --output: ${why}`,
    hint,
  });
}
