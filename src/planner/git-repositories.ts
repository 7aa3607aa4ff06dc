/**
 * Commits and files of git repositories. A bare clone of each stays in the store, so that a commit that was fetched once
 * needs no request again. It holds the commits that were asked for, each under a name of its own, and no branch.
 */
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Where } from "../errors.ts";
import { lockFile } from "../kernel/file-lock.ts";
import { setMtime } from "../kernel/files.ts";
import { closeInRoot, openFolderInRoot } from "../kernel/resolve-in-root.ts";
import { hexOf, sha256 } from "../oci/digest.ts";
import type { Store } from "../store/store.ts";
import type { SecretSource } from "./build-options.ts";
import {
  commitMismatch,
  commitNotFound,
  folderNotFound,
  gitFailed,
  noDefaultBranch,
  refNotFound,
} from "./git-errors.ts";
import { GitProgram, type GitResult, type GitRun } from "./git-program.ts";
import { type GitSource, isCommit, shownGitUrl } from "./git-url.ts";

export interface GitRequest {
  readonly where: Where | undefined;
  readonly signal: AbortSignal;
}

export interface GitOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly secrets: ReadonlyMap<string, SecretSource>;
  readonly sshSocket: () => Promise<string | undefined>;
}

export interface GitCommit {
  readonly id: string;
  /** `refs/heads/main`, where a branch or a tag was named, or is the default. */
  readonly name: string | undefined;
}

export class GitRepositories {
  readonly #store: Pick<Store, "gitFolder" | "temporaryFolder">;
  readonly #folder: string;
  readonly #git: GitProgram;
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
  }

  /**
   * The commit that is meant, asked of the remote unless it is given in full. Once for one source.
   * @throws {TsbuildError} `SOURCE_NOT_FOUND`; `COPY_FAILED` when it is not the one that a checksum wants
   */
  async resolve(source: GitSource, request: GitRequest): Promise<GitCommit> {
    const { remote, ref = "HEAD", checksum } = source;
    const known = this.#commits.get(`${remote} ${ref}`);
    const asked =
      known ?? (isCommit(ref) ? Promise.resolve({ id: ref, name: undefined }) : this.#ask(source, ref, request));
    if (known === undefined) this.#commits.set(`${remote} ${ref}`, asked);
    const commit = await asked;
    if (checksum !== undefined && !commit.id.startsWith(checksum))
      throw commitMismatch(shownGitUrl(source), checksum, commit.id, request.where);
    return commit;
  }

  /**
   * Writes the files of `commit` into `folder`, which is made: modes 0644 and 0755, the time of the checkout or the commit.
   * @throws {TsbuildError} `SOURCE_NOT_FOUND`
   */
  async checkOut(source: GitSource, commit: GitCommit, folder: string, request: GitRequest): Promise<void> {
    await this.#write(source, commit, folder, request);
    if (source.mtime === "commit")
      setTimes(Buffer.from(folder), BigInt(await this.timeOf(source, commit, request)) * 1_000_000_000n);
  }

  async #write(source: GitSource, { id: commit, name }: GitCommit, folder: string, request: GitRequest): Promise<void> {
    const repository = await this.#fetched(source, commit, request);
    const run = (args: readonly string[], more?: Partial<GitRun>): Promise<string> =>
      this.#must(source, args, { ...request, protocols: "none", ...more });
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    const hasSubmodules = source.submodules && (await this.#has(repository, `${commit}:.gitmodules`, request));
    if (!hasSubmodules && !source.keepGitDir) {
      const index = { GIT_INDEX_FILE: join(this.#folder, `index-${this.#count++}`) };
      await run([`--git-dir=${repository}`, `--work-tree=${folder}`, "read-tree", "--reset", "-u", commit], {
        variables: index,
        folder,
      });
      rmSync(index.GIT_INDEX_FILE, { force: true });
      return;
    }
    await run(["init", "--quiet"], { folder });
    await run(["remote", "add", "origin", `file://${repository}`], { folder });
    // Not by a local path, which would link into the clone.
    const names = `${refOf(commit)}:${name ?? "refs/heads/fetched"}`;
    await run(["fetch", "--quiet", "--depth=1", "--no-tags", "--update-head-ok", "origin", names], {
      folder,
      protocols: "file",
    });
    await run(["update-ref", "--no-deref", "HEAD", commit], { folder });
    if (name === undefined) await run(["update-ref", "-d", "refs/heads/fetched"], { folder });
    await run(["read-tree", "--reset", "-u", commit], { folder });
    await run(["remote", "set-url", "origin", shownGitUrl(source)], { folder });
    if (hasSubmodules)
      await run(["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"], {
        folder,
        protocols: "remote",
      });
    if (!source.keepGitDir) removeGitDirs(Buffer.from(folder));
    else {
      await run(["reflog", "expire", "--all", "--expire=now"], { folder });
      rmSync(join(folder, ".git", "FETCH_HEAD"), { force: true });
    }
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
    const repository = await this.#fetched(source, commit, request);
    const args = [`--git-dir=${repository}`, "log", "-1", "--format=%ct", commit, "--"];
    return Number((await this.#must(source, args, { ...request, protocols: "none" })).trim());
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
      // Behind an annotated tag is the commit.
      const id = commits.get(`${name}^{}`) ?? commits.get(name);
      if (id !== undefined) return { id, name };
    }
    const all = await this.#list(source, ["refs/heads/*", "refs/tags/*"], request);
    const known = [...all.keys()].filter((one) => !one.endsWith("^{}")).map((one) => one.replace(/^refs\/\w+\//, ""));
    throw refNotFound(shownGitUrl(source), ref, [...new Set(known)], request.where);
  }

  async #askDefault(source: GitSource, request: GitRequest): Promise<GitCommit> {
    const id = (await this.#list(source, ["HEAD"], request)).get("HEAD");
    if (id === undefined) throw noDefaultBranch(shownGitUrl(source), request.where);
    return { id, name: this.#defaultBranches.get(source.remote) };
  }

  async #list(
    source: GitSource,
    patterns: readonly string[],
    request: GitRequest,
  ): Promise<ReadonlyMap<string, string>> {
    mkdirSync(this.#store.gitFolder, { recursive: true, mode: 0o700 });
    await this.#git.open(source.remote);
    const text = await this.#must(source, ["ls-remote", "--quiet", "--symref", "--", source.remote, ...patterns], {
      ...request,
      protocols: "remote",
    });
    const lines = text.split("\n").map((line) => line.split("\t", 2));
    for (const [target, name] of lines)
      if (name === "HEAD" && target?.startsWith("ref: ")) this.#defaultBranches.set(source.remote, target.slice(5));
    return new Map(
      lines.flatMap(([commit, name]) =>
        commit && name && !commit.startsWith("ref: ") ? [[name, commit] as const] : [],
      ),
    );
  }

  // The clone -------------------------------------------------------------------------------------------------------

  /** The clone, with the commit in it. */
  async #fetched(source: GitSource, commit: string, request: GitRequest): Promise<string> {
    const { gitFolder } = this.#store;
    mkdirSync(gitFolder, { recursive: true, mode: 0o700 });
    await this.#git.open(source.remote);
    const repository = join(gitFolder, cloneName(source.remote, commit));
    using _ = await lockFile(`${repository}.lock`, request.signal);
    if (!existsSync(repository)) await this.#init(source, commit, repository, request);
    // What is used last goes last.
    utimesSync(repository, new Date(), new Date());
    if (await this.#has(repository, refOf(commit), request)) return repository;
    removeStaleLocks(repository);
    await this.#fetch(source, commit, repository, request);
    return repository;
  }

  async #init(source: GitSource, commit: string, repository: string, request: GitRequest): Promise<void> {
    using staged = this.#store.temporaryFolder("git");
    const folder = join(staged.path, "clone");
    const format = commit.length === 64 ? "sha256" : "sha1";
    await this.#must(source, ["init", "--quiet", "--bare", `--object-format=${format}`, folder], {
      ...request,
      protocols: "none",
    });
    writeFileSync(join(folder, "description"), `${shownGitUrl(source)}\n`);
    renameSync(folder, repository);
  }

  async #fetch(source: GitSource, commit: string, repository: string, request: GitRequest): Promise<void> {
    const fetch = (args: readonly string[]): Promise<GitResult> =>
      this.#git.run(
        [`--git-dir=${repository}`, "fetch", "--quiet", "--force", "--no-tags", "--no-write-fetch-head", ...args],
        { ...request, protocols: "remote" },
      );
    const alone = await fetch(["--depth=1", "--", source.remote, `${commit}:${refOf(commit)}`]);
    if (alone.code === 0) return;
    // A server without shallow fetches, or one that gives no commit by its name.
    const whole = existsSync(join(repository, "shallow")) ? ["--unshallow"] : [];
    const all = await fetch([
      ...whole,
      "--",
      source.remote,
      "+refs/heads/*:refs/all/heads/*",
      "+refs/tags/*:refs/all/tags/*",
    ]);
    if (all.code !== 0) throw gitFailed(shownGitUrl(source), all.stderr, request.where);
    if (!(await this.#has(repository, `${commit}^{commit}`, request)))
      throw commitNotFound(shownGitUrl(source), commit, request.where);
    await this.#must(source, [`--git-dir=${repository}`, "update-ref", refOf(commit), commit], {
      ...request,
      protocols: "none",
    });
  }

  async #has(repository: string, object: string, request: GitRequest): Promise<boolean> {
    const args = [`--git-dir=${repository}`, "cat-file", "-e", object];
    return (await this.#git.run(args, { ...request, protocols: "none" })).code === 0;
  }

  async #must(source: GitSource, args: readonly string[], run: GitRun): Promise<string> {
    const { code, stdout, stderr } = await this.#git.run(args, run);
    if (code !== 0) throw gitFailed(shownGitUrl(source), stderr, run.where);
    return stdout;
  }
}

function refOf(commit: string): string {
  return `refs/tsbuild/${commit}`;
}

/** Another user of the same URL may see other things in it. No clone has commits of SHA-1 and of SHA-256. */
function cloneName(remote: string, commit: string): string {
  return hexOf(sha256(commit.length === 64 ? `sha256 ${remote}` : remote)).slice(0, 32);
}

/** Of a git that was killed: nobody else is at this clone now. */
function removeStaleLocks(repository: string): void {
  for (const name of readdirSync(repository, { recursive: true, encoding: "utf8" }))
    if (name.endsWith(".lock") || /(?:^|\/)tmp_(?:pack|idx|obj|rev)_[^/]*$/.test(name))
      rmSync(join(repository, name), { recursive: true, force: true });
}

/** Also the files by which a submodule names its own. */
function removeGitDirs(folder: Buffer): void {
  for (const { path, name, isFolder } of entriesOf(folder)) {
    if (name === ".git") rmSync(path, { recursive: true, force: true });
    else if (isFolder) removeGitDirs(path);
  }
}

function setTimes(folder: Buffer, mtimeNs: bigint): void {
  for (const { path, isFolder } of entriesOf(folder)) {
    if (isFolder) setTimes(path, mtimeNs);
    else setMtime(path, mtimeNs);
  }
  setMtime(folder, mtimeNs);
}

/** Names are bytes. */
function entriesOf(
  folder: Buffer,
): readonly { readonly path: Buffer; readonly name: string; readonly isFolder: boolean }[] {
  return readdirSync(folder, { withFileTypes: true, encoding: "buffer" }).map((entry) => ({
    path: Buffer.concat([folder, Buffer.from("/"), entry.name]),
    name: entry.name.toString("latin1"),
    isFolder: entry.isDirectory(),
  }));
}
