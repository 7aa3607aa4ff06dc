/** Commits and files of git repositories, as one build sees them: each name is asked for once. */
import { closeSync, constants, mkdirSync, openSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { setMtime } from "../kernel/files.ts";
import { closeInRoot, openFolderInRoot } from "../kernel/resolve-in-root.ts";
import type { Store } from "../store/store.ts";
import type { SecretSource } from "./build-options.ts";
import { checkOut, type GitCommit } from "./git-checkout.ts";
import { GitClones, type GitRequest } from "./git-clones.ts";
import { commitChecksumInvalid, commitMismatch, folderNotFound, noDefaultBranch, refNotFound } from "./git-errors.ts";
import { GitProgram } from "./git-program.ts";
import { type GitSource, isCommit, shownGitUrl } from "./git-url.ts";

export interface GitOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly secrets: ReadonlyMap<string, SecretSource>;
  readonly sshSocket: () => Promise<string | undefined>;
}

export class GitRepositories {
  readonly #store: Pick<Store, "gitFolder" | "temporaryFolder">;
  readonly #folder: string;
  readonly #git: GitProgram;
  readonly #clones: GitClones;
  readonly #defaultBranches = new Map<string, string>();
  readonly #commits = new Map<string, Promise<GitCommit>>();
  #count = 0;

  /** `folder`: for what lasts as long as the build; its owner removes it. */
  constructor(store: Pick<Store, "gitFolder" | "temporaryFolder">, folder: string, options: GitOptions) {
    this.#store = store;
    this.#folder = folder;
    this.#git = new GitProgram({
      ...options,
      knownHostsFile: join(store.gitFolder, "known_hosts"),
      configFile: join(folder, "git-config"),
    });
    this.#clones = new GitClones(store, this.#git);
  }

  /**
   * The commit that is meant, asked of the remote unless it is given in full. Once for one source.
   * @throws {TsbuildError} `SOURCE_NOT_FOUND`; `COPY_FAILED` when it is not the one that a checksum wants
   */
  async resolve(source: GitSource, request: GitRequest): Promise<GitCommit> {
    const { remote, ref = "HEAD", checksum } = source;
    if (checksum !== undefined && !/^[0-9a-f]+$/i.test(checksum)) throw commitChecksumInvalid(checksum, request.where);
    const known = this.#commits.get(`${remote} ${ref}`);
    const asked =
      known ??
      (isCommit(ref) ? Promise.resolve({ id: ref, name: undefined, tag: undefined }) : this.#ask(source, ref, request));
    if (known === undefined) this.#commits.set(`${remote} ${ref}`, asked);
    const commit = await asked;
    // Of an annotated tag either will do. As in BuildKit.
    const ids = [commit.tag ?? [], commit.id].flat();
    if (checksum !== undefined && !ids.some((id) => id.startsWith(checksum)))
      throw commitMismatch(shownGitUrl(source), checksum, ids, request.where);
    return commit;
  }

  /**
   * Writes the files of `commit` into `folder`, which is made: modes 0644 and 0755, the time of the checkout or the commit.
   * @throws {TsbuildError} `SOURCE_NOT_FOUND`
   */
  async checkOut(source: GitSource, commit: GitCommit, folder: string, request: GitRequest): Promise<void> {
    const { keepGitDir, submodules } = source;
    const remote = await this.#git.open(source.remote);
    const indexFile = join(this.#folder, `index-${this.#count++}`);
    const tools = { git: this.#git, clones: this.#clones, indexFile };
    await checkOut({ remote, commit, keepGitDir, submodules }, folder, tools, request);
    if (source.mtime === "commit")
      setTimes(Buffer.from(folder), BigInt(await this.timeOf(source, commit, request)) * 1_000_000_000n);
  }

  /**
   * The folder that the source names, in its checkout; links stay inside.
   * @throws {TsbuildError} `SOURCE_NOT_FOUND`
   */
  folderOf(source: GitSource, checkout: string, { where }: GitRequest): string {
    if (source.folder === "/") return checkout;
    const root = openSync(checkout, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      const folder = openFolderInRoot(root, source.folder.slice(1));
      try {
        return readlinkSync(`/proc/self/fd/${folder}`);
      } finally {
        closeInRoot(folder);
      }
    } catch (cause) {
      throw folderNotFound(shownGitUrl(source), source.folder, where, cause);
    } finally {
      closeSync(root);
    }
  }

  /** Epoch seconds of a commit. */
  async timeOf(source: GitSource, { id: commit }: GitCommit, request: GitRequest): Promise<number> {
    using clone = await this.#clones.holding(await this.#git.open(source.remote), [commit], request);
    const args = [`--git-dir=${clone.path}`, "log", "-1", "--format=%ct", commit, "--"];
    return Number((await this.#git.must(source.remote, args, { ...request, protocols: "none" })).trim());
  }

  // Names -----------------------------------------------------------------------------------------------------------

  async #ask(source: GitSource, ref: string, request: GitRequest): Promise<GitCommit> {
    if (ref === "HEAD") return await this.#askDefault(source, request);
    const full = ref.startsWith("refs/") ? ref : `refs/${ref}`;
    const [branch, tag] = [`refs/heads/${ref}`, `refs/tags/${ref}`];
    // As git checkout: of a branch and a tag of one name, the branch.
    const names = ref.startsWith("refs/") ? [full] : [full, branch, tag];
    const commits = await this.#list(
      source,
      names.flatMap((name) => [name, `${name}^{}`]),
      request,
    );
    for (const name of names) {
      const id = commits.get(name);
      // Behind an annotated tag is the commit.
      const behind = commits.get(`${name}^{}`);
      if (id !== undefined) return { id: behind ?? id, name, tag: behind === undefined ? undefined : id };
    }
    const all = await this.#list(source, ["refs/heads/*", "refs/tags/*"], request);
    const known = [...all.keys()].filter((one) => !one.endsWith("^{}")).map((one) => one.replace(/^refs\/\w+\//, ""));
    throw refNotFound(shownGitUrl(source), ref, [...new Set(known)], request.where);
  }

  async #askDefault(source: GitSource, request: GitRequest): Promise<GitCommit> {
    const id = (await this.#list(source, ["HEAD"], request)).get("HEAD");
    if (id === undefined) throw noDefaultBranch(shownGitUrl(source), request.where);
    return { id, name: this.#defaultBranches.get(source.remote), tag: undefined };
  }

  async #list(
    source: GitSource,
    patterns: readonly string[],
    request: GitRequest,
  ): Promise<ReadonlyMap<string, string>> {
    mkdirSync(this.#store.gitFolder, { recursive: true, mode: 0o700 });
    const { sshAgent } = await this.#git.open(source.remote);
    const args = ["ls-remote", "--quiet", "--symref", "--", source.remote, ...patterns];
    const text = await this.#git.must(source.remote, args, { ...request, protocols: "remote", sshAgent });
    const lines = text.split("\n").map((line) => line.split("\t", 2));
    for (const [target, name] of lines)
      if (name === "HEAD" && target?.startsWith("ref: ")) this.#defaultBranches.set(source.remote, target.slice(5));
    return new Map(
      lines.flatMap(([commit, name]) =>
        commit && name && !commit.startsWith("ref: ") ? [[name, commit] as const] : [],
      ),
    );
  }
}

/** Names are bytes. */
function setTimes(folder: Buffer, mtimeNs: bigint): void {
  for (const entry of readdirSync(folder, { withFileTypes: true, encoding: "buffer" })) {
    const path = Buffer.concat([folder, Buffer.from("/"), entry.name]);
    if (entry.isDirectory()) setTimes(path, mtimeNs);
    else setMtime(path, mtimeNs);
  }
  setMtime(folder, mtimeNs);
}
