/**
 * Files at URLs. Only the bytes say whether they changed, so each build asks; a server that gives an ETag is asked whether
 * the file is still the same, and one of a known checksum is not asked for at all until its bytes are needed.
 * Source: Dockerfile reference, "ADD"; RFC 9110, "Conditional Requests".
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { posix } from "node:path";
import type { Readable } from "node:stream";
import { errnoOf, TsbuildError, type Where } from "../errors.ts";
import { setMtime } from "../kernel/files.ts";
import type { Digest } from "../oci/digest.ts";
import { isUnknownAuthority, tlsOptions, type WebEnvironment, webDispatcher } from "../web-dispatcher.ts";
import type { SecretSource } from "./build-options.ts";
import { headerSecret } from "./header-secret.ts";

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
  readonly access: WebAccess;
  readonly where: Where | undefined;
  readonly signal: AbortSignal;
}

/** How servers are spoken to. */
export interface WebAccess {
  /** Proxies and CA files. */
  readonly environment: WebEnvironment;
  /** `HTTP_AUTH_HEADER_HOST` and `HTTP_AUTH_TOKEN_HOST`. */
  readonly secrets: ReadonlyMap<string, SecretSource>;
}

const algorithms = ["sha256", "sha384", "sha512"] as const;

/**
 * Redirects are followed. Undefined when the file is still that of `etag`. What was compressed for the way alone is
 * written as it was before. As in BuildKit, whose client asks for gzip.
 * @throws {TsbuildError} `SOURCE_NOT_FOUND` for a status that is no success and for a server that is not there
 */
export async function download(request: DownloadRequest): Promise<Download | undefined> {
  const { url, path, etag: known, where, signal } = request;
  await using answer = await get(request);
  const { status, statusText, header, body } = answer;
  const etag = header("etag");
  // Some servers send the same bytes again to who has them.
  if (known !== undefined && (status === 304 || (etag !== undefined && strongTag(etag) === strongTag(known))))
    return undefined;
  if (status < 200 || status >= 400) throw failed(url, where, `${status} ${statusText}`.trim(), undefined);
  try {
    const written = await write(await plainBody(body, header("content-encoding")), path);
    const lastModifiedSeconds = httpTime(header("last-modified") ?? "");
    setMtime(path, BigInt(lastModifiedSeconds ?? 0) * 1_000_000_000n);
    return { ...written, path, lastModifiedSeconds, etag };
  } catch (error) {
    rmSync(path, { force: true });
    signal.throwIfAborted();
    throw errnoOf(error) === "ENOSPC" ? error : failed(url, where, reasonOf(error), error);
  }
}

// The way there ------------------------------------------------------------------------------------------------------

interface Answer extends AsyncDisposable {
  readonly status: number;
  readonly statusText: string;
  readonly header: (name: string) => string | undefined;
  readonly body: Readable;
}

/** As Go's client. */
const maxRedirects = 10;

async function get({ url: first, etag, access, where, signal }: DownloadRequest): Promise<Answer> {
  const condition = etag === undefined ? {} : { "if-none-match": etag };
  let url = parsed(first, first, where);
  let authorization = authorizationOf(url, access.secrets);
  for (let redirects = 0; ; redirects++) {
    const headers = {
      "user-agent": "tsbuild",
      "accept-encoding": "gzip",
      ...condition,
      ...(authorization !== undefined && { authorization }),
    };
    const answer = await getOnce(url, headers, { access, signal }).catch((error: unknown) => {
      signal.throwIfAborted();
      throw failed(first, where, reasonOf(error), error);
    });
    const location = answer.header("location");
    if (![301, 302, 303, 307, 308].includes(answer.status) || location === undefined) return answer;
    await answer[Symbol.asyncDispose]();
    if (redirects === maxRedirects) throw failed(first, where, `more than ${maxRedirects} redirects`, undefined);
    const next = parsed(location, url.href, where);
    // What opens one server is none of the business of another.
    if (next.hostname !== url.hostname || (url.protocol === "https:" && next.protocol !== "https:"))
      authorization = authorizationOf(next, access.secrets);
    url = next;
  }
}

function parsed(text: string, base: string, where: Where | undefined): URL {
  const url = URL.parse(text, base);
  if (url?.protocol === "http:" || url?.protocol === "https:") return url;
  const shown = shownUrl(text).replace(/[\x00-\x1f\x7f]/g, "");
  throw failed(base, where, `it leads to ${shown}, which is no web address`, undefined);
}

async function getOnce(
  url: URL,
  headers: Readonly<Record<string, string>>,
  { access, signal }: Pick<DownloadRequest, "access" | "signal">,
): Promise<Answer> {
  const { request: fetch } = await import("undici");
  const { environment } = access;
  const attempt = async (authorities: "node" | "system"): Promise<Answer> => {
    const dispatcher = await webDispatcher({ url, environment, tls: await tlsOptions({ authorities }) });
    try {
      const got = await fetch(url, { dispatcher, signal, headers });
      // The end of a body that nobody reads is the dispatcher's; without a listener it would be an uncaught error.
      got.body.on("error", () => undefined);
      return {
        status: got.statusCode,
        statusText: got.statusText,
        header: (name) => [got.headers[name] ?? []].flat()[0],
        body: got.body,
        [Symbol.asyncDispose]: () => dispatcher.destroy(),
      };
    } catch (error) {
      await dispatcher.destroy();
      throw error;
    }
  };
  try {
    return await attempt("node");
  } catch (error) {
    if (!isUnknownAuthority(error)) throw error;
    return await attempt("system");
  }
}

/**
 * A secret for the host, else what the URL itself says.
 * Source: Docker docs, "Build secrets", "HTTP authentication"; RFC 7617.
 */
function authorizationOf({ hostname, username, password }: URL, secrets: WebAccess["secrets"]): string | undefined {
  const token = headerSecret(`HTTP_AUTH_TOKEN_${hostname}`, secrets);
  if (token !== undefined) return `Bearer ${token}`;
  const header = headerSecret(`HTTP_AUTH_HEADER_${hostname}`, secrets);
  if (header !== undefined) return header;
  if (username === "" && password === "") return undefined;
  const pair = `${unescaped(username)}:${unescaped(password)}`;
  return `Basic ${Buffer.from(pair).toString("base64")}`;
}

// The file -----------------------------------------------------------------------------------------------------------

async function plainBody(body: Readable, encoding: string | undefined): Promise<Readable> {
  if (encoding?.toLowerCase() !== "gzip") return body;
  const { createGunzip } = await import("node:zlib");
  return body.compose(createGunzip());
}

function strongTag(etag: string): string {
  return etag.replace(/^W\//, "");
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** Epoch seconds; undefined for what is no date of HTTP in one of its three forms. Source: RFC 9110, 5.6.7. */
export function httpTime(text: string): number | undefined {
  const clock = "(?<h>\\d\\d):(?<m>\\d\\d):(?<s>\\d\\d)";
  const forms = [
    `[A-Z][a-z]{2}, (?<day>\\d\\d) (?<month>[A-Z][a-z]{2}) (?<year>\\d{4}) ${clock} GMT`,
    `[A-Z][a-z]{5,8}, (?<day>\\d\\d)-(?<month>[A-Z][a-z]{2})-(?<year>\\d\\d) ${clock} GMT`,
    `[A-Z][a-z]{2} (?<month>[A-Z][a-z]{2}) (?<day>[ \\d]\\d) ${clock} (?<year>\\d{4})`,
  ];
  for (const form of forms) {
    const groups = new RegExp(`^${form}$`).exec(text)?.groups;
    if (groups === undefined) continue;
    const month = months.indexOf(groups["month"] ?? "");
    const [day = 0, h = 0, m = 0, s = 0] = [groups["day"], groups["h"], groups["m"], groups["s"]].map(Number);
    const short = groups["year"] ?? "";
    // Of two digits: as in Go, from 1969 on.
    const year = Number(short) + (short.length === 4 ? 0 : Number(short) >= 69 ? 1900 : 2000);
    const date = new Date(Date.UTC(year, month, day, h, m, s));
    if (month < 0 || date.getUTCDate() !== day || h > 23 || m > 59 || s > 59) return undefined;
    return date.getTime() / 1000;
  }
  return undefined;
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
  const code = errnoOf(error);
  return code?.startsWith("E") === true ? code : error instanceof Error ? error.message : String(error);
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
  const name = posix.basename(unescaped(new URL(url).pathname));
  return name === "" || name === "." || name === ".." || name.includes("\0") ? "__unnamed__" : name;
}

/** A percent sign that escapes nothing stands for itself. */
function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
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
