/**
 * ADD of URLs: fetched at every build, because only the bytes say whether they changed.
 * Source: Dockerfile reference, "ADD".
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { posix } from "node:path";
import { errnoOf, TsbuildError, type Where } from "../errors.ts";
import { setMtime } from "../kernel/files.ts";
import type { Digest } from "../oci/digest.ts";

export interface Download {
  /** On the host; gone when the build is over. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly digest: Digest;
  /** Whole seconds; 0 where the server does not say. */
  readonly lastModifiedSeconds: number;
  /** Hex, by algorithm: what `--checksum` may ask for. */
  readonly checksums: ReadonlyMap<string, string>;
}

const algorithms = ["sha256", "sha384", "sha512"] as const;

/**
 * Redirects are followed; proxies and CA files come from the environment.
 * @throws {TsbuildError} `SOURCE_NOT_FOUND` for a status that is no success and for a server that is not there
 */
export async function download(url: string, path: string, where: Where, signal: AbortSignal): Promise<Download> {
  const { EnvHttpProxyAgent, interceptors, request } = await import("undici");
  const agent = new EnvHttpProxyAgent();
  const dispatcher = agent.compose(interceptors.redirect({ maxRedirections: 10 }));
  try {
    const { statusCode, statusText, headers, body } = await request(url, { dispatcher, signal });
    if (statusCode < 200 || statusCode >= 400) {
      // Its end is the agent's, below; without a listener that would count as an uncaught error.
      body.on("error", () => undefined);
      throw failed(url, where, `${statusCode} ${statusText}`.trim(), undefined);
    }
    const written = await write(body, path);
    const stated = headers["last-modified"];
    const lastModified = Date.parse(typeof stated === "string" ? stated : "");
    const lastModifiedSeconds = Number.isNaN(lastModified) ? 0 : Math.floor(lastModified / 1000);
    setMtime(path, BigInt(lastModifiedSeconds) * 1_000_000_000n);
    return { ...written, path, lastModifiedSeconds };
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

function failed(url: string, where: Where, why: string, cause: unknown): TsbuildError {
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

/**
 * @throws {TsbuildError} `COPY_FAILED` when the bytes are others, `INVALID_ARGUMENT` for a checksum of no known form
 */
export function verifyChecksum(wanted: string, got: Download, url: string, where: Where): void {
  const [algorithm = "", hex = ""] = wanted.split(":");
  const actual = got.checksums.get(algorithm);
  if (actual === undefined || actual.length !== hex.length || !/^[0-9a-f]+$/.test(hex))
    throw new TsbuildError({
      code: "INVALID_ARGUMENT",
      what: `--checksum: ${JSON.stringify(wanted)} is no digest`,
      where,
      hint: `such as sha256:${got.checksums.get("sha256")}`,
    });
  if (actual !== hex)
    throw new TsbuildError({
      code: "COPY_FAILED",
      what: `${shownUrl(url)} has the digest ${algorithm}:${actual}, wanted is ${wanted}`,
      where,
    });
}
