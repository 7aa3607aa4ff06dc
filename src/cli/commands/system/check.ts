/** `tsbuild system check`: does the store hold what it says? Each fault is a line; 1 when there is one. */
import type { Command } from "commander";
import { type CheckReport, checkStore } from "../../../store/check.ts";
import type { CommandContext } from "../../command.ts";
import { printable } from "../../render/printable.ts";

export function define(command: Command): void {
  command
    .option("--quick", "compare records and names, without reading the contents of layers")
    .option("--json", "the report as one JSON object");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const { quick = false, json = false } = command.opts<{ quick?: boolean; json?: boolean }>();
  const report = await checkStore(context.openStore(), { quick, signal: context.signal });
  context.stdout.write(json ? `${JSON.stringify(report)}\n` : textOf(report));
  return report.faults.length === 0 ? 0 : 1;
}

function textOf({ images, layers, blobs, cacheRecords, gitClones, faults }: CheckReport): string {
  const lines = faults.map(({ kind, subject, message }) => `${kind} ${printable(subject)}: ${printable(message)}`);
  const counts = [
    counted(images, "image"),
    counted(layers, "layer"),
    counted(blobs, "blob"),
    counted(cacheRecords, "cache record"),
    ...(gitClones === 0 ? [] : [counted(gitClones, "git clone")]),
    counted(faults.length, "fault"),
  ];
  lines.push(`${faults.length === 0 ? "ok" : "not ok"}: ${counts.join(", ")}`);
  return lines.map((line) => `${line}\n`).join("");
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
