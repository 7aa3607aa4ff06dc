/**
 * The files of a commit, with those of its submodules. Nothing in them is believed: no hook, filter or command of a
 * repository runs, its submodules come from where others may come from, and into folders of the checkout only.
 * Source: git-submodule(1), gitmodules(5); Git's advisories CVE-2018-11235, CVE-2018-17456, CVE-2022-39253.
 */
import { mkdirSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cloneRef, type GitClones, type GitRequest, objectFormat } from "./git-clones.ts";
import { submoduleMisplaced } from "./git-errors.ts";
import type { GitProgram, GitRemote, GitRun } from "./git-program.ts";
import { shownGitUrl } from "./git-url.ts";

export interface GitCommit {
  readonly id: string;
  /** `refs/heads/main`, where a branch or a tag was named, or is the default. */
  readonly name: string | undefined;
  /** The object of an annotated tag, where `name` is one. */
  readonly tag: string | undefined;
}

export interface Checkout {
  readonly remote: GitRemote;
  readonly commit: GitCommit;
  /** The files are a repository that works, with the tag or branch that was named. */
  readonly keepGitDir: boolean;
  readonly submodules: boolean;
}

export interface CheckoutTools {
  readonly git: GitProgram;
  readonly clones: GitClones;
  /** For a file that is gone again afterwards. */
  readonly indexFile: string;
}

/**
 * Writes the files into `folder`, which is made: modes 0644 and 0755, the time is now.
 * @throws {TsbuildError} `SOURCE_NOT_FOUND`
 */
export async function checkOut(
  checkout: Checkout,
  folder: string,
  tools: CheckoutTools,
  request: GitRequest,
): Promise<void> {
  const { keepGitDir, remote } = checkout;
  const hasSubmodules = await write(checkout, folder, tools, request);
  if (!keepGitDir) {
    if (hasSubmodules) removeGitDirs(Buffer.from(folder));
    return;
  }
  const run = runner(remote, folder, tools, request);
  // What git would have made of them: their repositories inside the one around them.
  if (hasSubmodules) await run(["submodule", "--quiet", "absorbgitdirs"]);
  await run(["remote", "set-url", "origin", shownGitUrl({ remote: remote.url })]);
  if (hasSubmodules) await run(["submodule", "--quiet", "sync", "--recursive"]);
}

/** Whether there were submodules. Then, and with `keepGitDir`, there is a `.git`. */
async function write(checkout: Checkout, folder: string, tools: CheckoutTools, request: GitRequest): Promise<boolean> {
  const { remote, commit, keepGitDir, submodules } = checkout;
  const { git, clones, indexFile } = tools;
  using held = await clones.holding(remote, [commit.id, ...(keepGitDir ? [commit.tag ?? []].flat() : [])], request);
  const clone = held.path;
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const links = submodules ? await submoduleLinks(remote, clone, commit.id, tools, request) : [];
  if (links.length === 0 && !keepGitDir) {
    const args = [`--git-dir=${clone}`, `--work-tree=${folder}`, "read-tree", "--reset", "-u", commit.id];
    const variables = { GIT_INDEX_FILE: indexFile };
    await git.must(remote.url, args, { ...request, protocols: "none", folder, variables });
    rmSync(indexFile, { force: true });
    return false;
  }
  const run = runner(remote, folder, tools, request);
  await run(["init", "--quiet", `--object-format=${objectFormat(commit.id)}`]);
  await run(["remote", "add", "origin", `file://${clone}`]);
  // Not by a local path, which would link into the clone.
  const names = `${cloneRef(commit.tag ?? commit.id)}:${commit.name ?? "refs/heads/fetched"}`;
  const fetch = ["fetch", "--quiet", "--depth=1", "--no-tags", "--update-head-ok", "origin"];
  await run([...fetch, keepGitDir ? names : cloneRef(commit.id)], { protocols: "file" });
  await run(["update-ref", "--no-deref", "HEAD", commit.id]);
  if (keepGitDir && commit.name === undefined) await run(["update-ref", "-d", "refs/heads/fetched"]);
  await run(["read-tree", "--reset", "-u", commit.id]);
  await run(["remote", "set-url", "origin", remote.url]);
  if (links.length > 0) await writeSubmodules(checkout, links, folder, tools, request);
  if (keepGitDir) {
    await run(["reflog", "expire", "--all", "--expire=now"]);
    rmSync(join(folder, ".git", "FETCH_HEAD"), { force: true });
  }
  return links.length > 0;
}

type Runner = (args: readonly string[], more?: Partial<GitRun>) => Promise<string>;

function runner(remote: GitRemote, folder: string, { git }: CheckoutTools, request: GitRequest): Runner {
  return (args, more) => git.must(remote.url, args, { ...request, protocols: "none", folder, ...more });
}

// Submodules ----------------------------------------------------------------------------------------------------------

interface SubmoduleLink {
  readonly path: string;
  readonly commit: string;
}

async function submoduleLinks(
  remote: GitRemote,
  clone: string,
  commit: string,
  { git }: CheckoutTools,
  request: GitRequest,
): Promise<readonly SubmoduleLink[]> {
  const args = [`--git-dir=${clone}`, "ls-tree", "-r", "-z", "--full-tree", commit];
  const text = await git.must(remote.url, args, { ...request, protocols: "none" });
  return [...text.matchAll(/(?<=^|\0)160000 commit ([0-9a-f]+)\t([^\0]+)\0/g)].map(([, id = "", path = ""]) => ({
    path,
    commit: id,
  }));
}

/** Each from a clone of its own. Git reads the settings: which are refused, and what a relative URL stands for. */
async function writeSubmodules(
  { remote, keepGitDir }: Checkout,
  links: readonly SubmoduleLink[],
  folder: string,
  tools: CheckoutTools,
  request: GitRequest,
): Promise<void> {
  const run = runner(remote, folder, tools, request);
  await run(["submodule", "--quiet", "init"]);
  const listed = ["config", "--null", "--blob", "HEAD:.gitmodules", "--get-regexp", "^submodule\\..*\\.path$"];
  const names = new Map(settings(await run(listed)).map(([key, path]) => [path, key.slice(0, -".path".length)]));
  const values = new Map(settings(await run(["config", "--null", "--local", "--get-regexp", "^submodule\\."])));
  for (const { path, commit } of links) {
    const name = names.get(path);
    const url = values.get(`${name}.url`);
    const place = join(folder, path);
    if (url === undefined || realpathSync(place) !== join(realpathSync(folder), path) || readdirSync(place).length > 0)
      throw submoduleMisplaced(shownGitUrl({ remote: remote.url }), path, request.where);
    if (values.get(`${name}.update`) === "none") continue;
    const inner: Checkout = {
      remote: { url, sshAgent: remote.sshAgent },
      commit: { id: commit, name: undefined, tag: undefined },
      keepGitDir,
      submodules: true,
    };
    await write(inner, place, tools, request);
  }
}

function settings(text: string): readonly (readonly [string, string])[] {
  return text.split("\0").flatMap((entry) => {
    const end = entry.indexOf("\n");
    return end < 0 ? [] : [[entry.slice(0, end), entry.slice(end + 1)] as const];
  });
}

/** Also the files by which a submodule names its own. */
function removeGitDirs(folder: Buffer): void {
  for (const entry of readdirSync(folder, { withFileTypes: true, encoding: "buffer" })) {
    const path = Buffer.concat([folder, Buffer.from("/"), entry.name]);
    if (entry.name.toString("latin1") === ".git") rmSync(path, { recursive: true, force: true });
    else if (entry.isDirectory()) removeGitDirs(path);
  }
}
