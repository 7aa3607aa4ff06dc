/** What all prunes have in common: the question, the lists, the total. */
import type { Command } from "commander";
import type { CommandContext } from "./command.ts";
import { confirm } from "./confirm.ts";
import { parseFilters } from "./filters.ts";
import { listOption } from "./list-option.ts";
import { type Pruned, type PruneOptions, pruneFilterKeys } from "./prune.ts";
import { printable } from "./render/printable.ts";
import { formatSize } from "./render/size.ts";

interface Options {
  readonly force?: boolean;
  readonly filter?: readonly string[];
  readonly dryRun?: boolean;
}

/** One kind of thing that goes. */
export interface PrunePart {
  /** `Deleted Containers:` */
  readonly title: string;
  prune(options: PruneOptions): Pruned;
}

export function definePrune(command: Command): void {
  command
    .option("-f, --force", "do not ask")
    .addOption(listOption("--filter <key=value>", pruneFilterKeys.join(", ")))
    .option("--dry-run", "say what would go");
}

/** `warning` says what will go, one line each. */
export async function runPrune(
  command: Command,
  context: CommandContext,
  { warning, parts }: { readonly warning: readonly string[]; readonly parts: readonly PrunePart[] },
): Promise<number> {
  const { force = false, filter, dryRun = false } = command.opts<Options>();
  const options = { filters: parseFilters(filter, pruneFilterKeys), nowMs: context.now(), dryRun };
  const text = ["WARNING! This will remove:", ...warning.map((line) => `  - ${line}`)].join("\n");
  if (!force && !dryRun && !(await confirm(text, context))) return 0;
  let freedBytes = 0;
  for (const part of parts) {
    const pruned = part.prune(options);
    freedBytes += pruned.freedBytes;
    if (pruned.lines.length === 0) continue;
    context.stdout.write(`${part.title}\n${pruned.lines.map((line) => `${printable(line)}\n`).join("")}\n`);
  }
  context.stdout.write(`Total ${dryRun ? "reclaimable" : "reclaimed"} space: ${formatSize(freedBytes, 4)}\n`);
  return 0;
}
