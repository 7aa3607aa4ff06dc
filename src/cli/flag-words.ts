/**
 * Brings the words after a command into the one spelling commander reads, by the options that command has: `-f=v`,
 * `--x=false`, a bare `--pull`, and the single-dash names of Docker's early days. Finds unknown flags on the way, with
 * the one that was meant.
 */
import type { Command, Option } from "commander";
import { nearestWord } from "../nearest-word.ts";
import { parseSwitch } from "./global-flags.ts";
import { flagNeedsValue, unknownFlag } from "./usage-errors.ts";

/** What those names are called today. */
const renamed: Readonly<Record<string, string>> = {
  notrunc: "no-trunc",
  nostdin: "no-stdin",
  sinceId: "since",
  beforeId: "before",
  "since-id": "since",
  "before-id": "before",
};

/** Long flags that could once be written with one dash. Exact words only; any other `-abc` is letters. */
const oldSingleDash: ReadonlyMap<string, string> = new Map(
  [
    "no-cache rm author run notrunc viz tree stars trusted since before link privileged cidfile entrypoint name",
    "sig-proxy expose dns volumes-from lxc-conf nostdin format force sinceId beforeId since-id before-id username",
    "password email",
  ]
    .join(" ")
    .split(" ")
    .map((name) => [`-${name}`, `--${renamed[name] ?? name}`] as const),
);

export interface FlagWords {
  /** For commander. */
  readonly words: readonly string[];
  /** Switches whose last word was `=false`, by attribute name. */
  readonly switchedOff: ReadonlyMap<string, boolean>;
  /** How many words are not flags or their values. */
  readonly positionals: number;
}

/** @throws {TsbuildError} `USAGE` */
export function normaliseFlagWords(
  typed: readonly string[],
  command: Command,
  settings: { readonly flagsEndAtFirstWord: boolean },
): FlagWords {
  const words: string[] = [];
  const switchedOff = new Map<string, boolean>();
  const options = command.options;
  let positionals = 0;
  for (let index = 0; index < typed.length; index += 1) {
    const word = typed[index] ?? "";
    if (word === "--") {
      words.push(...typed.slice(index));
      positionals += typed.length - index - 1;
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      if (settings.flagsEndAtFirstWord) {
        // `--` keeps commander from looking at what belongs to the container.
        words.push("--", ...typed.slice(index));
        positionals += typed.length - index;
        break;
      }
      words.push(word);
      positionals += 1;
      continue;
    }
    const equals = word.indexOf("=");
    const writtenName = equals < 0 ? word : word.slice(0, equals);
    const inline = equals < 0 ? undefined : word.slice(equals + 1);
    const name = oldLongName(writtenName, options) ?? writtenName;
    const option = options.find((candidate) => candidate.long === name || candidate.short === name);
    if (option !== undefined) {
      if (option.required) {
        const value = inline ?? typed[index + 1];
        if (value === undefined) throw flagNeedsValue(name);
        if (inline === undefined) index += 1;
        words.push(name.startsWith("--") ? `${name}=${value}` : name, ...(name.startsWith("--") ? [] : [value]));
      } else if (option.optional) {
        // As pflag has it: the value of such a flag comes after `=` or not at all, so that `--pull .` keeps its path.
        words.push(`${option.long ?? name}=${inline ?? presetOf(option)}`);
      } else {
        const on = inline === undefined || parseSwitch(name, inline);
        if (on) {
          words.push(name);
          switchedOff.delete(option.attributeName());
        } else {
          switchedOff.set(option.attributeName(), option.negate);
        }
      }
      continue;
    }
    if (word.startsWith("--")) throw unknownFlag(name, nearestFlag(name, options));
    index += pushLetters(word, typed[index + 1], options, words);
  }
  return { words, switchedOff, positionals };
}

/** `-tif=x`: switches, then perhaps one flag with a value. Returns how many of the following words it took. */
function pushLetters(word: string, next: string | undefined, options: readonly Option[], words: string[]): 0 | 1 {
  for (let at = 1; at < word.length; at += 1) {
    const letter = `-${word[at]}`;
    const option = options.find((candidate) => candidate.short === letter);
    if (option === undefined) throw unknownFlag(at === 1 ? word : letter, nearestFlag(word, options));
    if (option.isBoolean()) {
      words.push(letter);
      continue;
    }
    const rest = word.slice(at + 1).replace(/^=/, "");
    if (option.optional) {
      words.push(`${option.long ?? letter}=${rest === "" ? presetOf(option) : rest}`);
      return 0;
    }
    const value = rest === "" ? next : rest;
    if (value === undefined) throw flagNeedsValue(letter);
    words.push(letter, value);
    return rest === "" ? 1 : 0;
  }
  return 0;
}

function oldLongName(word: string, options: readonly Option[]): string | undefined {
  const long = oldSingleDash.get(word);
  return options.some((option) => option.long === long) ? long : undefined;
}

function presetOf(option: Option): string {
  return option.presetArg === undefined ? "" : String(option.presetArg);
}

function nearestFlag(word: string, options: readonly Option[]): string | undefined {
  const longs = options.filter((option) => !option.hidden).flatMap((option) => option.long ?? []);
  const near = nearestWord(
    word.replace(/^-+/, ""),
    longs.map((long) => long.slice(2)),
  );
  return near === undefined ? undefined : `--${near}`;
}
