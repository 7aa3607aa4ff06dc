/** `--cache-from` and `--cache-to` as values. Source: Docker docs, "Cache storage backends". */
import { resolve } from "node:path";
import { TsbuildError } from "../../errors.ts";
import { nearestWord } from "../../nearest-word.ts";
import { isDigest } from "../../oci/digest.ts";
import { parseReference, type Reference } from "../../oci/reference.ts";
import type { Packing } from "../../store/packed-layer.ts";
import { csvFields } from "../csv-fields.ts";

export type CacheSource =
  | { readonly kind: "registry"; readonly reference: Reference; readonly insecure: boolean }
  /** `name`: a tag or a digest in the layout. */
  | { readonly kind: "local"; readonly folder: string; readonly name: string };

export type CacheTarget =
  | { readonly kind: "inline" }
  | (CachePlace & {
      readonly mode: "min" | "max";
      readonly packing: Packing;
      /** An image's manifest, or an index over the layers themselves, which older builders write. */
      readonly form: "manifest" | "index" | "dockerList";
      /** Its failure is a warning. */
      readonly ignoreError: boolean;
    });

type CachePlace =
  | { readonly kind: "registry"; readonly reference: Reference; readonly insecure: boolean }
  | { readonly kind: "local"; readonly folder: string; readonly tag: string; readonly reset: boolean };

const elsewhere = ["gha", "s3", "azblob"];
const fromKeys = { registry: ["ref", "registry.insecure"], local: ["src", "tag", "digest"] };
const toKeys = {
  registry: ["ref", "registry.insecure"],
  local: ["dest", "tag", "reset"],
  inline: [],
};
const exportKeys = [
  "mode",
  "compression",
  "compression-level",
  "force-compression",
  "ignore-error",
  "image-manifest",
  "oci-mediatypes",
];

/** @throws {TsbuildError} `USAGE`, `UNSUPPORTED`, `INVALID_REFERENCE` */
export function parseCacheSource(text: string, cwd: string): CacheSource {
  const spec = fieldsOf("--cache-from", text, fromKeys);
  const { fields, fail } = spec;
  if (spec.type === "registry")
    return { kind: "registry", reference: referenceOf(spec), insecure: isTrue(spec, "registry.insecure", false) };
  const source = fields.get("src");
  if (source === undefined || source === "") throw fail("src is missing", "type=local,src=DIR");
  const digest = fields.get("digest");
  if (digest !== undefined && !isDigest(digest)) throw fail("digest is no digest");
  return { kind: "local", folder: resolve(cwd, source), name: digest ?? fields.get("tag") ?? "latest" };
}

/** @throws {TsbuildError} `USAGE`, `UNSUPPORTED`, `INVALID_REFERENCE` */
export function parseCacheTarget(text: string, cwd: string): CacheTarget {
  const spec = fieldsOf("--cache-to", text, toKeys);
  const { fields, fail } = spec;
  if (spec.type === "inline") return { kind: "inline" };
  const mode = fields.get("mode") ?? "min";
  if (mode !== "min" && mode !== "max") throw fail("mode must be min or max");
  const compression = fields.get("compression") ?? "gzip";
  if (compression !== "gzip" && compression !== "zstd" && compression !== "uncompressed")
    throw fail("compression must be uncompressed, gzip or zstd");
  const level = fields.get("compression-level");
  if (level !== undefined && !/^[0-9]{1,2}$/.test(level)) throw fail("compression-level must be a number");
  const ociMediaTypes = isTrue(spec, "oci-mediatypes", true);
  const imageManifest = isTrue(spec, "image-manifest", ociMediaTypes);
  if (imageManifest && !ociMediaTypes)
    throw fail("an image's manifest needs OCI media types", "leave image-manifest or oci-mediatypes out");
  const common = {
    mode,
    form: imageManifest ? "manifest" : ociMediaTypes ? "index" : "dockerList",
    packing: {
      compression: compression === "uncompressed" ? "none" : compression,
      level: level === undefined ? undefined : Number(level),
      force: isTrue(spec, "force-compression", false),
    },
    ignoreError: isTrue(spec, "ignore-error", false),
  } as const;
  if (spec.type === "registry")
    return {
      ...common,
      kind: "registry",
      reference: referenceOf(spec),
      insecure: isTrue(spec, "registry.insecure", false),
    };
  const dest = fields.get("dest");
  if (dest === undefined || dest === "") throw fail("dest is missing", "type=local,dest=DIR");
  const tag = fields.get("tag") ?? "latest";
  return { ...common, kind: "local", folder: resolve(cwd, dest), tag, reset: isTrue(spec, "reset", false) };
}

interface Spec {
  readonly type: string;
  readonly fields: ReadonlyMap<string, string>;
  readonly fail: (why: string, hint?: string) => TsbuildError;
}

/** A bare name is a registry's. */
function fieldsOf(flag: string, text: string, keys: Readonly<Record<string, readonly string[]>>): Spec {
  const fail = (why: string, hint?: string): TsbuildError =>
    new TsbuildError({ code: "USAGE", what: `invalid argument ${JSON.stringify(text)} for ${flag}: ${why}`, hint });
  if (!text.includes("=")) return { type: "registry", fields: new Map([["ref", text]]), fail };
  const fields = new Map<string, string>();
  for (const field of csvFields(text)) {
    const at = field.indexOf("=");
    if (at <= 0) throw fail(`${JSON.stringify(field)} is not key=value`);
    fields.set(field.slice(0, at).trim().toLowerCase(), field.slice(at + 1));
  }
  const type = fields.get("type");
  if (type === undefined) throw fail("type is missing", `one of ${Object.keys(keys).join(", ")}`);
  if (elsewhere.includes(type))
    throw new TsbuildError({
      code: "UNSUPPORTED",
      what: `${flag} type=${type} is not supported`,
      hint: `there are ${Object.keys(keys).join(", ")}`,
    });
  const own = Object.hasOwn(keys, type) ? keys[type] : undefined;
  if (own === undefined) {
    const near = nearestWord(type, Object.keys(keys));
    throw fail(`unknown type ${type}`, near === undefined ? `one of ${Object.keys(keys).join(", ")}` : `type=${near}`);
  }
  fields.delete("type");
  const known = keys === toKeys ? [...own, ...exportKeys] : own;
  for (const key of fields.keys()) {
    if (known.includes(key)) continue;
    const near = nearestWord(key, known);
    throw fail(`type=${type} has no key ${key}`, near === undefined ? undefined : `did you mean ${near}?`);
  }
  return { type, fields, fail };
}

function referenceOf({ fields, fail }: Spec): Reference {
  const name = fields.get("ref");
  if (name === undefined || name === "") throw fail("ref is missing", "type=registry,ref=REGISTRY/NAME:TAG");
  return parseReference(name);
}

function isTrue({ fields, fail }: Spec, key: string, otherwise: boolean): boolean {
  const value = fields.get(key);
  if (value === undefined) return otherwise;
  if (/^(?:1|t|true)$/i.test(value)) return true;
  if (/^(?:0|f|false)$/i.test(value)) return false;
  throw fail(`${key} must be true or false`);
}
