/** Those that take the rest of their line as one word: USER, WORKDIR, STOPSIGNAL, MAINTAINER. */
import { nearestWord } from "../../nearest-word.ts";
import { badSignal } from "../diagnostics.ts";
import { literalOf } from "../literal.ts";
import { type Built, type Line, reportMissing, type Span, textOf, wordOf } from "./line.ts";
import { warnOfText } from "./taken-as-text.ts";

export function buildUser(line: Line, text: Span | undefined): Built {
  if (text === undefined) return reportMissing(line);
  const user = wordOf(line, text);
  warnOfText(line, text, user);
  return { kind: "user", ...line.node, user };
}

export function buildWorkdir(line: Line, text: Span | undefined): Built {
  if (text === undefined) return reportMissing(line);
  const path = wordOf(line, text);
  warnOfText(line, text, path);
  return { kind: "workdir", ...line.node, path };
}

export const buildMaintainer = (line: Line, text: Span | undefined): Built =>
  text === undefined ? reportMissing(line) : { kind: "maintainer", ...line.node, name: textOf(line, text) };

export function buildStopsignal(line: Line, text: Span | undefined): Built {
  if (text === undefined) return reportMissing(line);
  const signal = wordOf(line, text);
  const value = literalOf(signal);
  if (value !== undefined && !isSignal(value)) {
    const names = [...signals].map((name) => `SIG${name}`);
    line.report(badSignal(value, signal.range, nearestWord(value, /^sig/i.test(value) ? names : signals)));
  }
  return { kind: "stopsignal", ...line.node, signal };
}

/** signal(7), the names that Linux has on every architecture. */
const signals: ReadonlySet<string> = new Set(
  (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP " +
    "TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX"
  ).split(" "),
);

/** A number that is not zero, or a name with or without SIG, in any case. */
export function isSignal(text: string): boolean {
  if (/^[+-]?\d+$/.test(text)) return Number(text) !== 0;
  const name = text.toUpperCase().replace(/^SIG/, "");
  const realtime = /^RT(MIN\+|MAX-)(\d+)$/.exec(name);
  if (realtime !== null) return Number(realtime[2]) >= 1 && Number(realtime[2]) <= (realtime[1] === "MIN+" ? 15 : 14);
  return signals.has(name);
}
