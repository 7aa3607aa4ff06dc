/**
 * One registry, spoken to in the distribution protocol. In: repositories, references, digests, files. Out: verified
 * bytes, or an error that says who refused what. Nothing here knows the store.
 * Source: distribution-spec 1.1; distribution's token authentication.
 */
import { createHash, type Hash } from "node:crypto";
import { closeSync, createReadStream, openSync, writeSync } from "node:fs";
import { Readable } from "node:stream";
import { errnoOf, TsbuildError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { mediaTypes } from "../oci/media-types.ts";
import { Authorizer, type Scope } from "./authorizer.ts";
import { certificateRoots, findCertificates } from "./certificates.ts";
import { parseChallenges } from "./challenge.ts";
import { type Credential, type CredentialSources, configuredHeaders, findCredential } from "./credentials.ts";
import { endpointsOf } from "./endpoint.ts";
import { answerUnreadable, connectionLost, contentMismatch, type RegistryAnswer, registryBlocked } from "./errors.ts";
import {
  Http,
  type HttpAnswer,
  type HttpOptions,
  type HttpRequest,
  isTransientStatus,
  networkError,
  readBody,
  resolveUrl,
  retryAfterMs,
  Transient,
} from "./http.ts";
import { type ConfigFiles, configFiles, type RegistrySettings, registrySettings } from "./registry-config.ts";
import { RefusedRequest, saidIn } from "./said.ts";

/** What a command knows about how to reach registries. */
export interface RegistryAccess {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Folder of `config.json`. */
  readonly configDir: string;
  readonly authFile?: string | undefined;
  /** `--cert-dir`: this registry's folder of certificates. */
  readonly certificateFolder?: string | undefined;
  /** `--insecure`: https unverified, or http. */
  readonly insecure?: boolean;
  readonly warn: (text: string) => void;
  readonly retryDelayMs?: number;
  readonly timeoutMs?: number;
  /** Instead of the machine's own. */
  readonly configFiles?: ConfigFiles;
}

export interface RemoteManifest {
  readonly raw: Buffer;
  readonly digest: Digest;
  readonly contentType: string | undefined;
}

/** What a manifest may weigh. Source: distribution-spec, "Pushing Manifests". */
const manifestLimitBytes = 4 << 20;
/** What a config may weigh: it is read into memory. */
const configLimitBytes = 16 << 20;
const errorLimitBytes = 64 << 10;

const acceptedManifests = [
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
  mediaTypes.dockerManifest,
  mediaTypes.dockerList,
].join(", ");

/** The same digest, computed over what arrives. */
interface Verified {
  readonly hash: Hash;
  received: number;
}

/** @throws {TsbuildError} when credentials cannot be read; the registry itself is not asked yet. */
export async function openRegistry(domain: string, path: string, access: RegistryAccess): Promise<RegistryClient> {
  const sources = credentialSources(access);
  const credential = await findCredential(domain, path, sources);
  return new RegistryClient(domain, credential, access, { headers: configuredHeaders(sources) });
}

/** The mirrors of a registry, for pulling. Credentials are the mirror's own, never those of the registry behind it. */
export async function* openMirrors(
  domain: string,
  path: string,
  access: RegistryAccess,
): AsyncGenerator<RegistryClient> {
  const { mirrors } = settingsFor(domain, access);
  const sources = credentialSources(access);
  for (const endpoint of mirrors) {
    const { host } = new URL(endpoint);
    const credential = await findCredential(host, path, sources);
    yield new RegistryClient(host, credential, access, { headers: configuredHeaders(sources), endpoint });
  }
}

function settingsFor(domain: string, access: RegistryAccess): RegistrySettings {
  return registrySettings(domain, access.configFiles ?? configFiles(access.environment));
}

export function credentialSources(access: RegistryAccess): CredentialSources {
  return {
    authFile: access.authFile,
    environment: access.environment,
    configDir: access.configDir,
    warn: access.warn,
  };
}

export class RegistryClient implements AsyncDisposable {
  readonly domain: string;
  readonly #http: Http;
  readonly #authorizer: Authorizer;
  readonly #endpoints: readonly string[];
  /** The endpoint that answered. */
  #base: Promise<string> | undefined;

  constructor(
    domain: string,
    credential: Credential | undefined,
    access: RegistryAccess,
    {
      headers = {},
      endpoint,
    }: { readonly headers?: Readonly<Record<string, string>>; readonly endpoint?: string | undefined } = {},
  ) {
    const settings = settingsFor(domain, access);
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
    this.#http = new Http(options);
    this.#authorizer = new Authorizer(this.#http, credential, insecure);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#http[Symbol.asyncDispose]();
  }

  /** Asks whether the registry is one and takes our credentials. @throws {RefusedRequest} */
  async ping(signal: AbortSignal): Promise<void> {
    await this.#bytes({
      method: "GET",
      path: "/v2/",
      repository: "",
      scopes: [],
      doing: "asking the registry",
      signal,
    });
  }

  /**
   * A manifest or index, verified: by its digest when `reference` is one, else by what the registry says of it.
   * @throws {RefusedRequest} 404, 401, 403
   */
  async manifest(repository: string, reference: string, signal: AbortSignal): Promise<RemoteManifest> {
    const doing = `getting the manifest of ${repository}`;
    const request = {
      method: "GET",
      path: `/v2/${repository}/manifests/${reference}`,
      headers: { accept: acceptedManifests },
      repository,
      scopes: [pullScope(repository)],
      doing,
      signal,
    } as const;
    const { bytes: raw, answer } = await this.#bytes(request, manifestLimitBytes);
    const told = answer.header("docker-content-digest");
    const digest = digestLike(isDigest(reference) ? reference : told, raw);
    const expected = isDigest(reference) ? reference : told !== undefined && isDigest(told) ? told : digest;
    if (digest !== expected)
      throw contentMismatch(`the manifest of ${repository}`, expected, answer.url, `got ${digest}`);
    return { raw, digest, contentType: answer.header("content-type") };
  }

  /** A small blob, in memory, verified. */
  async blob(repository: string, descriptor: Descriptor, signal: AbortSignal): Promise<Buffer> {
    const { digest, size } = descriptor;
    const doing = `getting blob ${digest} of ${repository}`;
    if (size > configLimitBytes) throw answerUnreadable(doing, this.#endpoints[0] ?? "", `${size} bytes are too many`);
    const path = `/v2/${repository}/blobs/${digest}`;
    const request = { method: "GET", path, repository, scopes: [pullScope(repository)], doing, signal } as const;
    const { bytes, answer } = await this.#bytes(request, configLimitBytes);
    const got = digestLike(digest, bytes);
    if (got !== digest) throw contentMismatch("a blob", digest, answer.url, `got ${got}`);
    return bytes;
  }

  /**
   * A blob into the new file `file`, verified while it streams. A cut connection goes on where it was. On failure the
   * file is rubbish for the caller to remove.
   */
  async downloadBlob(
    repository: string,
    descriptor: Descriptor,
    options: {
      readonly file: string;
      readonly onProgress: (receivedBytes: number) => void;
      readonly signal: AbortSignal;
    },
  ): Promise<void> {
    const { digest, size } = descriptor;
    const state: Verified = { hash: createHash(algorithmOf(digest)), received: 0 };
    const fd = openSync(options.file, "wx");
    try {
      await this.#http.retrying(
        options.signal,
        () => this.#receive(repository, descriptor, { ...options, fd, state }),
        () => state.received,
      );
    } finally {
      closeSync(fd);
    }
    const got = `${algorithmOf(digest)}:${state.hash.digest("hex")}`;
    const url = await this.#endpoint(options.signal);
    if (got !== digest) throw contentMismatch("a blob", digest, url, `got ${got} (${size} bytes)`);
  }

  /** One request for what is still missing. */
  async #receive(
    repository: string,
    { digest, size }: Descriptor,
    target: { fd: number; state: Verified; onProgress: (receivedBytes: number) => void; signal: AbortSignal },
  ): Promise<void> {
    const { fd, state, signal } = target;
    const doing = `getting blob ${digest} of ${repository}`;
    if (state.received === size && size > 0) return;
    const answer = await this.#attempt({
      method: "GET",
      path: `/v2/${repository}/blobs/${digest}`,
      headers: state.received > 0 ? { range: `bytes=${state.received}-` } : {},
      repository,
      scopes: [pullScope(repository)],
      doing,
      signal,
      accept: (status) => status === 200 || status === 206,
    });
    let skip = 0;
    if (answer.status === 200) {
      // No ranges here: what we have comes once more.
      skip = state.received;
    } else {
      const from = /^bytes (\d+)-/.exec(answer.header("content-range") ?? "")?.[1];
      if (from === undefined || Number(from) !== state.received) {
        answer.body.destroy();
        throw answerUnreadable(doing, answer.url, "it sent another range than the one asked for");
      }
    }
    try {
      for await (const received of answer.body as AsyncIterable<Buffer>) {
        const chunk = skip === 0 ? received : received.subarray(Math.min(skip, received.length));
        skip -= received.length - chunk.length;
        if (chunk.length === 0) continue;
        if (state.received + chunk.length > size)
          throw contentMismatch("a blob", digest, answer.url, `and ${size} bytes, got more`);
        state.hash.update(chunk);
        writeFully(fd, chunk);
        state.received += chunk.length;
        target.onProgress(state.received);
      }
    } catch (error) {
      if (error instanceof TsbuildError || isFileError(error)) throw error;
      throw networkError(error, doing, answer.url, signal);
    }
    if (state.received < size)
      throw new Transient(connectionLost(doing, answer.url, `it ended after ${state.received} of ${size} bytes`));
  }

  async hasBlob(repository: string, digest: Digest, signal: AbortSignal): Promise<boolean> {
    const { answer } = await this.#bytes({
      method: "HEAD",
      path: `/v2/${repository}/blobs/${digest}`,
      repository,
      scopes: [pushScope(repository)],
      doing: `looking for blob ${digest} in ${repository}`,
      signal,
      accept: (status) => status === 200 || status === 404,
    });
    return answer.status === 200;
  }

  /** Takes a blob over from another repository of this registry. False when the registry would rather have the bytes. */
  async mountBlob(repository: string, digest: Digest, from: string, signal: AbortSignal): Promise<boolean> {
    const doing = `mounting blob ${digest} into ${repository}`;
    const query = new URLSearchParams({ mount: digest, from });
    const { answer } = await this.#bytes({
      method: "POST",
      path: `/v2/${repository}/blobs/uploads/?${query}`,
      headers: { "content-length": "0" },
      repository,
      scopes: [pushScope(repository), pullScope(from)],
      doing,
      signal,
      accept: (status) => status === 201 || status === 202,
    });
    if (answer.status === 201) return true;
    // An upload was begun instead; it is not wanted under these two scopes.
    const upload = resolveUrl(answer.header("location") ?? "", answer.url);
    if (upload !== undefined)
      await this.#bytes({
        method: "DELETE",
        path: upload.href,
        repository,
        scopes: [pushScope(repository)],
        doing,
        signal,
        accept: () => true,
      });
    return false;
  }

  /** Uploads a blob whose digest is known; the registry checks it. `source` is opened anew for each try. */
  async uploadBlob(
    repository: string,
    descriptor: Descriptor,
    options: {
      readonly source: { readonly file: string } | { readonly bytes: Uint8Array };
      readonly onProgress?: (sentBytes: number) => void;
      readonly signal: AbortSignal;
    },
  ): Promise<void> {
    const { digest, size } = descriptor;
    const { source, signal } = options;
    const doing = `pushing blob ${digest} to ${repository}`;
    const scopes = [pushScope(repository)];
    await this.#http.retrying(signal, async () => {
      const begun = await this.#attempt({
        method: "POST",
        path: `/v2/${repository}/blobs/uploads/`,
        headers: { "content-length": "0" },
        repository,
        scopes,
        doing,
        signal,
        accept: (status) => status === 202,
      });
      await begun.discard();
      const location = resolveUrl(begun.header("location") ?? "", begun.url);
      if (location === undefined) throw answerUnreadable(doing, begun.url, "no place to upload to");
      location.searchParams.set("digest", digest);
      const body = "file" in source ? fileBody(source.file, options.onProgress) : source.bytes;
      const done = await this.#attempt({
        method: "PUT",
        path: location.href,
        headers: { "content-type": "application/octet-stream", "content-length": String(size) },
        body,
        repository,
        scopes,
        doing,
        signal,
        accept: (status) => status === 201,
      });
      await done.discard();
      const told = done.header("docker-content-digest");
      if (told !== undefined && told !== digest)
        throw contentMismatch("a pushed blob", digest, done.url, `got ${told}`);
    });
  }

  async putManifest(
    repository: string,
    reference: string,
    manifest: { readonly raw: Uint8Array; readonly mediaType: string; readonly digest: Digest },
    signal: AbortSignal,
  ): Promise<void> {
    const { answer } = await this.#bytes({
      method: "PUT",
      path: `/v2/${repository}/manifests/${reference}`,
      headers: { "content-type": manifest.mediaType },
      body: manifest.raw,
      repository,
      scopes: [pushScope(repository)],
      doing: `pushing the manifest of ${repository}`,
      signal,
      accept: (status) => status === 201 || status === 200,
    });
    const told = answer.header("docker-content-digest");
    if (told !== undefined && told !== manifest.digest)
      throw contentMismatch("the pushed manifest", manifest.digest, answer.url, `got ${told}`);
  }

  /** All tags, in the registry's order. */
  async tags(repository: string, signal: AbortSignal): Promise<readonly string[]> {
    const doing = `listing the tags of ${repository}`;
    const tags: string[] = [];
    let path: string | undefined = `/v2/${repository}/tags/list`;
    for (let page = 0; path !== undefined && page < 1000; page++) {
      const request: ClientRequest = {
        method: "GET",
        path,
        repository,
        scopes: [pullScope(repository)],
        doing,
        signal,
      };
      const { bytes, answer } = await this.#bytes(request, manifestLimitBytes);
      let json: unknown;
      try {
        json = JSON.parse(bytes.toString("utf8"));
      } catch {
        throw answerUnreadable(doing, answer.url, "not JSON");
      }
      const list = (json as { tags?: unknown } | null)?.tags ?? [];
      if (!Array.isArray(list)) throw answerUnreadable(doing, answer.url, "no list of tags");
      tags.push(...list.filter((tag) => typeof tag === "string"));
      const next = /<([^>]+)>;\s*rel="?next"?/.exec(answer.header("link") ?? "")?.[1];
      path = next === undefined ? undefined : resolveUrl(next, answer.url)?.href;
    }
    return tags;
  }

  // Requests ------------------------------------------------------------------------------------------------------

  async #bytes(
    request: ClientRequest,
    limit: number = errorLimitBytes,
  ): Promise<{ bytes: Buffer; answer: HttpAnswer }> {
    return this.#http.retrying(request.signal, async () => {
      const answer = await this.#attempt(request);
      return { bytes: await readBody(answer, limit, request.doing), answer };
    });
  }

  /**
   * One request, with the authorization that it turns out to need.
   * @throws {Transient} what may pass
   * @throws {RefusedRequest} any other status than `accept` takes
   */
  async #attempt(request: ClientRequest): Promise<HttpAnswer> {
    const { repository, scopes, doing, signal, accept = (status) => status === 200 } = request;
    const base = await this.#endpoint(signal);
    const url = new URL(request.path, base);
    for (let tries = 0; ; tries++) {
      // An upload's place may be on another host, which has no right to our token.
      const sent = url.origin === base ? await this.#authorizer.header(scopes, signal) : undefined;
      const answer = await this.#http.request({
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
  #endpoint(signal: AbortSignal): Promise<string> {
    this.#base ??= this.#findEndpoint(signal);
    return this.#base;
  }

  async #findEndpoint(signal: AbortSignal): Promise<string> {
    for (const [i, endpoint] of this.#endpoints.entries()) {
      if (i === this.#endpoints.length - 1) return endpoint;
      try {
        const url = `${endpoint}/v2/`;
        const answer = await this.#http.request({ method: "GET", url, signal, doing: "asking the registry" });
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

interface ClientRequest {
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

function pullScope(repository: string): Scope {
  return `repository:${repository}:pull`;
}

function pushScope(repository: string): Scope {
  return `repository:${repository}:pull,push`;
}

function algorithmOf(digest: string): "sha256" | "sha512" {
  return digest.startsWith("sha512:") ? "sha512" : "sha256";
}

/** The digest of `bytes` in the algorithm of `example`. */
function digestLike(example: string | undefined, bytes: Uint8Array): Digest {
  const algorithm = algorithmOf(example ?? "");
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}` as string as Digest;
}

function fileBody(file: string, onProgress: (sentBytes: number) => void = () => undefined): () => Readable {
  async function* counted(): AsyncGenerator<Buffer> {
    let sent = 0;
    for await (const chunk of createReadStream(file, { highWaterMark: 1 << 18 }) as AsyncIterable<Buffer>) {
      yield chunk;
      sent += chunk.length;
      onProgress(sent);
    }
  }
  return () => Readable.from(counted(), { objectMode: false });
}

function writeFully(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

/** A full disk is not the network's fault. */
function isFileError(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === "ENOSPC" || errno === "EDQUOT" || errno === "EROFS" || errno === "EIO";
}
