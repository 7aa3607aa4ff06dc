/** A yes before something is removed. */
import { createInterface } from "node:readline/promises";
import { TsbuildError } from "../errors.ts";
import type { CommandContext } from "./command.ts";

/**
 * Shows the warning and asks, on stderr. Anything but yes is no.
 * @throws {TsbuildError} `USAGE` where nobody can answer
 */
export async function confirm(warning: string, context: CommandContext): Promise<boolean> {
  if (!context.stdin.isTTY) {
    throw new TsbuildError({
      code: "USAGE",
      what: "nobody to ask: standard input is no terminal",
      hint: "say yes with -f",
    });
  }
  const terminal = createInterface({ input: context.stdin, output: context.stderr });
  try {
    const question = `${warning}\nAre you sure you want to continue? [y/N] `;
    const answer = await terminal.question(question, { signal: context.signal });
    return /^y(?:es)?$/i.test(answer.trim());
  } finally {
    terminal.close();
  }
}
