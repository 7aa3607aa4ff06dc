/**
 * The life of a container from start to end, restarts included: claims it, runs it by a driver, keeps `state.json`
 * true, and its log. The caller is a monitor, or a `run` in the foreground; it is the only writer of state and log
 * while it lives, and leaves a record that `observe` understands if it is killed.
 */
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { TsbuildError } from "../../errors.ts";
import type { Driver, ExitStatus, NetworkMode, RunningContainer } from "../driver.ts";
import { type LogWriter, type LogWriterOptions, logTimestamp, openLogWriter } from "../logs.ts";
import type { ContainerFolder } from "./container-folder.ts";
import { cgroupsPath } from "./container-id.ts";
import type { RestartPolicy } from "./container-record.ts";
import { initialState, never, readStateRecord, type StateRecord, writeState } from "./container-state.ts";
import { removeFreezer } from "./freezer.ts";
import type { Launch } from "./launch.ts";
import { identityOf, ownIdentity } from "./process-identity.ts";
import { type StdioHub, stdioHub } from "./stdio-hub.ts";

/** The container's network while it runs; disposed when it has ended. */
export interface NetworkConnection extends Disposable {
  readonly mode: NetworkMode;
  readonly address: string | undefined;
}

export interface Supervision {
  readonly folder: ContainerFolder;
  readonly launch: Launch;
  readonly driver: Driver;
  readonly connectNetwork: (launch: Launch) => Promise<NetworkConnection>;
  readonly hub: StdioHub;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly trace?: ((text: string) => void) | undefined;
  readonly signal: AbortSignal;
  /** Once, when the command has been executed for the first time. */
  readonly onStarted: (running: RunningContainer) => void;
}

const firstDelayMs = 100;
const longestDelayMs = 60_000;
/** A container that ran this long starts again without the delay that had grown. */
const steadyMs = 10_000;

/**
 * @returns how the last life ended.
 * @throws {TsbuildError} what the driver throws when the first start fails; the state then says so.
 */
export async function supervise(supervision: Supervision): Promise<ExitStatus> {
  const { folder, launch, now } = supervision;
  let delayMs = firstDelayMs;
  for (let restarts = 0; ; restarts += 1) {
    const started = now();
    const status = await live(supervision, restarts);
    if (now() - started >= steadyMs) delayMs = firstDelayMs;
    if (!restartsAfter(launch.restart, status.code, restarts) || existsSync(folder.stoppedFile)) {
      finish(folder, status, "exited");
      return status;
    }
    finish(folder, status, "restarting");
    if (await stoppedWhileWaiting(folder, delayMs)) {
      finish(folder, status, "exited");
      return status;
    }
    delayMs = Math.min(delayMs * 2, longestDelayMs);
  }

  function finish(at: ContainerFolder, status: ExitStatus, as: "exited" | "restarting"): void {
    const state = readStateRecord(at) ?? initialState;
    writeState(at, {
      ...state,
      status: as,
      process: undefined,
      supervisor: as === "exited" ? undefined : state.supervisor,
      finishedAt: logTimestamp(now()),
      exitCode: status.code,
      oomKilled: status.oomKilled,
    });
  }
}

async function live(supervision: Supervision, restarts: number): Promise<ExitStatus> {
  const { folder, launch, driver, hub, now, signal, trace, onStarted } = supervision;
  rmSync(folder.exitFile, { force: true });
  rmSync(folder.pausedFile, { force: true });
  rmSync(folder.healthFile, { force: true });
  rmSync(folder.work, { recursive: true, force: true });
  rmSync(folder.scratch, { recursive: true, force: true });
  mkdirSync(folder.work, { mode: 0o700 });
  const supervisor = ownIdentity();
  try {
    using network = await supervision.connectNetwork(launch);
    const running = await driver.start({
      id: folder.id,
      spec: launch.spec,
      rootfs: {
        kind: "overlay",
        lowerdirs: launch.lowerdirs,
        upperdir: folder.upperdir,
        workdir: folder.work,
        volatile: false,
      },
      sharedDir: launch.sharedDir,
      scratchDir: () => {
        mkdirSync(folder.scratch, { recursive: true, mode: 0o700 });
        return folder.scratch;
      },
      network: network.mode,
      stdio: { stdin: launch.openStdin ? "pipe" : "null", stdout: "pipe", stderr: "pipe" },
      init: launch.init,
      stateDir: folder.path,
      signal,
      ...(trace !== undefined && { trace }),
    });
    const process = identityOf(running.pid) ?? { ...supervisor, pid: running.pid, startTime: running.startTime };
    writeState(folder, {
      ...initialState,
      status: "running",
      process: { ...process, startTime: running.startTime },
      supervisor,
      startedAt: logTimestamp(now()),
      finishedAt: readStateRecord(folder)?.finishedAt ?? never,
      restartCount: restarts,
      address: network.address ?? "",
    });
    const { outputEnded } = hub.bind(running);
    if (restarts === 0) onStarted(running);
    await using _health = await healthOf(supervision, running);
    await outputEnded(running.exited);
    const status = await running.exited;
    hub.unbind();
    removeFreezer(launch.spec.linux.cgroupsPath ?? cgroupsPath(folder.id));
    return status;
  } catch (error) {
    writeState(folder, { ...failedState(folder, error), finishedAt: logTimestamp(now()) });
    throw error;
  }
}

async function healthOf(
  { launch, folder, driver, now }: Supervision,
  running: RunningContainer,
): Promise<AsyncDisposable> {
  const { healthcheck, spec } = launch;
  if (healthcheck === undefined) return { [Symbol.asyncDispose]: async () => undefined };
  const { watchHealth } = await import("./health.ts");
  return watchHealth({
    healthcheck,
    spec,
    driver,
    folder,
    running,
    now,
    isPaused: () => existsSync(folder.pausedFile),
  });
}

/** docker keeps a container whose command could not be executed as `created`, with the code and the reason. */
function failedState(folder: ContainerFolder, error: unknown): StateRecord {
  const before = readStateRecord(folder) ?? initialState;
  return {
    ...before,
    status: before.startedAt === never ? "created" : "exited",
    process: undefined,
    supervisor: undefined,
    exitCode: startFailureCode(error),
    error: error instanceof Error ? error.message : String(error),
  };
}

/** What a shell sees of a container that could not be started: docker's 125, 126 and 127. */
export function startFailureCode(error: unknown): 125 | 126 | 127 {
  if (!(error instanceof TsbuildError)) return 125;
  return error.code === "COMMAND_NOT_FOUND" ? 127 : error.code === "COMMAND_NOT_EXECUTABLE" ? 126 : 125;
}

function restartsAfter(policy: RestartPolicy, code: number, restarts: number): boolean {
  switch (policy.kind) {
    case "no":
      return false;
    case "always":
    case "unless-stopped":
      return true;
    case "on-failure":
      return code !== 0 && (policy.maximumRetryCount === 0 || restarts < policy.maximumRetryCount);
  }
}

async function stoppedWhileWaiting(folder: ContainerFolder, delayMs: number): Promise<boolean> {
  const end = performance.now() + delayMs;
  for (;;) {
    if (existsSync(folder.stoppedFile)) return true;
    const left = end - performance.now();
    if (left <= 0) return false;
    await sleep(Math.min(left, 100));
  }
}

export function openContainerLog(
  folder: ContainerFolder,
  launch: Launch,
  { now, onLoss }: Pick<LogWriterOptions, "now" | "onLoss">,
): LogWriter | undefined {
  if (launch.log.driver === "none") return undefined;
  const { maxSizeBytes, maxFiles } = launch.log;
  return openLogWriter(folder.logFile, { maxSizeBytes, maxFiles, now, onLoss });
}

export function containerHub(launch: Launch, log: LogWriter | undefined): StdioHub {
  return stdioHub({ log, tty: launch.tty, stdinOnce: launch.stdinOnce });
}
