/** The flags of `stop` and `restart`. */
import { type Command, Option } from "commander";
import { signalNumber } from "../../runtime/containers/signal-name.ts";
import { integer } from "./flag-values.ts";

export interface StopFlags {
  readonly signal?: string;
  readonly timeout?: string;
  readonly time?: string;
}

export function defineStopFlags(command: Command): void {
  command
    .usage("[OPTIONS] CONTAINER [CONTAINER...]")
    .argument("<container...>", "by name, ID or the beginning of one")
    .option("-s, --signal <signal>", "what to send first (default: the container's own, else SIGTERM)")
    .option("-t, --timeout <seconds>", "how long to wait before SIGKILL; -1: for ever (default: its own, else 10)")
    .addOption(new Option("--time <seconds>").hideHelp());
}

export function readStopFlags(flags: StopFlags): {
  readonly stopSignal: string | undefined;
  readonly timeout: number | undefined;
} {
  if (flags.signal !== undefined) signalNumber(flags.signal);
  const timeout = flags.timeout ?? flags.time;
  return { stopSignal: flags.signal, timeout: timeout === undefined ? undefined : integer("--timeout", timeout) };
}
