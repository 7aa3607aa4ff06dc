/**
 * One registry, spoken to in the distribution protocol. In: repositories, references, digests, files. Out: verified
 * bytes, or an error that says who refused what. Nothing here knows the store.
 * Source: distribution-spec 1.1; distribution's token authentication.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { mediaTypes } from "../oci/media-types.ts";
import type { RegistryAccess } from "./access.ts";
import type { Scope } from "./authorizer.ts";
import type { Credential } from "./credentials.ts";
import { answerUnreadable, contentMismatch } from "./errors.ts";
import { resolveUrl } from "./http.ts";
import { algorithmOf, BlobReceiver, type BlobTarget } from "./receive-blob.ts";
import { type RegistryRequest, RegistrySession, type SessionOptions } from "./session.ts";

export interface RemoteManifest {
  readonly raw: Buffer;
  readonly digest: Digest;
  readonly contentType: string | undefined;
}

/** What a manifest may weigh. Source: distribution-spec, "Pushing Manifests". */
const manifestLimitBytes = 4 << 20;
/** What a config may weigh: it is read into memory. */
const configLimitBytes = 16 << 20;

const acceptedManifests = [
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
  mediaTypes.dockerManifest,
  mediaTypes.dockerList,
].join(", ");

export class RegistryClient implements AsyncDisposable {
  readonly #session: RegistrySession;

  constructor(
    domain: string,
    credential: Credential | undefined,
    access: RegistryAccess,
    options: SessionOptions = {},
  ) {
    this.#session = new RegistrySession(domain, credential, access, options);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#session[Symbol.asyncDispose]();
  }

  /** Asks whether the registry is one and takes our credentials. @throws {RefusedRequest} */
  async ping(signal: AbortSignal): Promise<void> {
    await this.#session.bytes({
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
    const { bytes: raw, answer } = await this.#session.bytes(request, manifestLimitBytes);
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
    if (size > configLimitBytes)
      throw answerUnreadable(doing, await this.#session.endpoint(signal), `${size} bytes are too many`);
    const path = `/v2/${repository}/blobs/${digest}`;
    const request = { method: "GET", path, repository, scopes: [pullScope(repository)], doing, signal } as const;
    const { bytes, answer } = await this.#session.bytes(request, configLimitBytes);
    const got = digestLike(digest, bytes);
    if (got !== digest) throw contentMismatch("a blob", digest, answer.url, `got ${got}`);
    return bytes;
  }

  /** A blob into a new file, verified while it streams. A cut connection goes on where it was. */
  async downloadBlob(repository: string, descriptor: Descriptor, target: BlobTarget): Promise<void> {
    const { digest } = descriptor;
    const { signal } = target;
    const doing = `getting blob ${digest} of ${repository}`;
    using receiver = new BlobReceiver(descriptor, doing, target);
    const ask = async (): Promise<void> => {
      if (receiver.isComplete) return;
      const answer = await this.#session.attempt({
        method: "GET",
        path: `/v2/${repository}/blobs/${digest}`,
        headers: receiver.headers,
        repository,
        scopes: [pullScope(repository)],
        doing,
        signal,
        accept: (status) => status === 200 || status === 206,
      });
      await receiver.take(answer);
    };
    await this.#session.http.retrying(signal, ask, () => receiver.receivedBytes);
    receiver.verify(await this.#session.endpoint(signal));
  }

  async hasBlob(repository: string, digest: Digest, signal: AbortSignal): Promise<boolean> {
    const { answer } = await this.#session.bytes({
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
    const { answer } = await this.#session.bytes({
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
      await this.#session.bytes({
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
    await this.#session.http.retrying(signal, async () => {
      const begun = await this.#session.attempt({
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
      const done = await this.#session.attempt({
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
    const { answer } = await this.#session.bytes({
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
      const request: RegistryRequest = {
        method: "GET",
        path,
        repository,
        scopes: [pullScope(repository)],
        doing,
        signal,
      };
      const { bytes, answer } = await this.#session.bytes(request, manifestLimitBytes);
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
}

function pullScope(repository: string): Scope {
  return `repository:${repository}:pull`;
}

function pushScope(repository: string): Scope {
  return `repository:${repository}:pull,push`;
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
