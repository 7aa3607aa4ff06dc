/** Signals as people write them: `KILL`, `SIGKILL`, `kill`, `9`, `RTMIN+3`. */
import { constants } from "node:os";
import { invalidSignal } from "../container-errors.ts";

const numbers: Readonly<Record<string, number>> = constants.signals;
/** As glibc counts them: the kernel's first two are its own. */
const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** @throws {TsbuildError} `INVALID_ARGUMENT` */
export function signalNumber(text: string): number {
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    if (number >= 1 && number <= SIGRTMAX) return number;
    throw invalidSignal(text);
  }
  const name = text.toUpperCase().replace(/^SIG/, "");
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d+))?$/.exec(name);
  if (realTime !== null) {
    const offset = Number(realTime[3] ?? 0) * (realTime[2] === "-" ? -1 : 1);
    const number = (realTime[1] === "MIN" ? SIGRTMIN : SIGRTMAX) + offset;
    if (number >= SIGRTMIN && number <= SIGRTMAX) return number;
    throw invalidSignal(text);
  }
  const number = Object.hasOwn(numbers, `SIG${name}`) ? numbers[`SIG${name}`] : undefined;
  if (number === undefined) throw invalidSignal(text);
  return number;
}
