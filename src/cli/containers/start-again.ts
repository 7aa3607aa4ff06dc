/** A container that exists and does not run, started under a monitor. */
import { rmSync } from "node:fs";
import { cannotStartPaused } from "../../runtime/container-errors.ts";
import { isClaimed, released } from "../../runtime/containers/claim.ts";
import type { LiveContainer } from "../../runtime/containers/container-folder.ts";
import { observe } from "../../runtime/containers/container-state.ts";
import { isUp } from "../../runtime/containers/stop-container.ts";
import type { CommandContext } from "../command.ts";
import { terminalSize } from "./attach-streams.ts";
import { explainStart } from "./explain-start.ts";
import { type AttachRequest, runUnderMonitor } from "./run-under-monitor.ts";

const letGoMs = 5000;

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
  // Its last supervisor may still be telling its clients how it ended; another `start` may be faster than we are.
  const free = await released(folder, letGoMs);
  if (!free || isUp(observe(folder))) return 0;
  rmSync(folder.stoppedFile, { force: true });
  const size = attach !== undefined && record.process.tty ? terminalSize(context.stdout) : undefined;
  try {
    return await runUnderMonitor(container, { attach, size }, context);
  } catch (error) {
    // Two starts at once: one has done it.
    if (attach === undefined && isUp(observe(folder)) && isClaimed(folder)) return 0;
    throw explainStart(context.openStore(), container, error);
  }
}
