/**
 * The requests of one registry: which endpoint answers, what authorization it wants, what is tried again, and what a
 * refusal says. Knows HTTP and tokens; what is asked for is the client's business.
 */
import type { Readable } from "node:stream";
import { errnoOf } from "../errors.ts";
import { type RegistryAccess, settingsOf } from "./access.ts";
import { Authorizer, type Scope } from "./authorizer.ts";
import { certificateRoots, findCertificates } from "./certificates.ts";
import { parseChallenges } from "./challenge.ts";
import type { Credential } from "./credentials.ts";
import { endpointsOf } from "./endpoint.ts";
import { type RegistryAnswer, registryBlocked } from "./errors.ts";
import {
  Http,
  type HttpAnswer,
  type HttpOptions,
  type HttpRequest,
  isTransientStatus,
  readBody,
  retryAfterMs,
  Transient,
} from "./http.ts";
import { RefusedRequest, saidIn } from "./said.ts";

export interface RegistryRequest {
  readonly method: HttpRequest["method"];
  /** Below the registry's base, or a whole URL. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | (() => Readable);
  readonly repository: string;
  readonly scopes: readonly Scope[];
  readonly doing: string;
  readonly signal: AbortSignal;
  readonly accept?: (status: number) => boolean;
}

export interface SessionOptions {
  /** Sent with each request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Instead of those of the domain: of a mirror. */
  readonly endpoint?: string | undefined;
}

const errorLimitBytes = 64 << 10;

export class RegistrySession implements AsyncDisposable {
  readonly domain: string;
  readonly http: Http;
  readonly #authorizer: Authorizer;
  readonly #endpoints: readonly string[];
  /** The endpoint that answered. */
  #base: Promise<string> | undefined;

  constructor(
    domain: string,
    credential: Credential | undefined,
    access: RegistryAccess,
    { headers = {}, endpoint }: SessionOptions = {},
  ) {
    const settings = settingsOf(domain, access);
    if (settings.blockedBy !== undefined) throw registryBlocked(domain, settings.blockedBy);
    const insecure = access.insecure === true || settings.insecure;
    this.#endpoints = endpoint === undefined ? endpointsOf(domain, insecure) : [endpoint];
    const options: HttpOptions = {
      environment: access.environment,
      insecure,
      certificates: findCertificates(
        new URL(this.#endpoints[0] ?? "").host,
        access.certificateFolder,
        certificateRoots(access.environment),
      ),
      headers,
      ...(access.retryDelayMs !== undefined && { retryDelayMs: access.retryDelayMs }),
      ...(access.timeoutMs !== undefined && { timeoutMs: access.timeoutMs }),
    };
    this.domain = domain;
    this.http = new Http(options);
    this.#authorizer = new Authorizer(this.http, credential, insecure);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.http[Symbol.asyncDispose]();
  }

  /** One answer, read whole; tried again where that helps. */
  async bytes(
    request: RegistryRequest,
    limit: number = errorLimitBytes,
  ): Promise<{ bytes: Buffer; answer: HttpAnswer }> {
    return this.http.retrying(request.signal, async () => {
      const answer = await this.attempt(request);
      return { bytes: await readBody(answer, limit, request.doing), answer };
    });
  }

  /**
   * One request, with the authorization that it turns out to need.
   * @throws {Transient} what may pass
   * @throws {RefusedRequest} any other status than `accept` takes
   */
  async attempt(request: RegistryRequest): Promise<HttpAnswer> {
    const { repository, scopes, doing, signal, accept = (status) => status === 200 } = request;
    const base = await this.endpoint(signal);
    const url = new URL(request.path, base);
    for (let tries = 0; ; tries++) {
      // An upload's place may be on another host, which has no right to our token.
      const sent = url.origin === base ? await this.#authorizer.header(scopes, signal) : undefined;
      const answer = await this.http.request({
        method: request.method,
        url: url.href,
        headers: { ...request.headers, ...(sent !== undefined && { authorization: sent }) },
        ...(request.body !== undefined && { body: typeof request.body === "function" ? request.body() : request.body }),
        signal,
        doing,
      });
      if (accept(answer.status)) return answer;
      const retriable = tries < 2 && answer.status === 401 && url.origin === base;
      if (retriable && this.#authorizer.learn(parseChallenges(answer.headerLines("www-authenticate")), scopes, sent)) {
        await answer.discard();
        continue;
      }
      const body = await readBody(answer, errorLimitBytes, doing).catch(() => Buffer.alloc(0));
      const refusal: RegistryAnswer = {
        url: answer.url,
        status: answer.status,
        ...saidIn(body, answer.status),
        repository,
        credentials: this.#authorizer.description,
      };
      const error = new RefusedRequest(doing, refusal);
      if (!isTransientStatus(answer.status)) throw error;
      throw new Transient(error, retryAfterMs(answer.header("retry-after"), Date.now()));
    }
  }

  /** The first endpoint that speaks HTTP at all; found once. */
  endpoint(signal: AbortSignal): Promise<string> {
    this.#base ??= this.#findEndpoint(signal);
    return this.#base;
  }

  async #findEndpoint(signal: AbortSignal): Promise<string> {
    for (const [i, endpoint] of this.#endpoints.entries()) {
      if (i === this.#endpoints.length - 1) return endpoint;
      try {
        const url = `${endpoint}/v2/`;
        const answer = await this.http.request({ method: "GET", url, signal, doing: "asking the registry" });
        await answer.discard();
        // What a server for https says to http.
        if (answer.status === 400) continue;
        if (answer.status === 401)
          this.#authorizer.learn(parseChallenges(answer.headerLines("www-authenticate")), [], undefined);
        return endpoint;
      } catch (error) {
        signal.throwIfAborted();
        // The same port refuses the other scheme too.
        if (errnoOf(error instanceof Error ? error.cause : error) === "ECONNREFUSED" && /:\d+$/.test(this.domain))
          throw error;
      }
    }
    throw new Error("a registry has at least one endpoint");
  }
}
