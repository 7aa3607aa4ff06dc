/**
 * The contexts of one build, opened when something takes from them, each with its own ignore rules; and what ADD
 * fetches.
 */
import { readFileSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { errnoOf, TsbuildError, type Where } from "../errors.ts";
import type { Store, TemporaryFolder } from "../store/store.ts";
import type { BuildOptions } from "./build-options.ts";
import { ContextOrigin } from "./context-origin.ts";
import { type Download, download } from "./download.ts";
import { contextUnsupported, namedContextNotFound } from "./errors.ts";
import { FileDigests } from "./file-digests.ts";
import { excludeRules, type IgnoreRules, parseIgnoreFile } from "./ignore-rules.ts";

export type ContextOptions = Pick<BuildOptions, "context" | "ignore" | "namedContexts">;

export class BuildContexts implements Disposable {
  readonly #options: ContextOptions;
  readonly #store: Pick<Store, "memo" | "root" | "temporaryFolder">;
  readonly #origins = new Map<string | undefined, ContextOrigin>();
  readonly #digests: FileDigests[] = [];
  readonly #downloads = new Map<string, Promise<Download>>();
  #folder: TemporaryFolder | undefined;

  constructor(options: ContextOptions, store: Pick<Store, "memo" | "root" | "temporaryFolder">) {
    this.#options = options;
    this.#store = store;
  }

  /**
   * The context of this name, the main one without; undefined for a build without files.
   * @throws {TsbuildError} `CONTEXT_NOT_FOUND`, `UNSUPPORTED`, `INVALID_ARGUMENT` for its ignore file
   */
  origin(name: string | undefined): ContextOrigin | undefined {
    const known = this.#origins.get(name);
    if (known !== undefined) return known;
    const opened = this.#open(name);
    if (opened !== undefined) this.#origins.set(name, opened);
    return opened;
  }

  /** Once for one URL. @throws {TsbuildError} `SOURCE_NOT_FOUND` */
  download(url: string, where: Where, signal: AbortSignal): Promise<Download> {
    const known = this.#downloads.get(url);
    if (known !== undefined) return known;
    this.#folder ??= this.#store.temporaryFolder("downloads");
    const fetched = download(url, join(this.#folder.path, String(this.#downloads.size)), where, signal);
    this.#downloads.set(url, fetched);
    return fetched;
  }

  /** Downloads go. */
  [Symbol.dispose](): void {
    this.#folder?.[Symbol.dispose]();
    this.#folder = undefined;
  }

  /** Remembers the digests that were computed. */
  save(): void {
    for (const digests of this.#digests) digests.save();
  }

  #open(name: string | undefined): ContextOrigin | undefined {
    if (name === undefined) {
      const { context, ignore } = this.#options;
      if (context.kind === "empty") return undefined;
      const rules = ignore === undefined ? excludeRules([]) : parseIgnoreFile(ignore.text, ignore.file);
      return this.#made(context.path, rules, context.temporary !== true);
    }
    const named = this.#options.namedContexts.get(name);
    if (named?.kind !== "directory") throw new Error(`no directory context ${name}`);
    if (/^[a-z-]+:\/\//.test(named.path)) throw contextUnsupported(name, named.path);
    if (statSync(named.path, { throwIfNoEntry: false })?.isDirectory() !== true)
      throw namedContextNotFound(name, named.path);
    return this.#made(named.path, ownIgnoreFile(named.path), true);
  }

  #made(folder: string, rules: IgnoreRules, comesAgain: boolean): ContextOrigin {
    const digests = new FileDigests(this.#store.memo, this.#store.root, folder);
    if (comesAgain) this.#digests.push(digests);
    // The folder itself may be named by a link; what is in it is not followed.
    return new ContextOrigin(realpathSync(folder), rules, digests);
  }
}

function ownIgnoreFile(folder: string): IgnoreRules {
  try {
    return parseIgnoreFile(readFileSync(join(folder, ".dockerignore"), "utf8"), ".dockerignore");
  } catch (error) {
    if (error instanceof TsbuildError) throw error;
    if (errnoOf(error) === "ENOENT") return excludeRules([]);
    throw new TsbuildError({
      code: errnoOf(error) === "EACCES" ? "PERMISSION_DENIED" : "INVALID_ARGUMENT",
      what: `cannot read ${join(folder, ".dockerignore")}: ${errnoOf(error) ?? "failed"}`,
      cause: error,
    });
  }
}
