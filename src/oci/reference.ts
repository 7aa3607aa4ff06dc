/** Image references. Source: distribution's reference grammar, and its `ParseDockerRef` for the normal form. */
import { TsbuildError } from "../errors.ts";
import { type Digest, isDigest } from "./digest.ts";

/** A normalised reference: domain and path are always there. */
export interface Reference {
  /** `docker.io`, `localhost:5000`. */
  readonly domain: string;
  /** `library/debian`. */
  readonly path: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

const label = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const host = `(?:${label}(?:\\.${label})*|\\[[a-fA-F0-9:]+\\])`;
const component = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const domainPattern = new RegExp(`^${host}(?::[0-9]+)?$`);
const pathPattern = new RegExp(`^${component}(?:/${component})*$`);
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

function invalid(text: string, detail?: string, hint?: string): TsbuildError {
  return new TsbuildError({
    code: "INVALID_REFERENCE",
    what: `invalid reference format${detail === undefined ? `: ${JSON.stringify(text)}` : `: ${detail}`}`,
    hint,
  });
}

/**
 * Parses what a user types, without adding `latest`: `debian` has neither tag nor digest.
 * @throws {TsbuildError} `INVALID_REFERENCE`
 */
export function parseReferenceAsWritten(text: string): Reference {
  if (/^[a-z]+:\/\//.test(text)) throw invalid(text, undefined, `leave out ${text.slice(0, text.indexOf("//") + 2)}`);
  if (/^[0-9a-f]{64}$/.test(text)) throw invalid(text, "a name of 64 hex digits is an image ID");
  let rest = text;
  let digest: Digest | undefined;
  const at = rest.indexOf("@");
  if (at >= 0) {
    const digestText = rest.slice(at + 1);
    if (!isDigest(digestText)) throw invalid(text);
    digest = digestText;
    rest = rest.slice(0, at);
  }
  let tag: string | undefined;
  const colon = rest.lastIndexOf(":");
  if (colon > rest.lastIndexOf("/")) {
    tag = rest.slice(colon + 1);
    if (!tagPattern.test(tag)) throw invalid(text);
    rest = rest.slice(0, colon);
  }
  const slash = rest.indexOf("/");
  const first = slash < 0 ? "" : rest.slice(0, slash);
  const hasDomain = first !== "" && (/[.:]/.test(first) || first === "localhost" || /[A-Z]/.test(first));
  let domain = hasDomain ? first : "docker.io";
  if (domain === "index.docker.io") domain = "docker.io";
  let path = hasDomain ? rest.slice(slash + 1) : rest;
  if (/[A-Z]/.test(path) && pathPattern.test(path.toLowerCase()))
    throw invalid(text, `repository name (${rest}) must be lowercase`);
  if (!domainPattern.test(domain) || !pathPattern.test(path)) throw invalid(text);
  if (domain === "docker.io" && !path.includes("/")) path = `library/${path}`;
  if (domain.length + 1 + path.length > 255)
    throw invalid(text, "repository name must not be more than 255 characters");
  return { domain, path, ...(tag !== undefined && { tag }), ...(digest !== undefined && { digest }) };
}

/** As above, with `latest` where there is neither tag nor digest. */
export function parseReference(text: string): Reference {
  const reference = parseReferenceAsWritten(text);
  return reference.tag === undefined && reference.digest === undefined ? { ...reference, tag: "latest" } : reference;
}

/** `docker.io/library/debian:latest`: the key of a reference in the store. */
export function canonicalReference(reference: Reference): string {
  return withSuffix(`${reference.domain}/${reference.path}`, reference);
}

/** `debian:latest`: what people read. */
export function familiarReference(reference: Reference): string {
  return withSuffix(familiarName(reference), reference);
}

/** `debian`: the repository without tag and digest. */
export function familiarName(reference: Reference): string {
  if (reference.domain !== "docker.io") return `${reference.domain}/${reference.path}`;
  return reference.path.replace(/^library\/(?=[^/]+$)/, "");
}

function withSuffix(name: string, { tag, digest }: Reference): string {
  return `${name}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}
