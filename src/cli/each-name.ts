/** Commands that take several names go on after a failing one and say so at the end. */
import { TsbuildError } from "../errors.ts";
import type { CommandContext } from "./command.ts";
import { exitCodeOf } from "./exit-code.ts";
import { renderError } from "./render/error.ts";

/** 0, or the exit code of the first failure. Defects are thrown on. */
export async function eachName(
  names: readonly string[],
  context: CommandContext,
  action: (name: string) => void | Promise<void>,
): Promise<number> {
  let code = 0;
  for (const name of names) {
    try {
      await action(name);
    } catch (error) {
      if (!(error instanceof TsbuildError) || context.signal.aborted) throw error;
      context.stderr.write(renderError(error, { debug: context.debug, stream: context.stderr }));
      if (code === 0) code = exitCodeOf(error, {});
    }
  }
  return code;
}
