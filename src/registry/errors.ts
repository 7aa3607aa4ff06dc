/** What can go wrong between us and a registry, as sentences side by side. Docker's words where people search for them. */
import { TsbuildError } from "../errors.ts";
import type { Digest } from "../oci/digest.ts";
import { familiarName, familiarReference, type Reference } from "../oci/reference.ts";

/** One answer of a registry that is no success. */
export interface RegistryAnswer {
  readonly url: string;
  readonly status: number;
  /** `denied: requested access to the resource is denied`: code and message in the registry's own words. */
  readonly said: string;
  /** The registry's code: `DENIED`, or `` when it sent none. */
  readonly code: string;
  readonly repository: string;
  /** `without credentials`, `as bob (from /root/.docker/config.json)`. */
  readonly credentials: string;
}

export const manifestNotFound = (reference: Reference, answer: RegistryAnswer): TsbuildError =>
  new TsbuildError({
    code: "REGISTRY_NOT_FOUND",
    what: `manifest for ${familiarReference(reference)} not found: ${answer.said} ${circumstances(answer)}`,
    hint: "check the tag",
  });

export const repositoryNotFound = (reference: Reference, answer: RegistryAnswer): TsbuildError =>
  new TsbuildError({
    code: "REGISTRY_NOT_FOUND",
    what: `repository ${familiarName(reference)} not found: ${answer.said} ${circumstances(answer)}`,
    hint: "check the name",
  });

export const pullDenied = (reference: Reference, answer: RegistryAnswer): TsbuildError =>
  new TsbuildError({
    code: "REGISTRY_DENIED",
    what: `pull access denied for ${familiarName(reference)}, repository does not exist or may require 'tsbuild login': ${answer.said} ${circumstances(answer)}`,
    hint: `check the name, or log in: ${loginCommand(reference.domain)}`,
  });

export const pushDenied = (reference: Reference, answer: RegistryAnswer): TsbuildError =>
  new TsbuildError({
    code: "REGISTRY_DENIED",
    what: `${answer.said} ${circumstances(answer)}`,
    hint: `log in: ${loginCommand(reference.domain)}`,
  });

export const loginRefused = (answer: RegistryAnswer): TsbuildError =>
  new TsbuildError({
    code: "REGISTRY_DENIED",
    what: `unauthorized: incorrect username or password ${circumstances(answer)}`,
  });

export const requestFailed = (doing: string, answer: RegistryAnswer): TsbuildError =>
  new TsbuildError({ code: "REGISTRY_FAILED", what: `${doing} failed: ${answer.said} ${circumstances(answer)}` });

export const registryUnreachable = (url: string, why: string, cause: unknown): TsbuildError =>
  new TsbuildError({
    code: "REGISTRY_FAILED",
    what: `the registry at ${originOf(url)} cannot be reached: ${why}`,
    cause,
  });

/** The connection broke, or nothing came for too long. */
export const connectionLost = (doing: string, url: string, why: string, cause?: unknown): TsbuildError =>
  new TsbuildError({ code: "REGISTRY_FAILED", what: `${doing} from ${originOf(url)} failed: ${why}`, cause });

export const answerUnreadable = (doing: string, url: string, detail: string): TsbuildError =>
  new TsbuildError({
    code: "REGISTRY_FAILED",
    what: `${doing}: ${originOf(url)} sent an answer that cannot be read: ${detail}`,
  });

export const contentMismatch = (what: string, expected: Digest, url: string, detail: string): TsbuildError =>
  new TsbuildError({
    code: "REGISTRY_FAILED",
    what: `${what} from ${originOf(url)} is not what was asked for: expected ${expected}, ${detail}`,
    hint: "nothing of it was kept; try again, or ask who runs the registry",
  });

export const noMatchForPlatform = (
  reference: Reference,
  platform: string,
  available: readonly string[],
): TsbuildError =>
  new TsbuildError({
    code: "REGISTRY_NOT_FOUND",
    what: `no match for platform ${platform} in the manifest of ${familiarReference(reference)}, available: ${available.join(", ") || "none"}`,
    ...(available[0] !== undefined && { hint: `choose one of them: --platform ${available[0]}` }),
  });

export const layerUnsupported = (reference: Reference, mediaType: string): TsbuildError =>
  new TsbuildError({
    code: "UNSUPPORTED",
    what: `${familiarReference(reference)} has a layer of media type ${JSON.stringify(mediaType)}, which tsbuild cannot unpack`,
  });

export const notAnImage = (reference: Reference, mediaType: string): TsbuildError =>
  new TsbuildError({
    code: "UNSUPPORTED",
    what: `${familiarReference(reference)} is no image: its config is of media type ${JSON.stringify(mediaType)}`,
  });

export const imageNotLocal = (reference: Reference): TsbuildError =>
  new TsbuildError({
    code: "IMAGE_NOT_FOUND",
    what: `An image does not exist locally with the tag: ${familiarName(reference)}`,
    hint: "see what there is: tsbuild images",
  });

export const credentialsUnreadable = (file: string, detail: string, cause?: unknown): TsbuildError =>
  new TsbuildError({
    code: "INVALID_CONFIG",
    what: `credentials cannot be read: ${detail}`,
    where: { kind: "path", path: file },
    cause,
  });

export const configUnreadable = (path: string, detail: string, cause?: unknown): TsbuildError =>
  new TsbuildError({
    code: "INVALID_CONFIG",
    what: `the configuration of registries cannot be read: ${detail}`,
    where: { kind: "path", path },
    cause,
  });

export const registryBlocked = (domain: string, file: string): TsbuildError =>
  new TsbuildError({
    code: "REGISTRY_DENIED",
    what: `the registry ${domain} is blocked`,
    where: { kind: "path", path: file },
  });

export const certificatesUnreadable = (path: string, detail: string, cause?: unknown): TsbuildError =>
  new TsbuildError({
    code: "INVALID_CONFIG",
    what: `certificates cannot be read: ${detail}`,
    where: { kind: "path", path },
    cause,
  });

export const helperFailed = (program: string, action: string, output: string): TsbuildError =>
  new TsbuildError({
    code: "REGISTRY_DENIED",
    what: `the credential helper ${program} failed to ${action}${output === "" ? "" : `: ${printable(output)}`}`,
  });

function circumstances({ url, repository, status, credentials }: RegistryAnswer): string {
  const parts = [
    new URL(url).host,
    ...(repository === "" ? [] : [`repository ${repository}`]),
    `HTTP ${status}`,
    credentials,
  ];
  return `(${parts.join(", ")})`;
}

export function loginCommand(domain: string): string {
  return domain === "docker.io" ? "tsbuild login" : `tsbuild login ${domain}`;
}

/** Text from elsewhere, on one line, without what would move a terminal's cursor. */
export function printable(text: string, limit = 500): string {
  const clean = text.replaceAll(/[\s\x00-\x1f\x7f-\x9f]+/g, " ").trim();
  return clean.length > limit ? `${clean.slice(0, limit)}…` : clean;
}

/** A URL for people: without user, password, query and fragment, where signatures and tokens are. */
export function redactedUrl(url: string): string {
  const parsed = new URL(url);
  return `${parsed.protocol}//${parsed.host}${parsed.pathname}`;
}

function originOf(url: string): string {
  const { protocol, host } = new URL(url);
  return `${protocol}//${host}`;
}

export const downloadFailed = (url: string, status: number): TsbuildError =>
  new TsbuildError({
    code: "REGISTRY_FAILED",
    what: `${redactedUrl(url)} answered with HTTP ${status}`,
  });

/** A registry that wants us to come back much later. */
export const askedToWait = (error: TsbuildError, waitMs: number): TsbuildError =>
  new TsbuildError({
    code: error.code,
    what: error.message,
    hint: `it asks to wait ${Math.ceil(waitMs / 1000)} seconds: try again then, or log in`,
    cause: error,
  });
