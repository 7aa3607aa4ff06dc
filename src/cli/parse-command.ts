/** One command's words, read by its own definition. The only file that knows how commander reports things. */
import { Command, CommanderError, Option } from "commander";
import { TsbuildError } from "../errors.ts";
import type { CommandModule } from "./command.ts";
import type { CommandEntry } from "./command-table.ts";
import { normaliseFlagWords } from "./flag-words.ts";
import { type GlobalOptions, globalFlags, globalOptions } from "./global-flags.ts";
import { wrongNumberOfWords } from "./usage-errors.ts";

export type ParsedCommand =
  | { readonly kind: "help"; readonly text: string }
  | {
      readonly kind: "run";
      readonly command: Command;
      readonly module: CommandModule;
      readonly globals: GlobalOptions;
    };

export interface CommandWords {
  /** As typed: `image ls`. */
  readonly name: string;
  readonly entry: CommandEntry;
  readonly words: readonly string[];
  readonly globals: GlobalOptions;
}

/** @throws {TsbuildError} `USAGE` */
export async function parseCommand({ name, entry, words, globals }: CommandWords): Promise<ParsedCommand> {
  const module = await entry.load();
  const command = new Command(`tsbuild ${name}`)
    .exitOverride()
    .configureOutput({ writeOut: ignore, writeErr: ignore, outputError: ignore })
    .helpOption(false);
  module.define(command);
  const helpFlag = addHelpFlag(command);
  const added = addGlobalFlags(command);
  // Commander's own word for it is in small letters.
  command.usage(command.usage().replace("[options]", "[OPTIONS]"));
  const flagWords = normaliseFlagWords(words, command, {
    flagsEndAtFirstWord: entry.flagsEndAtFirstWord === true,
  });
  const end = flagWords.words.indexOf("--");
  const flags = end < 0 ? flagWords.words : flagWords.words.slice(0, end);
  if (flags.includes("--help") || flags.includes(helpFlag)) return { kind: "help", text: helpText(command, entry) };
  checkWordCount(command, flagWords.positionals);
  try {
    command.parse([...flagWords.words], { from: "user" });
  } catch (error) {
    throw error instanceof CommanderError ? usageError(error) : error;
  }
  for (const [attribute, value] of flagWords.switchedOff) command.setOptionValueWithSource(attribute, value, "cli");
  const taken = new Map<string, string>();
  for (const [long, option] of added) {
    const value: unknown = command.getOptionValue(option.attributeName());
    if (value !== undefined) taken.set(long, String(value));
  }
  return { kind: "run", command, module, globals: globalOptions(taken, globals) };
}

function ignore(): void {
  // commander's own words are never shown: errors come as exceptions, help as text
}

/** `-h` too, unless the command has its own (`run -h HOSTNAME`). Returns the short form or the long one. */
function addHelpFlag(command: Command): string {
  const isTaken = command.options.some((option) => option.short === "-h");
  command.addOption(new Option(isTaken ? "--help" : "-h, --help", "show this"));
  return isTaken ? "--help" : "-h";
}

/** A command's own flag of the same name wins (`run --runtime`). */
function addGlobalFlags(command: Command): ReadonlyMap<string, Option> {
  const added = new Map<string, Option>();
  for (const flag of globalFlags) {
    if (command.options.some((option) => option.long === flag.long)) continue;
    const short = command.options.some((option) => option.short === flag.short) ? undefined : flag.short;
    const names = short === undefined ? flag.long : `${short}, ${flag.long}`;
    const option = new Option(flag.value === undefined ? names : `${names} <${flag.value}>`, flag.description);
    command.addOption(option.hideHelp());
    added.set(flag.long, option);
  }
  return added;
}

function checkWordCount(command: Command, count: number): void {
  const expected = command.registeredArguments;
  const least = expected.filter((argument) => argument.required).length;
  const most = expected.some((argument) => argument.variadic) ? Number.POSITIVE_INFINITY : expected.length;
  if (count >= least && count <= most) return;
  throw wrongNumberOfWords(command.name(), requirement(least, most), usageLine(command));
}

function requirement(least: number, most: number): string {
  const words = (count: number): string => (count === 1 ? "1 argument" : `${count} arguments`);
  if (most === 0) return "accepts no arguments";
  if (least === most) return `requires ${words(least)}`;
  if (most === Number.POSITIVE_INFINITY) return `requires at least ${words(least)}`;
  if (least === 0) return `accepts at most ${words(most)}`;
  return `requires at least ${least} and at most ${words(most)}`;
}

function usageLine(command: Command): string {
  return `Usage:  ${command.name()} ${command.usage()}`;
}

/** Values that an option's own parser refused; all other mistakes were found before commander looked. */
function usageError(error: CommanderError): TsbuildError {
  return new TsbuildError({ code: "USAGE", what: error.message.replace(/^error: /, ""), cause: error });
}

function helpText(command: Command, entry: CommandEntry): string {
  let text = "";
  const write = (part: string): void => {
    text += part;
  };
  command.configureOutput({ writeOut: write, getOutHelpWidth: () => 110, getOutHasColors: () => false });
  command.configureHelp({ styleTitle: (title) => title.replace(/^Usage:$/, "Usage: ") });
  if (command.description() === "") command.description(entry.summary);
  command.addHelpText("after", "\nGlobal options: tsbuild --help");
  command.outputHelp();
  return text;
}
