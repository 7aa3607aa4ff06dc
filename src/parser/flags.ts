/**
 * Reads the flag words of an instruction against its row in the table.
 * Source: BuildKit, frontend/dockerfile/instructions/bflag.go.
 */
import { nearestWord } from "../nearest-word.ts";
import type { Range } from "./ast.ts";
import { badFlagValue, flagNeedsValue, noFlags, type Report, repeatedFlag, unknownFlag } from "./diagnostics.ts";
import { type FlagKind, type InstructionRow, instructionsWithFlag } from "./instruction-table.ts";
import { type MappedText, sliceMapped } from "./mapped-text.ts";

export interface FlagUse {
  /** With its dashes: `--chown`. */
  readonly name: string;
  /** Quotes removed; absent without `=`. */
  readonly value?: MappedText;
  /** Of the whole flag word. */
  readonly range: Range;
}

export interface FlagWords {
  readonly words: readonly { readonly word: MappedText; readonly range: Range }[];
  readonly next: string | undefined;
}

export type Flags = ReadonlyMap<string, readonly FlagUse[]>;

/** `words`: unquoted flag words, each with its range; `next`: the word behind them. */
export function readFlags(keyword: string, row: InstructionRow, { words, next }: FlagWords, report: Report): Flags {
  const flags = new Map<string, FlagUse[]>();
  if (row.flags === "ignored") return flags;
  for (const [index, { word, range }] of words.entries()) {
    const use = splitFlag(word, range);
    const kind = row.flags?.[use.name];
    const earlier = flags.get(use.name);
    if (row.flags === undefined) report(noFlags(keyword, use.name, range, row.form === "command"));
    else if (kind === undefined) {
      const flags = Object.keys(row.flags);
      const about = { keyword, flag: use.name, flags, others: instructionsWithFlag(use.name) };
      report(unknownFlag(about, range, nearestWord(use.name, flags)));
    } else if (earlier !== undefined && kind !== "list") report(repeatedFlag(use.name, range));
    else if (isUsable(use, kind, { next: index === words.length - 1 ? next : undefined, report })) {
      if (earlier === undefined) flags.set(use.name, [use]);
      else earlier.push(use);
    }
  }
  return flags;
}

function splitFlag(word: MappedText, range: Range): FlagUse {
  const equals = word.text.indexOf("=");
  if (equals === -1) return { name: word.text, range };
  const value = sliceMapped(word, equals + 1, word.text.length);
  return { name: word.text.slice(0, equals), value, range };
}

/** False when its value does not fit, which is reported. */
function isUsable(
  use: FlagUse,
  kind: FlagKind,
  { next, report }: { readonly next: string | undefined; readonly report: Report },
): boolean {
  const text = use.value?.text;
  if (kind === "boolean") {
    if (text === undefined || ["true", "false"].includes(text.toLowerCase())) return true;
    const meant = /^(yes|y|on|1)$/i.test(text)
      ? use.name
      : /^(no|n|off|0)$/i.test(text)
        ? `${use.name}=false`
        : undefined;
    report(badFlagValue(use.name, text, "true or false", use.range, meant));
    return false;
  }
  if (text !== undefined && (text !== "" || (kind !== "choice" && use.name !== "--mount"))) return true;
  report(flagNeedsValue(use.name, use.range, text === undefined ? next : undefined));
  return false;
}

/** The value of a text flag; undefined when it is not given, or empty. */
export function flagText(flags: Flags, name: string): MappedText | undefined {
  const value = flags.get(name)?.[0]?.value;
  return value === undefined || value.text === "" ? undefined : value;
}

/** The value of a boolean flag; undefined when it is not given. */
export function flagBoolean(flags: Flags, name: string): boolean | undefined {
  const use = flags.get(name)?.[0];
  return use === undefined ? undefined : use.value === undefined || use.value.text.toLowerCase() === "true";
}
