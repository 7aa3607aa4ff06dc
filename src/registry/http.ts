/**
 * HTTP as a registry needs it, on undici: redirects by hand (credentials never go to another host), proxies and CA files
 * from the environment, retries for what passes. What comes out is an answer of any status, or an error.
 */
import type { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { Dispatcher } from "undici";
import { errnoOf, TsbuildError } from "../errors.ts";
import { isUnknownAuthority, tlsOptions, webDispatcher } from "../web-dispatcher.ts";
import type { RegistryCertificates } from "./certificates.ts";
import { isLoopback } from "./endpoint.ts";
import { askedToWait, connectionLost, registryUnreachable } from "./errors.ts";

export interface HttpOptions {
  /** Proxies, CA files. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** No certificate is checked. */
  readonly insecure: boolean;
  readonly certificates?: RegistryCertificates | undefined;
  /** Sent with each request (`HttpHeaders` of the client configuration). */
  readonly headers?: Readonly<Record<string, string>>;
  /** Before the first retry; doubles with each. */
  readonly retryDelayMs?: number;
  /** How long nothing may come. */
  readonly timeoutMs?: number;
}

export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | Readable;
  readonly signal: AbortSignal;
  /** `pulling x`: for errors. */
  readonly doing: string;
}

export interface HttpAnswer {
  readonly status: number;
  /** After redirects. */
  readonly url: string;
  /** The first value, undefined without one. */
  header(name: string): string | undefined;
  headerLines(name: string): readonly string[];
  /** Must be read to its end, discarded or destroyed. */
  readonly body: Readable;
  /** Reads a small rest, so that the connection can be used again. */
  discard(): Promise<void>;
}

const maxRedirects = 5;
const retries = 3;
/** A person waits: who is asked to wait longer is told so instead. */
const longestWaitMs = 60_000;
const redirectStatuses = new Set([301, 302, 303, 307, 308]);
const transientStatuses = new Set([408, 429, 500, 502, 503, 504]);

/** Something that may be gone when it is tried again. */
export class Transient extends Error {
  readonly error: TsbuildError;
  readonly retryAfterMs: number | undefined;
  constructor(error: TsbuildError, retryAfterMs?: number) {
    super(error.message);
    this.error = error;
    this.retryAfterMs = retryAfterMs;
  }
}

export function isTransientStatus(status: number): boolean {
  return transientStatuses.has(status);
}

export class Http implements AsyncDisposable {
  readonly #options: HttpOptions;
  readonly #dispatchers = new Map<string, Promise<Dispatcher>>();
  /** Hosts whose certificate Node's own authorities do not vouch for: the system's are asked too. */
  readonly #needSystemAuthorities = new Set<string>();

  constructor(options: HttpOptions) {
    this.#options = options;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const dispatcher of this.#dispatchers.values()) await (await dispatcher).destroy();
    this.#dispatchers.clear();
  }

  /** Follows redirects of GET and HEAD. @throws {Transient} when the connection fails. */
  async request(request: HttpRequest): Promise<HttpAnswer> {
    let url = request.url;
    let headers = {
      ...this.#options.headers,
      "user-agent": "tsbuild",
      "accept-encoding": "identity",
      ...request.headers,
    };
    for (let hops = 0; ; hops++) {
      const answer = await this.#once({ ...request, url, headers });
      const location = answer.header("location");
      const follow =
        redirectStatuses.has(answer.status) && location !== undefined && /^(GET|HEAD)$/.test(request.method);
      if (!follow) return answer;
      await answer.discard();
      if (hops === maxRedirects) throw connectionLost(request.doing, url, "it redirects without end");
      const next = resolveUrl(location, url);
      if (next === undefined)
        throw connectionLost(request.doing, url, "it redirects to something that is no web address");
      if (next.origin !== new URL(url).origin) {
        // A token for the registry is none of the business of the storage behind it.
        const { authorization: _, ...others } = headers as Record<string, string>;
        headers = others as typeof headers;
      }
      url = next.href;
    }
  }

  async #once(request: HttpRequest): Promise<HttpAnswer> {
    const { url, doing, signal } = request;
    signal.throwIfAborted();
    const undici = await import("undici");
    const timeout = this.#options.timeoutMs ?? 60_000;
    try {
      const { statusCode, headers, body } = await undici.request(url, {
        method: request.method,
        headers: request.headers ?? {},
        body: request.body ?? null,
        dispatcher: await this.#dispatcherFor(new URL(url)),
        signal,
        headersTimeout: timeout,
        bodyTimeout: timeout,
      });
      // Whoever reads it sees its errors; a body that is thrown away has nobody to tell.
      body.on("error", () => undefined);
      const lines = (name: string): readonly string[] => {
        const value = headers[name.toLowerCase()];
        return value === undefined ? [] : typeof value === "string" ? [value] : value;
      };
      return {
        status: statusCode,
        url,
        header: (name) => lines(name)[0],
        headerLines: lines,
        body,
        discard: () => body.dump({ limit: 1 << 16 }),
      };
    } catch (error) {
      const { host } = new URL(url);
      const canRepeat = typeof request.body !== "object" || request.body instanceof Uint8Array;
      if (!isUnknownAuthority(error) || this.#needSystemAuthorities.has(host) || !canRepeat)
        throw networkError(error, doing, url, signal);
      this.#needSystemAuthorities.add(host);
      return await this.#once(request);
    }
  }

  #dispatcherFor(url: URL): Promise<Dispatcher> {
    const { environment, insecure, certificates } = this.#options;
    const own = certificates?.host === url.host ? certificates : undefined;
    const authorities = this.#needSystemAuthorities.has(url.host) ? "system" : "node";
    // A proxy stands before some hosts and not before others.
    const key = `${url.origin} ${authorities}`;
    let dispatcher = this.#dispatchers.get(key);
    if (dispatcher === undefined) {
      // Who has put an authority there wants it to count.
      const unverified = insecure || (isLoopback(url.host) && !own?.authorities.length);
      const trust = { authorities, more: own?.authorities ?? [], client: own?.client, unverified } as const;
      const none = { rejectUnauthorized: !unverified };
      dispatcher = Promise.resolve(url.protocol === "https:" ? tlsOptions(trust) : none).then((tls) =>
        webDispatcher({ url, environment, tls }),
      );
      this.#dispatchers.set(key, dispatcher);
    }
    return dispatcher;
  }

  /**
   * Runs `attempt` until it does not throw `Transient`, at most three times more. `progress` says how far a transfer
   * has come: a mebibyte more since the last failure counts as a fresh start.
   */
  async retrying<T>(signal: AbortSignal, attempt: () => Promise<T>, progress: () => number = () => 0): Promise<T> {
    let failures = 0;
    let reached = progress();
    for (;;) {
      try {
        return await attempt();
      } catch (failure) {
        if (!(failure instanceof Transient)) throw failure;
        if (progress() - reached >= 1 << 20) failures = 0;
        reached = progress();
        if (++failures > retries) throw failure.error;
        if ((failure.retryAfterMs ?? 0) > longestWaitMs) throw askedToWait(failure.error, failure.retryAfterMs ?? 0);
        const backoff = (this.#options.retryDelayMs ?? 500) * 2 ** (failures - 1);
        await delay(failure.retryAfterMs ?? backoff, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    }
  }
}

/** Seconds or a date. Source: RFC 9110, 10.2.3. */
export function retryAfterMs(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined;
  const wait = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - now;
  return Number.isNaN(wait) ? undefined : Math.max(wait, 0);
}

/** http and https only: a registry shall not make us open anything else. */
export function resolveUrl(location: string, base: string): URL | undefined {
  const url = URL.parse(location, base);
  return url !== null && (url.protocol === "https:" || url.protocol === "http:") ? url : undefined;
}

/** Reads a small body whole. @throws {Transient} */
export async function readBody(answer: HttpAnswer, limitBytes: number, doing: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > limitBytes) throw connectionLost(doing, answer.url, `the answer is longer than ${limitBytes} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof TsbuildError) throw error;
    throw networkError(error, doing, answer.url, undefined);
  }
  return Buffer.concat(chunks);
}

const refusals: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ENOTFOUND: "no such host",
  EAI_AGAIN: "the name service does not answer",
  EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "the network is unreachable",
};

/** A `Transient` for what may pass, `registryUnreachable` for what will not, the reason itself when it is an abort. */
export function networkError(error: unknown, doing: string, url: string, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted === true) return signal.reason;
  const cause = error instanceof AggregateError ? error.errors[0] : error;
  const code = errnoOf(cause) ?? "";
  const refusal = refusals[code];
  if (refusal !== undefined) return registryUnreachable(url, refusal, error);
  if (isTlsError(code, cause)) return registryUnreachable(url, tlsReason(cause), error);
  return new Transient(connectionLost(doing, url, brokenReason(code, cause), error));
}

function brokenReason(code: string, cause: unknown): string {
  if (code === "UND_ERR_CONNECT_TIMEOUT" || code === "ETIMEDOUT") return "no connection in time";
  if (code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT") return "nothing came for too long";
  if (code === "UND_ERR_SOCKET" || code === "ECONNRESET" || code === "EPIPE") return "the connection was cut";
  return cause instanceof Error ? cause.message : String(cause);
}

export function isTlsError(code: string, cause: unknown): boolean {
  return (
    /^(ERR_TLS|ERR_SSL|CERT_|EPROTO|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/.test(code) ||
    (cause instanceof Error && /wrong version number|packet length too long/.test(cause.message))
  );
}

function tlsReason(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause);
  if (/wrong version number|packet length too long/.test(text)) return "it does not speak https";
  // Behind a semicolon Node explains its own flags.
  return (text.split(";")[0] ?? "").replaceAll(/\s+/g, " ").trim();
}
