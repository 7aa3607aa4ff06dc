/** A main context that lies elsewhere, fetched before the Dockerfile can be read. */
import { join } from "node:path";
import { hexOf } from "../oci/digest.ts";
import type { RemoteSource, SshSource } from "../planner/build-options.ts";
import { download, shownUrl } from "../planner/download.ts";
import { GitRepositories } from "../planner/git-repositories.ts";
import { type GitSource, gitSourceUri } from "../planner/git-url.ts";
import type { FetchOptions } from "./build-input.ts";
import type { CommandContext } from "./command.ts";

export interface FetchedTree {
  readonly folder: string;
  /** Epoch seconds: what SOURCE_DATE_EPOCH=context means. */
  readonly time: number | undefined;
  readonly remote: RemoteSource;
}

/**
 * The folder of the checkout that the URL names, below `folder`. `.git` is in it only by the query or by the build
 * argument BUILDKIT_CONTEXT_KEEP_GIT_DIR.
 * @throws {TsbuildError} `SOURCE_NOT_FOUND`, `COPY_FAILED` for another commit than a checksum wants
 */
export async function checkOutContext(
  written: GitSource,
  folder: string,
  { secrets, ssh, buildArgs }: FetchOptions,
  context: CommandContext,
): Promise<FetchedTree> {
  const keepGitDir = written.keepGitDir || isTrue(buildArgs.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR"));
  // With a time for what is built, files have one that is the same everywhere.
  const mtime = buildArgs.get("SOURCE_DATE_EPOCH") ? "commit" : written.mtime;
  const source: GitSource = { ...written, keepGitDir, mtime };
  using agents = new DisposableStack();
  const { SSH_AUTH_SOCK } = context.environment;
  const agent: SshSource | undefined =
    ssh.get("default") ?? (SSH_AUTH_SOCK ? { kind: "socket", path: SSH_AUTH_SOCK } : undefined);
  const repositories = new GitRepositories(context.openStore(), folder, {
    environment: context.environment,
    secrets,
    sshSocket: async () => {
      if (agent?.kind !== "keys") return agent?.path;
      const { openAgent } = await import("../executor/ssh/open-agent.ts");
      return agents.use(await openAgent(agent)).path;
    },
  });
  const request = { where: undefined, signal: context.signal };
  const checkout = join(folder, "checkout");
  const commit = await repositories.resolve(source, request);
  await repositories.checkOut(source, commit, checkout, request);
  const time = await repositories.timeOf(source, commit, request);
  const { id } = commit;
  const remote = { uri: gitSourceUri(source), digest: { [id.length === 64 ? "sha256" : "sha1"]: id } };
  return { folder: repositories.folderOf(source, checkout, request), time, remote };
}

function isTrue(value: string | undefined): boolean {
  return value !== undefined && ["1", "t", "true"].includes(value.toLowerCase());
}

export interface DownloadedFile {
  readonly file: string;
  /** For messages. */
  readonly shown: string;
  /** Last-Modified, in seconds. */
  readonly time: number | undefined;
  readonly remote: RemoteSource;
}

/** @throws {TsbuildError} `SOURCE_NOT_FOUND` */
export async function downloadContext(
  url: string,
  folder: string,
  { secrets }: Pick<FetchOptions, "secrets">,
  { environment, signal }: CommandContext,
): Promise<DownloadedFile> {
  const access = { environment, secrets };
  const got = await download({ url, path: join(folder, "input"), access, where: undefined, signal });
  if (got === undefined) throw new Error("a server that answers a condition nobody made");
  const shown = shownUrl(url);
  const remote = { uri: shown, digest: { sha256: hexOf(got.digest) } };
  return { file: got.path, shown, time: got.lastModifiedSeconds, remote };
}
