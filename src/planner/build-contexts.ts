/**
 * The contexts of one build, opened when something takes from them, each with its own ignore rules; and what ADD
 * fetches. What comes over the network lies in a folder of this build and goes with it.
 */
import { linkSync, mkdirSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { assertNever, type Where } from "../errors.ts";
import type { Store, TemporaryFolder } from "../store/store.ts";
import type { BuildOptions, NamedContext, SshSource } from "./build-options.ts";
import { ContextOrigin } from "./context-origin.ts";
import type { Download, RemoteFile } from "./download.ts";
import { contextUnsupported, namedContextNotFound } from "./errors.ts";
import { FileDigests } from "./file-digests.ts";
import type { GitCommit } from "./git-checkout.ts";
import type { GitRequest } from "./git-clones.ts";
import type { GitRepositories } from "./git-repositories.ts";
import { type GitSource, gitContext } from "./git-url.ts";
import { excludeRules, type IgnoreRules, parseIgnoreFile } from "./ignore-rules.ts";
import type { Origin } from "./origin.ts";
import { readIgnoreFile } from "./read-ignore-file.ts";
import type { FileRequest, RemoteFiles } from "./remote-files.ts";

export type ContextOptions = Pick<
  BuildOptions,
  "context" | "ignore" | "namedContexts" | "secrets" | "ssh" | "environment"
>;

/** Serves an ssh agent at a socket for as long as it is not disposed. */
export type OpenAgent = (source: SshSource) => Promise<Disposable & { readonly path: string }>;

type ContextStore = Pick<Store, "memo" | "root" | "temporaryFolder" | "gitFolder">;

export class BuildContexts implements Disposable {
  readonly #options: ContextOptions;
  readonly #store: ContextStore;
  readonly #openAgent: OpenAgent | undefined;
  readonly #agents = new DisposableStack();
  readonly #origins = new Map<string | undefined, Promise<ContextOrigin | undefined>>();
  readonly #opened = new Map<string | undefined, ContextOrigin | undefined>();
  readonly #checkouts = new Map<string, Promise<ContextOrigin>>();
  readonly #digests: FileDigests[] = [];
  #repositories: Promise<GitRepositories> | undefined;
  #remoteFiles: Promise<RemoteFiles> | undefined;
  #folder: TemporaryFolder | undefined;

  /** `openAgent`: of private keys that `--ssh default` gives, for git over ssh. */
  constructor(options: ContextOptions, store: ContextStore, openAgent?: OpenAgent) {
    this.#options = options;
    this.#store = store;
    this.#openAgent = openAgent;
  }

  /**
   * Opens the context of this name, the main one without; undefined for a build without files.
   * @throws {TsbuildError} `CONTEXT_NOT_FOUND`, `SOURCE_NOT_FOUND`, `UNSUPPORTED`, `INVALID_ARGUMENT` for its ignore file
   */
  open(name: string | undefined, where: Where, signal: AbortSignal): Promise<ContextOrigin | undefined> {
    const known = this.#origins.get(name);
    if (known !== undefined) return known;
    const opened = this.#open(name, where, signal);
    this.#origins.set(name, opened);
    return opened;
  }

  /** Of the main context, if it is a folder that another build may find again: absolute. */
  lastingFolder(): string | undefined {
    const { context } = this.#options;
    return context.kind === "directory" && context.temporary !== true ? realpathSync(context.path) : undefined;
  }

  /** Of the main context's ignore file; "" without one. */
  get ignoreText(): string {
    return this.#options.ignore?.text ?? "";
  }

  /** One that was opened before. */
  origin(name: string | undefined): ContextOrigin | undefined {
    return this.#opened.get(name);
  }

  // What ADD takes -------------------------------------------------------------------------------------------------

  /** What a file at a URL is now. @throws {TsbuildError} `SOURCE_NOT_FOUND` */
  async look(request: FileRequest): Promise<RemoteFile> {
    return await (await this.#files()).look(request);
  }

  /** With its bytes. @throws {TsbuildError} `SOURCE_NOT_FOUND`, `COPY_FAILED` */
  async fetch(request: FileRequest): Promise<Download> {
    return await (await this.#files()).fetch(request);
  }

  /** @throws {TsbuildError} `SOURCE_NOT_FOUND`; `COPY_FAILED` for another commit than a checksum wants */
  async commit(source: GitSource, request: GitRequest): Promise<GitCommit> {
    return await (await this.#git()).resolve(source, request);
  }

  /** Epoch seconds of the commit. @throws {TsbuildError} as `commit` */
  async commitTime(source: GitSource, request: GitRequest): Promise<number> {
    const git = await this.#git();
    return await git.timeOf(source, await git.resolve(source, request), request);
  }

  /** The folder of a commit that the source names; once for one. @throws {TsbuildError} `SOURCE_NOT_FOUND` */
  checkout(source: GitSource, request: GitRequest): Promise<ContextOrigin> {
    const key = JSON.stringify(source);
    const known = this.#checkouts.get(key);
    if (known !== undefined) return known;
    const path = join(this.#path(), `git-${this.#checkouts.size}`);
    const made = this.#checkOut(source, path, request);
    this.#checkouts.set(key, made);
    return made;
  }

  async #checkOut(source: GitSource, path: string, request: GitRequest): Promise<ContextOrigin> {
    const git = await this.#git();
    await git.checkOut(source, await git.resolve(source, request), path, request);
    return this.#made(git.folderOf(source, path, request), excludeRules([]), false);
  }

  /** Downloads and checkouts go. */
  [Symbol.dispose](): void {
    this.#agents.dispose();
    this.#folder?.[Symbol.dispose]();
    this.#folder = undefined;
  }

  /** Remembers the digests that were computed. */
  save(): void {
    for (const digests of this.#digests) digests.save();
  }

  // Contexts -------------------------------------------------------------------------------------------------------

  async #open(name: string | undefined, where: Where, signal: AbortSignal): Promise<ContextOrigin | undefined> {
    const opened = name === undefined ? this.#openMain() : await this.#openNamed(name, where, signal);
    this.#opened.set(name, opened);
    return opened;
  }

  #openMain(): ContextOrigin | undefined {
    const { context, ignore } = this.#options;
    if (context.kind === "empty") return undefined;
    const rules = ignore === undefined ? excludeRules([]) : parseIgnoreFile(ignore.text, ignore.file);
    return this.#made(context.path, rules, context.temporary !== true, context.owners);
  }

  async #openNamed(name: string, where: Where, signal: AbortSignal): Promise<ContextOrigin> {
    const named: NamedContext | undefined = this.#options.namedContexts.get(name);
    switch (named?.kind) {
      case "directory":
        if (statSync(named.path, { throwIfNoEntry: false })?.isDirectory() !== true)
          throw namedContextNotFound(name, named.path);
        return this.#made(named.path, ownIgnoreFile(named.path), true);
      case "git":
        return await this.#openGit(named.url, { where, signal });
      case "url":
        return await this.#openUrl(named.url, where, signal);
      case "unknown":
        throw contextUnsupported(name, named.value);
      case "image":
      case "ociLayout":
      case undefined:
        throw new Error(`the context ${name} is no folder`);
      default:
        return assertNever(named);
    }
  }

  /** No ignore file applies: what is in the repository is what is meant. */
  async #openGit(url: string, request: GitRequest): Promise<ContextOrigin> {
    const source = gitContext(url, { kind: "flag", flag: "--build-context" });
    if (source === undefined) throw new Error(`${url} is no git URL`);
    return await this.checkout(source, request);
  }

  async #openUrl(url: string, where: Where, signal: AbortSignal): Promise<ContextOrigin> {
    const file = await this.fetch({ url, where, signal });
    const folder = `${file.path}-context`;
    mkdirSync(folder, { mode: 0o755 });
    linkSync(file.path, join(folder, "context"));
    return this.#made(folder, excludeRules([]), false);
  }

  #made(folder: string, rules: IgnoreRules, comesAgain: boolean, owners: Origin["owners"] = "root"): ContextOrigin {
    const digests = new FileDigests(this.#store.memo, this.#store.root, folder);
    if (comesAgain) this.#digests.push(digests);
    // The folder itself may be named by a link; what is in it is not followed.
    return new ContextOrigin(realpathSync(folder), rules, digests, owners);
  }

  // Loaded by those builds that fetch -------------------------------------------------------------------------------

  #path(): string {
    this.#folder ??= this.#store.temporaryFolder("downloads");
    return this.#folder.path;
  }

  #files(): Promise<RemoteFiles> {
    const { environment = {}, secrets } = this.#options;
    this.#remoteFiles ??= import("./remote-files.ts").then(
      ({ RemoteFiles }) => new RemoteFiles(this.#store.memo, () => this.#path(), { environment, secrets }),
    );
    return this.#remoteFiles;
  }

  #git(): Promise<GitRepositories> {
    const { environment = {}, secrets } = this.#options;
    this.#repositories ??= import("./git-repositories.ts").then(
      ({ GitRepositories }) =>
        new GitRepositories(this.#store, this.#path(), {
          environment,
          secrets,
          sshSocket: () => this.#sshSocket(),
        }),
    );
    return this.#repositories;
  }

  async #sshSocket(): Promise<string | undefined> {
    const source = this.#options.ssh.get("default");
    if (source?.kind !== "keys") return source?.path;
    const agent = await this.#openAgent?.(source);
    return agent === undefined ? undefined : this.#agents.use(agent).path;
  }
}

function ownIgnoreFile(folder: string): IgnoreRules {
  const path = join(folder, ".dockerignore");
  const text = readIgnoreFile(path, path);
  return text === undefined ? excludeRules([]) : parseIgnoreFile(text, ".dockerignore");
}
