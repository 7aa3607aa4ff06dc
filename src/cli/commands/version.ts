/** `tsbuild version`. */
import type { Command } from "commander";
import type { CommandContext } from "../command.ts";
import { versionInfo } from "../version-info.ts";

export function define(command: Command): void {
  command.option("-f, --format <FORMAT>", "json, or a template such as {{.Client.Version}}");
}

export async function run(_command: Command, context: CommandContext): Promise<number> {
  const { version, commit } = versionInfo();
  const client = { Version: version, GitCommit: commit, Node: process.versions.node, Os: "linux" };
  context.stdout.write(`${JSON.stringify({ Client: client })}\n`);
  return 0;
}
