/** `tsbuild top`: the processes of a container as the host's ps shows them, or a table of our own without it. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { errnoOf, TsbuildError } from "../../errors.ts";
import { containerProcesses } from "../../runtime/containers/container-processes.ts";
import type { CommandContext } from "../command.ts";
import { knownContainer } from "../containers/known-container.ts";
import { layOut } from "../render/table.ts";

export function define(command: Command): void {
  command
    .usage("CONTAINER [ps OPTIONS]")
    .argument("<container>", "by name, ID or the beginning of one")
    .argument("[options...]", "of ps (default: -ef)");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const [name = "", ...typed] = command.args;
  const container = knownContainer(context.openStore(), name);
  const pids = new Set(containerProcesses(container));
  const options = typed.length > 0 ? typed : ["-ef"];
  const ps = spawnSync("ps", options, { encoding: "utf8", maxBuffer: 64 << 20 });
  if (ps.error !== undefined) {
    if (errnoOf(ps.error) !== "ENOENT" || typed.length > 0) throw psFailed(ps.error.message);
    context.stdout.write(layOut([["PID", "CMD"], ...[...pids].map((pid) => [String(pid), commandOf(pid)])]));
    return 0;
  }
  if (ps.status !== 0) throw psFailed(ps.stderr.trim().split("\n")[0] ?? "");
  const rows = ps.stdout.trimEnd().split("\n").map(words);
  const titles = rows[0] ?? [];
  const column = titles.indexOf("PID");
  if (column < 0) throw new TsbuildError({ code: "INVALID_ARGUMENT", what: "couldn't find PID field in ps output" });
  const last = titles.length - 1;
  const kept = rows.slice(1).filter((row) => pids.has(Number(row[column])));
  const cells = [titles, ...kept.map((row) => [...row.slice(0, last), row.slice(last).join(" ")])];
  context.stdout.write(layOut(cells));
  return 0;
}

function words(line: string): readonly string[] {
  return line.trim().split(/\s+/);
}

function psFailed(why: string): TsbuildError {
  return new TsbuildError({ code: "INVALID_ARGUMENT", what: `error running ps: ${why}` });
}

/** Empty for one that ended meanwhile. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
  } catch {
    return "";
  }
}
