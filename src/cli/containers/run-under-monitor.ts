/** A container with a monitor of its own: started, and looked at for as long as the caller wants to. */

import type { TerminalSize } from "../../runtime/containers/connection.ts";
import type { LiveContainer } from "../../runtime/containers/container-folder.ts";
import { observe } from "../../runtime/containers/container-state.ts";
import { writeLaunch } from "../../runtime/containers/launch.ts";
import { type AttachedClient, startMonitor } from "../../runtime/containers/monitor-client.ts";
import { prepareLaunch } from "../../runtime/containers/prepare-launch.ts";
import { signalProcess } from "../../runtime/containers/process-identity.ts";
import { signalNumber } from "../../runtime/containers/signal-name.ts";
import type { LogStream } from "../../runtime/logs.ts";
import type { CommandContext } from "../command.ts";
import { deviceSpecFolders } from "../environment.ts";
import { attachStreams, rawMode } from "./attach-streams.ts";

export interface AttachRequest {
  readonly attachStdin: boolean;
  readonly attachStdout: boolean;
  readonly attachStderr: boolean;
  readonly detachKeys: string;
  readonly sigProxy: boolean;
}

export interface RunUnderMonitorOptions {
  /** Undefined: left alone as soon as it runs. */
  readonly attach: AttachRequest | undefined;
  readonly size: TerminalSize | undefined;
}

/** Its exit code; 0 when it was left running. @throws {TsbuildError} when it could not be started. */
export async function runUnderMonitor(
  container: LiveContainer,
  { attach, size }: RunUnderMonitorOptions,
  context: CommandContext,
): Promise<number> {
  const { folder } = container;
  const launch = await prepareLaunch(context.openStore(), container, size, deviceSpecFolders(context.environment));
  writeLaunch(folder, launch);
  using _raw = rawMode({ stdin: attach?.attachStdin === true, tty: launch.tty }, context);
  using client = startMonitor(folder, {
    stdin: attach?.attachStdin === true,
    size,
    onOutput: attach === undefined ? undefined : outputTo(attach, context),
  });
  await client.started;
  return attach === undefined ? 0 : await attachClient(container, client, attach, context);
}

export function outputTo(
  attach: Pick<AttachRequest, "attachStdout" | "attachStderr">,
  { stdout, stderr }: CommandContext,
): (stream: LogStream, data: Buffer) => void {
  return (stream, data) => {
    if (stream === "stdout" && attach.attachStdout) stdout.write(data);
    if (stream === "stderr" && attach.attachStderr) stderr.write(data);
  };
}

/** Until it ends (its code), or until the detach keys (0). */
export async function attachClient(
  container: LiveContainer,
  client: AttachedClient,
  attach: AttachRequest,
  context: CommandContext,
): Promise<number> {
  const { folder, record } = container;
  const onSignal = (signal: NodeJS.Signals): void => {
    const { process } = observe(folder);
    if (process !== undefined) signalProcess(process, signalNumber(signal));
  };
  const end = await attachStreams(
    { ...client, onSignal: attach.sigProxy ? onSignal : undefined },
    { stdin: attach.attachStdin, tty: record.process.tty, detachKeys: attach.detachKeys },
    context,
  );
  if (end.kind === "detached") return 0;
  // The connection broke: its monitor was killed, or it is gone with its container.
  return end.code ?? observe(folder).exitCode;
}
