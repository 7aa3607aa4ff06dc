/** Attaching to a container that runs: what it writes from now on. */
import { cannotAttach } from "../../runtime/container-errors.ts";
import type { LiveContainer } from "../../runtime/containers/container-folder.ts";
import { observe } from "../../runtime/containers/container-state.ts";
import { attachTo } from "../../runtime/containers/monitor-client.ts";
import type { CommandContext } from "../command.ts";
import { rawMode, terminalSize } from "./attach-streams.ts";
import { type AttachRequest, attachClient, outputTo } from "./run-under-monitor.ts";

/** Its exit code, or 0 when the detach keys were typed. @throws {TsbuildError} `CONTAINER_STATE` */
export async function attachRunning(
  container: LiveContainer,
  attach: AttachRequest,
  context: CommandContext,
): Promise<number> {
  const { folder, record } = container;
  const state = observe(folder);
  if (state.status !== "running") throw cannotAttach(state.status);
  using _raw = rawMode({ stdin: attach.attachStdin, tty: record.process.tty }, context);
  using client = await attachTo(folder, {
    stdin: attach.attachStdin,
    size: record.process.tty ? terminalSize(context.stdout) : undefined,
    onOutput: outputTo(attach, context),
  });
  return await attachClient(container, client, attach, context);
}
