/**
 * Files at URLs. Only the bytes say whether they changed, so each build asks; a server that gives an ETag is asked whether
 * the file is still the same, and one of a known checksum is not asked for at all until its bytes are needed.
 * Source: Dockerfile reference, "ADD"; RFC 9110, "Conditional Requests".
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { posix } from "node:path";
import { errnoOf, TsbuildError, type Where } from "../errors.ts";
import { setMtime } from "../kernel/files.ts";
import type { Digest } from "../oci/digest.ts";

/** What is known of a file, whether its bytes are here or not. */
export interface RemoteFile {
  readonly sizeBytes: number;
  readonly digest: Digest;
  /** Whole seconds; undefined where the server does not say. */
  readonly lastModifiedSeconds: number | undefined;
  /** Hex, by algorithm: what `--checksum` may ask for. */
  readonly checksums: ReadonlyMap<string, string>;
  /** On the host; gone when the build is over. Undefined while nobody needed the bytes. */
  readonly path: string | undefined;
}

export interface Download extends RemoteFile {
  readonly path: string;
  /** As the server wrote it. */
  readonly etag: string | undefined;
}

export interface DownloadRequest {
  readonly url: string;
  /** Where the bytes go. */
  readonly path: string;
  /** Of what is known: asks for the bytes only if they are others now. */
  readonly etag?: string;
  readonly where: Where | undefined;
  readonly signal: AbortSignal;
}

const algorithms = ["sha256", "sha384", "sha512"] as const;

/**
 * Redirects are followed; proxies and CA files come from the environment. Undefined when the file is still that of `etag`.
 * @throws {TsbuildError} `SOURCE_NOT_FOUND` for a status that is no success and for a server that is not there
 */
export async function download(request: DownloadRequest): Promise<Download | undefined> {
  const { url, path, etag: known, where, signal } = request;
  const { EnvHttpProxyAgent, interceptors, request: fetch } = await import("undici");
  const agent = new EnvHttpProxyAgent();
  const dispatcher = agent.compose(interceptors.redirect({ maxRedirections: 10 }));
  try {
    const condition = known === undefined ? {} : { headers: { "if-none-match": known } };
    const { statusCode, statusText, headers, body } = await fetch(url, { dispatcher, signal, ...condition });
    // The end of a body that nobody reads is the agent's, below; without a listener it would be an uncaught error.
    const unread = (): unknown => body.on("error", () => undefined);
    if (statusCode === 304 && known !== undefined) {
      unread();
      return undefined;
    }
    if (statusCode < 200 || statusCode >= 400) {
      unread();
      throw failed(url, where, `${statusCode} ${statusText}`.trim(), undefined);
    }
    const written = await write(body, path);
    const stated = headers["last-modified"];
    const lastModified = Date.parse(typeof stated === "string" ? stated : "");
    const lastModifiedSeconds = Number.isNaN(lastModified) ? undefined : Math.floor(lastModified / 1000);
    setMtime(path, BigInt(lastModifiedSeconds ?? 0) * 1_000_000_000n);
    const etag = typeof headers["etag"] === "string" ? headers["etag"] : undefined;
    return { ...written, path, lastModifiedSeconds, etag };
  } catch (error) {
    rmSync(path, { force: true });
    signal.throwIfAborted();
    throw error instanceof TsbuildError ? error : failed(url, where, reasonOf(error), error);
  } finally {
    await agent.destroy();
  }
}

async function write(
  body: AsyncIterable<Uint8Array>,
  path: string,
): Promise<Pick<Download, "sizeBytes" | "digest" | "checksums">> {
  const hashes = algorithms.map((algorithm) => [algorithm, createHash(algorithm)] as const);
  const fd = openSync(path, "wx", 0o600);
  let sizeBytes = 0;
  try {
    for await (const chunk of body) {
      for (let at = 0; at < chunk.byteLength; ) at += writeSync(fd, chunk, at);
      for (const [, hash] of hashes) hash.update(chunk);
      sizeBytes += chunk.byteLength;
    }
  } finally {
    closeSync(fd);
  }
  const checksums = new Map(hashes.map(([algorithm, hash]) => [algorithm as string, hash.digest("hex")]));
  return { sizeBytes, digest: `sha256:${checksums.get("sha256")}` as Digest, checksums };
}

function reasonOf(error: unknown): string {
  return errnoOf(error) ?? (error instanceof Error ? error.message : String(error));
}

function failed(url: string, where: Where | undefined, why: string, cause: unknown): TsbuildError {
  return new TsbuildError({ code: "SOURCE_NOT_FOUND", what: `cannot fetch ${shownUrl(url)}: ${why}`, where, cause });
}

/** Without user, password and query. */
export function shownUrl(url: string): string {
  return url.replace(/\/\/[^/?#]*@/, "//").replace(/[?#].*$/s, "");
}

/** The last segment of the URL as it was given: no query, no redirect, no Content-Disposition. */
export function fileNameOf(url: string): string {
  const { pathname } = new URL(url);
  const name = posix.basename(pathname);
  if (name === "") return "__unnamed__";
  try {
    return decodeURIComponent(name).replaceAll("/", "_");
  } catch {
    return name; // a percent sign that escapes nothing stands for itself
  }
}

/** `sha256:…`, in full. @throws {TsbuildError} `INVALID_ARGUMENT` */
export function checkChecksum(wanted: string, where: Where): void {
  const lengths: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };
  const [algorithm = "", hex = ""] = wanted.split(":");
  if (lengths[algorithm] === hex.length && /^[0-9a-f]+$/.test(hex)) return;
  const known = Object.hasOwn(lengths, algorithm);
  throw new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `--checksum: ${JSON.stringify(wanted)} is no digest`,
    where,
    hint: known
      ? `${algorithm} has ${lengths[algorithm]} hexadecimal digits, these are ${hex.length}`
      : "such as sha256:, sha384: or sha512: with all of its hexadecimal digits",
  });
}

/** @throws {TsbuildError} `COPY_FAILED` when the bytes are others */
export function verifyChecksum(wanted: string, got: RemoteFile, url: string, where: Where): void {
  const [algorithm = ""] = wanted.split(":");
  const actual = `${algorithm}:${got.checksums.get(algorithm)}`;
  if (actual === wanted) return;
  throw new TsbuildError({
    code: "COPY_FAILED",
    what: `${shownUrl(url)} has the digest ${actual}, wanted is ${wanted}`,
    where,
  });
}
