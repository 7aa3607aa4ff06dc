/** What RUN and COPY do to layers: AptUpdateAlone, CopyBeforeInstall, DeletedInLaterLayer, PackageCacheInLayer. */
import { basename, dirname } from "node:path";
import type { Range, RunInstruction } from "../../parser/ast.ts";
import { positionOf } from "../../parser/position.ts";
import type { ShellCommand } from "../../parser/shell-commands.ts";
import { absolutePath, cleanPath } from "../../planner/clean-path.ts";
import type { Check, CheckedFile, Report, WalkedLine, WalkedStage } from "../checked-file.ts";
import { installationOf, managerOf, type PackageManager, subcommandOf } from "../package-managers.ts";
import { argumentsOf, isBelow, mountedFolders, runCommands } from "../run-commands.ts";
import { wordValue } from "../walk-stages.ts";

export const layers: Check = (file, report) => {
  const made = new Map<WalkedStage, MadePaths>();
  for (const stage of file.walked) {
    const runs = runsOf(file, stage);
    aptUpdates(runs, report);
    copiesAboveInstallations(file, stage, runs, report);
    const quiet: Report = () => undefined;
    const isShipped = file.shipped.has(stage.source.index);
    if (isShipped) packageCaches(runs, report);
    const below = stage.base.kind === "stage" ? made.get(stage.base.stage) : undefined;
    made.set(stage, deletions(file, stage, { runs, below, report: isShipped ? report : quiet }));
  }
};

/** A RUN that is understood. */
interface Run {
  readonly line: WalkedLine;
  readonly commands: readonly Call[];
  /** Covered by mounts. */
  readonly mounted: readonly string[];
}

interface Call {
  readonly command: ShellCommand;
  readonly args: readonly string[];
  readonly subcommand: string | undefined;
  readonly manager: PackageManager | undefined;
}

function runsOf(file: CheckedFile, { lines }: WalkedStage): readonly Run[] {
  return lines.flatMap((line) => {
    if (line.instruction.kind !== "run" || line.trigger) return [];
    const commands = runCommands(file.dockerfile, line.instruction, line.before)?.map((command): Call => {
      const args = argumentsOf(command);
      return { command, args, subcommand: subcommandOf(args), manager: managerOf(args) };
    });
    if (commands === undefined) return [];
    return [{ line, commands, mounted: mountedFolders(file.dockerfile, line.instruction, line.before) }];
  });
}

const isUpdate = ({ manager, subcommand }: Call): boolean => manager?.updates?.includes(subcommand ?? "") === true;
const isInstall = ({ manager, subcommand }: Call): boolean => manager?.installs.includes(subcommand ?? "") === true;

function aptUpdates(runs: readonly Run[], report: Report): void {
  // From below, so that the next installation is known.
  const next = new Map<PackageManager, Run>();
  for (const run of runs.toReversed()) {
    const update = run.commands.find(isUpdate);
    const { manager } = update ?? {};
    const later = manager === undefined ? undefined : next.get(manager);
    for (const call of run.commands) if (call.manager !== undefined && isInstall(call)) next.set(call.manager, run);
    if (update === undefined || later === undefined || run.commands.some(isInstall)) continue;
    if (manager?.folders.every((folder) => isBelow(folder, run.mounted)) || later.commands.some(isUpdate)) continue;
    report(
      "AptUpdateAlone",
      update.command.range,
      `${update.args[0]} update is cached apart from the installation that needs its lists`,
      `write both in one RUN: ${update.args[0]} update && ${update.args[0]} install …`,
    );
  }
}

/** Sources that change with any file. */
const everything: ReadonlySet<string> = new Set([".", "/", "*", "./*"]);

function copiesAboveInstallations(
  { dockerfile }: CheckedFile,
  { lines }: WalkedStage,
  runs: readonly Run[],
  report: Report,
): void {
  const installations = runs.flatMap(({ line, commands }) =>
    commands.flatMap((call) => {
      const installation = installationOf(call.args);
      return installation === undefined ? [] : [{ line, call, installation }];
    }),
  );
  /** Programs that have installed above, and the first installation below. */
  const above = new Set<string | undefined>();
  let next = 0;
  for (const { instruction, before, trigger } of lines) {
    if (trigger || (instruction.kind !== "copy" && instruction.kind !== "add")) continue;
    if (instruction.kind === "copy" && instruction.from !== undefined) continue;
    const source = instruction.sources.find((word) =>
      everything.has(cleanPath(wordValue(word, before.variables, dockerfile) ?? "")),
    );
    if (source === undefined) continue;
    while ((installations[next]?.line.instruction.range.start ?? Number.POSITIVE_INFINITY) < instruction.range.start)
      above.add(installations[next++]?.call.args[0]);
    const below = installations[next];
    // Whoever has installed before the COPY knows what they do.
    if (below === undefined || above.has(below.call.args[0])) continue;
    const { what, reads } = below.installation;
    const number = positionOf(dockerfile, below.call.command.range.start).line;
    report(
      "CopyBeforeInstall",
      source.range,
      `${what} in line ${number} runs again after a change of any file that is copied here`,
      reads === undefined
        ? "move the installation above the COPY"
        : `copy ${reads} first, install, and copy the rest after that`,
    );
  }
}

function packageCaches(runs: readonly Run[], report: Report): void {
  for (const { commands, mounted } of runs) {
    for (const manager of new Set(commands.flatMap(({ manager: each }) => each ?? []))) {
      const own = commands.filter((call) => call.manager === manager);
      const installs = own.filter((call) => isInstall(call) && !call.args.includes(manager.withoutCache ?? " "));
      const [first] = manager.updates === undefined ? installs : own.filter(isUpdate);
      if (first === undefined || installs.length === 0) continue;
      if (own.some(({ subcommand }) => manager.cleans.includes(subcommand ?? ""))) continue;
      if (manager.folders.some((folder) => isBelow(folder, mounted) || mounted.includes(folder))) continue;
      if (commands.some((call) => removes(call, manager))) continue;
      report(
        "PackageCacheInLayer",
        first.command.range,
        `${first.args[0]} ${first.subcommand} leaves its package lists and downloads in the layer`,
        manager.remedy,
      );
    }
  }
}

/** Also by a word that names more than one folder, or something a shell has to expand. */
function removes({ args, command }: Call, { folders, programs }: PackageManager): boolean {
  if (args[0] === "find") return command.words.some(({ text }) => folders.some((folder) => text.startsWith(folder)));
  if (args[0] !== "rm") return false;
  return command.words.some(({ text, literal }) => {
    if (!literal || text.includes("{")) return programs.some((program) => text.includes(program.slice(0, 3)));
    return folders.some((folder) => isBelow(folder, [wholePath(text)]));
  });
}

// Deletions --------------------------------------------------------------------------------------------------------

interface Made {
  readonly path: string;
  readonly keyword: string;
  readonly range: Range;
}

/** Everything that layers hold, and each folder above it, with the first line that made it or something in it. */
type MadePaths = ReadonlyMap<string, Made>;

interface Deletions {
  readonly runs: readonly Run[];
  /** By the stages that this one is FROM. */
  readonly below: MadePaths | undefined;
  readonly report: Report;
}

/** Reports them, and returns what is in the stage's layers. */
function deletions(file: CheckedFile, stage: WalkedStage, { runs, below, report }: Deletions): MadePaths {
  const made = new Map(below);
  const runOf = new Map(runs.map((run) => [run.line, run]));
  for (const line of stage.lines) {
    if (line.trigger) continue;
    const run = runOf.get(line);
    if (run !== undefined) reportDeleted(file, run, made, report);
    for (const each of madeBy(file, line, run))
      for (let path = each.path; path !== "/" && !made.has(path); path = dirname(path)) made.set(path, each);
  }
  return made;
}

function madeBy(file: CheckedFile, line: WalkedLine, run: Run | undefined): readonly Made[] {
  const { instruction } = line;
  if (instruction.kind === "copy" || instruction.kind === "add") return copied(file, line);
  if (run === undefined || instruction.kind !== "run") return [];
  return downloads(run, instruction).filter(({ path }) => !isBelow(path, run.mounted));
}

function copied({ dockerfile }: CheckedFile, { instruction, before }: WalkedLine): readonly Made[] {
  if (instruction.kind !== "copy" && instruction.kind !== "add") return [];
  const destination = wordValue(instruction.destination, before.variables, dockerfile);
  if (destination === undefined || destination === "") return [];
  const { keyword, range } = instruction;
  const one = instruction.sources.length + instruction.heredocs.length === 1;
  const folder = absolutePath(destination, before.workdir);
  const into = !one || destination.endsWith("/") || destination.endsWith(".");
  const paths = into ? [] : [folder];
  for (const source of instruction.sources) {
    const name = basename(wordValue(source, before.variables, dockerfile) ?? "");
    // Of a folder the content is copied, whose names are not known here.
    if (into && /^[^*?[]+\.[^*?[]+$/.test(name)) paths.push(absolutePath(name, folder));
  }
  return paths.filter((path) => path !== "/").map((path) => ({ path, keyword: keyword.text, range }));
}

/** Files that curl, wget and git bring, and that a redirection writes. */
function downloads({ line, commands }: Run, { keyword, range }: RunInstruction): readonly Made[] {
  const paths: string[] = [];
  eachWithFolder(line.before.workdir, commands, ({ args, command }, folder) => {
    const add = (path: string | undefined): void => {
      const absolute = path === undefined || path === "" ? undefined : inFolder(path, folder);
      if (absolute !== undefined && !absolute.startsWith("/dev/")) paths.push(absolute);
    };
    for (const { operator, target } of command.redirections)
      if (target.literal && /^(?:1?>>?|1?>\||&>>?)$/.test(operator)) add(target.text);
    const [program, ...rest] = args;
    if (program === "curl" || program === "wget") add(downloadedFile(program, rest));
    if (program === "git" && rest[0] === "clone") {
      const [url, path] = rest.slice(1).filter((word) => !word.startsWith("-"));
      add(path ?? (url && basename(url).replace(/\.git$/, "")));
    }
  });
  return paths.map((path) => ({ path, keyword: keyword.text, range }));
}

function downloadedFile(program: "curl" | "wget", args: readonly string[]): string | undefined {
  const outputs = program === "curl" ? ["-o", "--output"] : ["-O", "--output-document"];
  for (const [index, word] of args.entries()) {
    if (outputs.includes(word)) return args[index + 1] === "-" ? undefined : args[index + 1];
    const long = outputs.find((option) => option.startsWith("--") && word.startsWith(`${option}=`));
    if (long !== undefined) return word.slice(long.length + 1);
    // Short options in one word: curl -fsSLo FILE, wget -qO FILE.
    const short = program === "curl" ? "o" : "O";
    if (/^-[A-Za-z]{2,}$/.test(word) && word.endsWith(short))
      return args[index + 1] === "-" ? undefined : args[index + 1];
  }
  const url = args.find((word) => /^(?:https?|ftp):\/\//.test(word));
  const keepsName = program === "wget" || args.some((word) => word === "--remote-name" || /^-[A-Za-z]*O/.test(word));
  return url === undefined || !keepsName ? undefined : basename(url.replace(/[?#].*$/, ""));
}

/** Calls back with the folder that each command runs in; undefined where it is not known. */
function eachWithFolder(
  start: string,
  commands: readonly Call[],
  visit: (call: Call, folder: string | undefined) => void,
): void {
  let folder: string | undefined = start;
  for (const call of commands) {
    const [program, target] = call.args;
    if (program === "cd" || program === "pushd")
      folder = target === undefined || target === "" || target === "-" ? undefined : inFolder(target, folder);
    else visit(call, folder);
  }
}

function inFolder(path: string, folder: string | undefined): string | undefined {
  if (path.startsWith("~") || (!path.startsWith("/") && folder === undefined)) return undefined;
  return absolutePath(path, folder);
}

/** `/a/*` means all of `/a`. */
const wholePath = (path: string): string => cleanPath(path.replace(/(?<=.)\/\*$/, ""));

function reportDeleted({ dockerfile }: CheckedFile, run: Run, made: MadePaths, report: Report): void {
  eachWithFolder(run.line.before.workdir, run.commands, ({ args, command }, folder) => {
    if (args[0] !== "rm") return;
    for (const { text, literal, range } of command.words.slice(1)) {
      const target = literal && !text.startsWith("-") ? inFolder(wholePath(text), folder) : undefined;
      if (target === undefined || /[*?[{]/.test(target) || isBelow(target, run.mounted)) continue;
      const earlier = made.get(target);
      if (earlier === undefined) continue;
      const number = positionOf(dockerfile, earlier.range.start).line;
      report(
        "DeletedInLaterLayer",
        range,
        `${earlier.path} is deleted here, and stays in the layer of ${earlier.keyword} in line ${number}`,
        /^run$/i.test(earlier.keyword)
          ? "delete it in the RUN that makes it"
          : "mount it for the RUN that needs it (RUN --mount=type=bind), or use another stage",
      );
    }
  });
}
