/** A container in the foreground, without a terminal: this process supervises it. */

import { attachmentsLater } from "../../runtime/containers/attachments-later.ts";
import { claim } from "../../runtime/containers/claim.ts";
import { containerDriver } from "../../runtime/containers/container-driver.ts";
import type { LiveContainer } from "../../runtime/containers/container-folder.ts";
import { connectNetwork } from "../../runtime/containers/container-network.ts";
import { writeLaunch } from "../../runtime/containers/launch.ts";
import { prepareLaunch } from "../../runtime/containers/prepare-launch.ts";
import { removeContainer } from "../../runtime/containers/remove-container.ts";
import { signalNumber } from "../../runtime/containers/signal-name.ts";
import { containerHub, openContainerLog, supervise } from "../../runtime/containers/supervise.ts";
import type { RunningContainer } from "../../runtime/driver.ts";
import type { LogStream } from "../../runtime/logs.ts";
import type { CommandContext } from "../command.ts";
import { deviceSpecFolders } from "../environment.ts";

export interface RunHereOptions {
  readonly attachStdin: boolean;
  readonly attachStdout: boolean;
  readonly attachStderr: boolean;
  readonly debug: boolean;
}

/** Its exit code. With `--rm` it is removed. @throws {TsbuildError} when it could not be started. */
export async function runHere(
  container: LiveContainer,
  options: RunHereOptions,
  context: CommandContext,
): Promise<number> {
  const { folder } = container;
  const store = context.openStore();
  const { stdout, stderr } = context;
  const now = (): number => performance.timeOrigin + performance.now();
  const launch = await prepareLaunch(store, container, undefined, deviceSpecFolders(context.environment));
  const driver = await containerDriver(launch.runtime);
  let status: Awaited<ReturnType<typeof supervise>>;
  {
    using _claim = claim(folder);
    writeLaunch(folder, launch);
    using log = openContainerLog(folder, launch, {
      now,
      onLoss: (error) =>
        void stderr.write(`warning: the container's log has gaps: ${error instanceof Error ? error.message : error}\n`),
    });
    const hub = containerHub(launch, log);
    const shown: Readonly<Record<LogStream, NodeJS.WriteStream | undefined>> = {
      stdout: options.attachStdout ? stdout : undefined,
      stderr: options.attachStderr ? stderr : undefined,
    };
    const viewer = { holdsBack: true, output: (stream: LogStream, data: Buffer) => shown[stream]?.write(data) ?? true };
    hub.add(viewer);
    for (const stream of [stdout, stderr]) stream.on("drain", () => hub.drained(viewer));
    // Its reader went away: nobody takes what is still to come.
    context.signal.addEventListener("abort", () => hub.remove(viewer), { once: true });
    let running: RunningContainer | undefined;
    const early: NodeJS.Signals[] = [];
    using _signals = context.interceptSignals((signal) => {
      if (running === undefined) early.push(signal);
      else running.kill(signalNumber(signal));
    });
    // Only when it is wanted: making the stream takes two milliseconds.
    const stdin = options.attachStdin && launch.openStdin ? context.stdin : undefined;
    if (stdin !== undefined) {
      stdin.on("data", (data: Buffer) => {
        if (!hub.input(data)) stdin.pause();
      });
      stdin.on("end", () => hub.inputEnd()).on("error", () => hub.inputEnd());
      hub.onInputRoom(() => stdin.resume());
    }
    await using later = attachmentsLater(folder, hub);
    status = await supervise({
      folder,
      launch,
      driver,
      hub,
      now,
      connectNetwork: (each) => connectNetwork(folder, each),
      ...(options.debug && { trace: (text: string) => void stderr.write(text) }),
      // A reader of ours that went away (EPIPE) ends the container: nobody would see what it does.
      signal: context.signal,
      onStarted: (started) => {
        running = started;
        later.start();
        for (const signal of early) started.kill(signalNumber(signal));
      },
    });
    stdin?.pause();
    await later.exited(status.code);
  }
  if (launch.autoRemove) removeContainer(store, folder.id, { volumes: true });
  return status.code;
}
