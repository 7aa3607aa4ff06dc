/** `tsbuild version`. There is no server: the second section is there for scripts that ask for `.Server.Version`. */
import { release } from "node:os";
import type { Command } from "commander";
import { hostPlatform } from "../../oci/platform.ts";
import type { CommandContext } from "../command.ts";
import { versionInfo } from "../version-info.ts";

export function define(command: Command): void {
  command.option("-f, --format <format>", "json, or a template such as {{.Client.Version}}");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const { format } = command.opts<{ format?: string }>();
  const { version, commit } = versionInfo();
  const { os, architecture } = hostPlatform();
  const client = { Version: version, GitCommit: commit, NodeVersion: process.version, Os: os, Arch: architecture };
  const engine = { Name: "Engine", Version: version, Details: { GitCommit: commit, KernelVersion: release() } };
  const server = { Version: version, Os: os, Arch: architecture, KernelVersion: release(), Components: [engine] };
  const data = { Client: client, Server: server };
  if (format === undefined) {
    const lines = [
      "Client:",
      ` Version:     ${version}`,
      ` Git commit:  ${commit}`,
      ` Node:        ${process.version}`,
      ` OS/Arch:     ${os}/${architecture}`,
      "",
      "Server: none needed",
      " Engine:",
      `  Version:    ${version}`,
      `  Kernel:     ${release()}`,
    ];
    context.stdout.write(`${lines.join("\n")}\n`);
  } else {
    const [{ compileTemplate, unescapeFormat }, { templateJson }] = await Promise.all([
      import("../render/template.ts"),
      import("../render/template-functions.ts"),
    ]);
    context.stdout.write(`${format === "json" ? templateJson(data) : compileTemplate(unescapeFormat(format))(data)}\n`);
  }
  return 0;
}
