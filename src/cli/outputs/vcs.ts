/**
 * Repository and commit of a context that lies here, for provenance. Nobody verifies them.
 * Source: buildx, build/git.go; Docker docs, "Build variables", `BUILDX_GIT_…`.
 */
import { spawnSync } from "node:child_process";
import type { BuildContext } from "../../planner/build-options.ts";
import type { CommandContext } from "../command.ts";
import { isTrue } from "./output-flags.ts";

export interface Vcs {
  readonly source?: string;
  readonly revision?: string;
}

/** Undefined for a folder in no repository, without git, and where `BUILDX_GIT_INFO` says no. */
export function vcsOf(context: BuildContext, { environment }: Pick<CommandContext, "environment">): Vcs | undefined {
  if (context.kind !== "directory" || context.temporary) return undefined;
  const wanted = environment["BUILDX_GIT_INFO"];
  if (wanted !== undefined && wanted !== "" && !isTrue(wanted)) return undefined;
  const git = (...args: readonly string[]): string | undefined => {
    // Nothing that the repository's configuration names is run.
    const safe = ["-C", context.path, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"];
    const { status, stdout } = spawnSync("git", [...safe, ...args], {
      encoding: "utf8",
      env: { ...environment, GIT_OPTIONAL_LOCKS: "0", GIT_TERMINAL_PROMPT: "0" },
      stdio: ["ignore", "pipe", "ignore"],
    });
    return status === 0 ? stdout.trim() : undefined;
  };
  const commit = git("rev-parse", "--verify", "--quiet", "HEAD");
  if (!commit) return undefined;
  const checksDirty = isTrue(environment["BUILDX_GIT_CHECK_DIRTY"]);
  const isDirty = checksDirty && git("status", "--porcelain", "--ignored=no") !== "";
  const source = git("remote", "get-url", "origin");
  return {
    ...(source && { source: source.replace(/^([a-z0-9+]+:\/\/)[^/@]*@/i, "$1") }),
    revision: `${commit}${isDirty ? "-dirty" : ""}`,
  };
}
