/** `tsbuild diff`: A added, C changed, D deleted. */
import type { Command } from "commander";
import { containerChanges } from "../../runtime/diff.ts";
import type { CommandContext } from "../command.ts";
import { knownContainer } from "../containers/known-container.ts";
import { formatRows } from "../render/table.ts";

const letters = { added: "A", changed: "C", deleted: "D" } as const;

export function define(command: Command): void {
  command
    .usage("CONTAINER")
    .argument("<container>", "by name, ID or the beginning of one")
    .option("--format <format>", "json, or a template with .Kind and .Path");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const { format } = command.opts<{ readonly format?: string }>();
  const store = context.openStore();
  const changes = containerChanges(store, knownContainer(store, command.args[0] ?? ""));
  if (format === undefined) {
    context.stdout.write(changes.map(({ kind, path }) => `${letters[kind]} ${path}\n`).join(""));
    return 0;
  }
  const rows = changes.map(({ kind, path }) => ({ Kind: letters[kind], Path: path }));
  context.stdout.write(formatRows(rows, { format, headers: {}, columns: ["Kind", "Path"] }));
  return 0;
}
