/** Flags that belong to tsbuild itself, not to one command. They may stand before or after the command word. */
import { flagNeedsValue, invalidFlagValue, noDaemon } from "./usage-errors.ts";

export interface GlobalOptions {
  readonly root?: string;
  readonly config?: string;
  readonly runtime?: string;
  readonly color?: "auto" | "always" | "never";
  readonly debug: boolean;
}

export interface GlobalFlag {
  readonly long: string;
  readonly short?: string;
  /** What the value is called; absent for a switch. */
  readonly value?: string;
  readonly description: string;
  readonly allowed?: readonly string[];
}

export const globalFlags: readonly GlobalFlag[] = [
  { long: "--root", value: "DIR", description: "folder of the store" },
  { long: "--config", value: "DIR", description: "folder of the client configuration (default ~/.docker)" },
  { long: "--runtime", value: "NAME", description: "what runs containers: native, crun, runc or a path" },
  {
    long: "--color",
    value: "WHEN",
    description: "auto, always or never",
    allowed: ["auto", "always", "never"],
  },
  { long: "--debug", short: "-D", description: "show stacks, and the programs of system calls" },
];

const refused = /^(?:-H|--host|--context|--tls(?:ca-?cert|cert|key|verify)?)(?:=|$)/;

export interface SplitGlobals {
  readonly options: GlobalOptions;
  /** What follows the leading global flags. */
  readonly rest: readonly string[];
}

/**
 * Takes the global flags that stand in front of the command word.
 * @throws {TsbuildError} `USAGE`
 */
export function takeLeadingGlobals(words: readonly string[]): SplitGlobals {
  const taken = new Map<string, string>();
  let index = 0;
  for (; index < words.length; index += 1) {
    const word = words[index] ?? "";
    if (refused.test(word)) throw noDaemon(word.split("=")[0] ?? word);
    const [name = "", ...inline] = word.split("=");
    const flag = globalFlags.find((candidate) => candidate.long === name || candidate.short === name);
    if (flag === undefined) break;
    if (flag.value === undefined) {
      taken.set(flag.long, inline.length === 0 ? "true" : inline.join("="));
    } else if (inline.length > 0) {
      taken.set(flag.long, inline.join("="));
    } else {
      index += 1;
      const value = words[index];
      if (value === undefined) throw flagNeedsValue(name);
      taken.set(flag.long, value);
    }
  }
  return { options: globalOptions(taken), rest: words.slice(index) };
}

/**
 * Global options from flags by their long name. Later maps win.
 * @throws {TsbuildError} `USAGE`
 */
export function globalOptions(taken: ReadonlyMap<string, string>, below?: GlobalOptions): GlobalOptions {
  const text = (long: string): string | undefined => {
    const value = taken.get(long);
    const allowed = globalFlags.find((flag) => flag.long === long)?.allowed;
    if (value !== undefined && allowed !== undefined && !allowed.includes(value)) {
      throw invalidFlagValue(long, value, `one of ${allowed.join(", ")}`);
    }
    return value;
  };
  const root = text("--root") ?? below?.root;
  const config = text("--config") ?? below?.config;
  const runtime = text("--runtime") ?? below?.runtime;
  // `text` has checked that it is one of the three.
  const color = (text("--color") as GlobalOptions["color"]) ?? below?.color;
  const debug = taken.get("--debug");
  return {
    ...(root !== undefined && { root }),
    ...(config !== undefined && { config }),
    ...(runtime !== undefined && { runtime }),
    ...(color !== undefined && { color }),
    debug: debug === undefined ? (below?.debug ?? false) : parseSwitch("--debug", debug),
  };
}

/**
 * The values a switch takes after `=`, as Go's flag packages read them.
 * @throws {TsbuildError} `USAGE`
 */
export function parseSwitch(flag: string, value: string): boolean {
  if (/^(?:1|t|T|true|TRUE|True)$/.test(value)) return true;
  if (/^(?:0|f|F|false|FALSE|False)$/.test(value)) return false;
  throw invalidFlagValue(flag, value, "true or false");
}
