/** `tsbuild ps`. */
import { type Command, Option } from "commander";
import { listContainers } from "../../runtime/containers/container-folder.ts";
import { observe } from "../../runtime/containers/container-state.ts";
import { isUp } from "../../runtime/containers/stop-container.ts";
import type { CommandContext } from "../command.ts";
import { containerFilter, containerFilterKeys } from "../containers/container-filters.ts";
import { containerRow } from "../containers/container-row.ts";
import { integer } from "../containers/flag-values.ts";
import { parseFilters } from "../filters.ts";
import { listOption } from "../list-option.ts";
import { formatRows } from "../render/table.ts";

interface Flags {
  readonly all?: boolean;
  readonly quiet?: boolean;
  /** False with `--no-trunc`. */
  readonly trunc: boolean;
  readonly latest?: boolean;
  readonly last?: string;
  readonly size?: boolean;
  readonly filter?: readonly string[];
  readonly format?: string;
  readonly since?: string;
  readonly before?: string;
}

const headers = {
  ID: "CONTAINER ID",
  RunningFor: "CREATED",
  CreatedAt: "CREATED AT",
  LocalVolumes: "LOCAL VOLUMES",
  HealthStatus: "HEALTH STATUS",
};

export function define(command: Command): void {
  command
    .option("-a, --all", "those that do not run, too")
    .option("-q, --quiet", "only IDs")
    .option("--no-trunc", "whole IDs and commands")
    .option("-l, --latest", "only the newest, whether it runs or not")
    .option("-n, --last <number>", "only the newest so many, whether they run or not")
    .option("-s, --size", "what each wrote, and how large it is in all")
    .addOption(listOption("-f, --filter <key=value>", containerFilterKeys.join(", ")))
    .option("--format <format>", "table, json, or a template such as {{.Names}}")
    .addOption(new Option("--since <container>").hideHelp())
    .addOption(new Option("--before <container>").hideHelp());
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const flags = command.opts<Flags>();
  const store = context.openStore();
  const old = [...(flags.since ? [`since=${flags.since}`] : []), ...(flags.before ? [`before=${flags.before}`] : [])];
  const filters = parseFilters([...(flags.filter ?? []), ...old], containerFilterKeys);
  const fits = containerFilter(store, filters);
  const last = flags.latest === true ? 1 : flags.last === undefined ? -1 : integer("--last", flags.last);
  const shownAnyway =
    flags.all === true || last >= 0 || ["status", "exited", "since", "before"].some((key) => filters.has(key));
  const found = listContainers(store)
    .map((container) => ({ container, state: observe(container.folder) }))
    .filter(({ container, state }) => fits(container, state) && (shownAnyway || isUp(state)));
  const withSize = flags.size === true || /\.Size\b/.test(flags.format ?? "");
  const options = { truncate: flags.trunc, withSize, nowMs: context.now() };
  const rows = (last > 0 ? found.slice(0, last) : found).map(({ container, state }) =>
    containerRow(store, container, state, options),
  );
  const columns = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names", ...(flags.size ? ["Size"] : [])];
  const quiet = flags.quiet ? "ID" : undefined;
  context.stdout.write(formatRows(rows, { format: flags.format, headers, columns, quiet }));
  return 0;
}
