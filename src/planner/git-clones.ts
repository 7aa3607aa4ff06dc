/**
 * Bare clones of git repositories, one for a URL, so that what was fetched once needs no request again. A clone holds the
 * commits and tags that were asked for, each under a name of its own, and no branch.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Where } from "../errors.ts";
import { lockFile, tryLockFolder } from "../kernel/file-lock.ts";
import { hexOf, sha256 } from "../oci/digest.ts";
import type { Store } from "../store/store.ts";
import { commitNotFound, gitFailed } from "./git-errors.ts";
import type { GitProgram, GitRemote, GitResult } from "./git-program.ts";
import { shownGitUrl } from "./git-url.ts";

export interface GitRequest {
  readonly where: Where | undefined;
  readonly signal: AbortSignal;
}

export interface HeldClone extends Disposable {
  /** Of the bare repository. */
  readonly path: string;
}

export class GitClones {
  readonly #store: Pick<Store, "gitFolder" | "temporaryFolder">;
  readonly #git: GitProgram;

  constructor(store: Pick<Store, "gitFolder" | "temporaryFolder">, git: GitProgram) {
    this.#store = store;
    this.#git = git;
  }

  /**
   * The clone of `remote`, with these commits and tag objects in it, each under its `cloneRef`. It stays until disposed.
   * @throws {TsbuildError} `SOURCE_NOT_FOUND`
   */
  async holding(remote: GitRemote, ids: readonly [string, ...string[]], request: GitRequest): Promise<HeldClone> {
    const { gitFolder } = this.#store;
    mkdirSync(gitFolder, { recursive: true, mode: 0o700 });
    const clone = join(gitFolder, cloneName(remote.url, ids[0]));
    using _ = await lockFile(`${clone}.lock`, request.signal);
    if (!existsSync(clone)) await this.#init(remote, ids[0], clone, request);
    // What is used last goes last.
    utimesSync(clone, new Date(), new Date());
    const missing: string[] = [];
    for (const id of ids) if (!(await this.has(clone, cloneRef(id), request))) missing.push(id);
    if (missing.length > 0) {
      removeStaleLocks(clone);
      await this.#fetch(remote, missing, clone, request);
    }
    // Whoever removes it needs the lock that we hold, so nobody has it alone.
    const use = tryLockFolder(clone, "shared");
    return { path: clone, [Symbol.dispose]: () => use?.[Symbol.dispose]() };
  }

  /** `object`: a name, a commit, `commit:path`. */
  async has(clone: string, object: string, request: GitRequest): Promise<boolean> {
    const args = [`--git-dir=${clone}`, "cat-file", "-e", object];
    return (await this.#git.run(args, { ...request, protocols: "none" })).code === 0;
  }

  async #init(remote: GitRemote, id: string, clone: string, request: GitRequest): Promise<void> {
    using staged = this.#store.temporaryFolder("git");
    const folder = join(staged.path, "clone");
    const args = ["init", "--quiet", "--bare", `--object-format=${objectFormat(id)}`, folder];
    await this.#git.must(remote.url, args, { ...request, protocols: "none" });
    writeFileSync(join(folder, "description"), `${shownGitUrl({ remote: remote.url })}\n`);
    renameSync(folder, clone);
  }

  async #fetch(remote: GitRemote, ids: readonly string[], clone: string, request: GitRequest): Promise<void> {
    const fetch = (args: readonly string[]): Promise<GitResult> =>
      this.#git.run(
        [`--git-dir=${clone}`, "fetch", "--quiet", "--force", "--no-tags", "--no-write-fetch-head", ...args],
        { ...request, protocols: "remote", sshAgent: remote.sshAgent },
      );
    const alone = await fetch(["--depth=1", "--", remote.url, ...ids.map((id) => `${id}:${cloneRef(id)}`)]);
    if (alone.code === 0) return;
    // A server without shallow fetches, or one that gives no commit by its name.
    const whole = existsSync(join(clone, "shallow")) ? ["--unshallow"] : [];
    const all = ["+refs/heads/*:refs/all/heads/*", "+refs/tags/*:refs/all/tags/*"];
    const { code, stderr } = await fetch([...whole, "--", remote.url, ...all]);
    if (code !== 0) throw gitFailed(shownGitUrl({ remote: remote.url }), stderr, request.where);
    for (const id of ids) {
      if (!(await this.has(clone, id, request)))
        throw commitNotFound(shownGitUrl({ remote: remote.url }), id, request.where);
      const args = [`--git-dir=${clone}`, "update-ref", cloneRef(id), id];
      await this.#git.must(remote.url, args, { ...request, protocols: "none" });
    }
  }
}

/** The name of a commit or a tag object in its clone. */
export function cloneRef(id: string): string {
  return `refs/tsbuild/${id}`;
}

/** What `git init` has to be told of a repository with this commit. */
export function objectFormat(id: string): "sha1" | "sha256" {
  return id.length === 64 ? "sha256" : "sha1";
}

/** Another user of the same URL may see other things in it. No clone has commits of SHA-1 and of SHA-256. */
function cloneName(url: string, id: string): string {
  return hexOf(sha256(objectFormat(id) === "sha256" ? `sha256 ${url}` : url)).slice(0, 32);
}

/** Of a git that was killed: nobody else is at this clone now. */
function removeStaleLocks(clone: string): void {
  for (const name of readdirSync(clone, { recursive: true, encoding: "utf8" }))
    if (name.endsWith(".lock") || /(?:^|\/)tmp_(?:pack|idx|obj|rev)_[^/]*$/.test(name))
      rmSync(join(clone, name), { recursive: true, force: true });
}
