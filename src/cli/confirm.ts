/** A yes before something is removed. */
import { createInterface } from "node:readline";
import { TsbuildError } from "../errors.ts";
import type { CommandContext } from "./command.ts";

/**
 * Shows the warning and asks, on stderr; the answer may come through a pipe. Anything but yes is no, so is Ctrl-C.
 * @throws {TsbuildError} `USAGE` where nobody can answer
 */
export async function confirm(warning: string, context: CommandContext): Promise<boolean> {
  const { stdin, stderr, signal } = context;
  const isTerminal = stdin.isTTY === true;
  const lines = createInterface({ input: stdin, terminal: false });
  try {
    if (isTerminal) stderr.write(`${warning}\nAre you sure you want to continue? [y/N] `);
    const answer = await new Promise<string | undefined>((resolve, reject) => {
      lines.once("line", resolve).once("close", () => resolve(undefined));
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    if (answer === undefined && !isTerminal) throw nobodyToAsk();
    return /^y(?:es)?$/i.test(answer?.trim() ?? "");
  } finally {
    lines.close();
  }
}

function nobodyToAsk(): TsbuildError {
  return new TsbuildError({
    code: "USAGE",
    what: "nobody to ask: standard input is no terminal, and has no answer",
    hint: "say yes with -f",
  });
}
