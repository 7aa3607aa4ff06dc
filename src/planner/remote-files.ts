/** Files at URLs, as one build sees them: each URL is asked once, and what is known of it is remembered. */
import { join } from "node:path";
import { TsbuildError, type Where } from "../errors.ts";
import { type Digest, sha256 } from "../oci/digest.ts";
import type { Store } from "../store/store.ts";
import { type Download, download, type RemoteFile, shownUrl, type WebAccess } from "./download.ts";

export interface FileRequest {
  readonly url: string;
  /** With this and a file of that checksum known, no server is asked. */
  readonly checksum?: string | undefined;
  readonly where: Where;
  readonly signal: AbortSignal;
}

/** What is remembered of a file. */
interface Memo {
  readonly etag?: string | undefined;
  readonly size: number;
  readonly lastModified?: number | undefined;
  readonly checksums: Readonly<Record<string, string>>;
}

export class RemoteFiles {
  readonly #memo: Store["memo"];
  readonly #folder: () => string;
  readonly #access: WebAccess;
  readonly #known = new Map<string, Promise<RemoteFile>>();
  readonly #fetched = new Map<string, Promise<Download>>();
  #count = 0;

  /** `folder`: of the build, made when something is written. */
  constructor(memo: Store["memo"], folder: () => string, access: WebAccess) {
    this.#memo = memo;
    this.#folder = folder;
    this.#access = access;
  }

  /** What the file is now, or is by its checksum; with its bytes only if they had to come. @throws {TsbuildError} */
  look(request: FileRequest): Promise<RemoteFile> {
    const key = `${request.url} ${request.checksum ?? ""}`;
    const known = this.#known.get(key) ?? this.#look(request);
    this.#known.set(key, known);
    return known;
  }

  /**
   * The same, with its bytes.
   * @throws {TsbuildError} `COPY_FAILED` when they are not those that `look` promised
   */
  async fetch(request: FileRequest): Promise<Download> {
    const seen = await this.look(request);
    const file = await (this.#fetched.get(request.url) ?? this.#download(request));
    if (file.digest !== seen.digest)
      throw new TsbuildError({
        code: "COPY_FAILED",
        what: `${shownUrl(request.url)} has the digest ${file.digest}, it had ${seen.digest} before`,
        where: request.where,
      });
    return file;
  }

  async #look(request: FileRequest): Promise<RemoteFile> {
    const { url, checksum } = request;
    const promised = checksum === undefined ? undefined : this.#remembered(checksum);
    if (promised !== undefined) return remoteFile(promised);
    const before = this.#remembered(url);
    if (before?.etag === undefined) return await this.#download(request);
    const file = await download({ ...request, access: this.#access, etag: before.etag, path: this.#path() });
    if (file === undefined) return remoteFile(before);
    this.#fetched.set(url, Promise.resolve(file));
    this.#remember(url, file);
    return file;
  }

  #download(request: FileRequest): Promise<Download> {
    const known = this.#fetched.get(request.url);
    if (known !== undefined) return known;
    const fetched = this.#downloadNow(request);
    this.#fetched.set(request.url, fetched);
    return fetched;
  }

  async #downloadNow(request: FileRequest): Promise<Download> {
    const file = await download({ ...request, access: this.#access, path: this.#path() });
    if (file === undefined) throw new Error("a server that answers a condition nobody made");
    this.#remember(request.url, file);
    return file;
  }

  #path(): string {
    return join(this.#folder(), `file-${this.#count++}`);
  }

  #remembered(name: string): Memo | undefined {
    const bytes = this.#memo.get(memoName(name));
    // Written by `#remember` and nobody else.
    return bytes === undefined ? undefined : (JSON.parse(bytes.toString("utf8")) as Memo);
  }

  #remember(url: string, file: Download): void {
    const { etag, sizeBytes, lastModifiedSeconds, checksums } = file;
    const memo: Memo = {
      etag,
      size: sizeBytes,
      lastModified: lastModifiedSeconds,
      checksums: Object.fromEntries(checksums),
    };
    const bytes = Buffer.from(JSON.stringify(memo));
    if (etag !== undefined) this.#memo.set(memoName(url), bytes);
    for (const [algorithm, hex] of checksums) this.#memo.set(memoName(`${algorithm}:${hex}`), bytes);
  }
}

/** URLs can hold passwords, and the store need not know them. */
function memoName(name: string): string {
  return `remote-file ${sha256(name)}`;
}

function remoteFile({ size, lastModified, checksums }: Memo): RemoteFile {
  return {
    sizeBytes: size,
    digest: `sha256:${checksums["sha256"]}` as Digest,
    lastModifiedSeconds: lastModified,
    checksums: new Map(Object.entries(checksums)),
    path: undefined,
  };
}
