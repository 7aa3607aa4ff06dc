/** A container that exists and does not run, started under a monitor. */
import { rmSync } from "node:fs";
import { cannotStartPaused } from "../../runtime/container-errors.ts";
import type { LiveContainer } from "../../runtime/containers/container-folder.ts";
import { observe } from "../../runtime/containers/container-state.ts";
import type { CommandContext } from "../command.ts";
import { terminalSize } from "./attach-streams.ts";
import { explainStart } from "./explain-start.ts";
import { type AttachRequest, runUnderMonitor } from "./run-under-monitor.ts";

/** 0, or the exit code when attached. One that runs already is left as it is. */
export async function startAgain(
  container: LiveContainer,
  attach: AttachRequest | undefined,
  context: CommandContext,
): Promise<number> {
  const { folder, record } = container;
  const { status } = observe(folder);
  if (status === "paused") throw cannotStartPaused();
  if (status === "running" || status === "restarting") return 0;
  rmSync(folder.stoppedFile, { force: true });
  const size = attach !== undefined && record.process.tty ? terminalSize(context.stdout) : undefined;
  try {
    return await runUnderMonitor(container, { attach, size }, context);
  } catch (error) {
    throw explainStart(context.openStore(), container, error);
  }
}
