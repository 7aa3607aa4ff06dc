/**
 * Signals to a container, and waiting for what they do. Any process may call these: they act on the container's pid 1
 * by its identity, and see its end in `state.json`, or in /proc when its supervisor is gone.
 */
import { rmSync, writeFileSync } from "node:fs";
import { errnoOf } from "../../errors.ts";
import {
  containerIsPaused,
  containerNotPaused,
  containerNotRunning,
  couldNotKill,
  notRunningToKill,
} from "../container-errors.ts";
import { watchFolder } from "../logs.ts";
import type { Container } from "./container-folder.ts";
import { type ContainerState, observe } from "./container-state.ts";
import { freeze, thaw } from "./freezer.ts";
import { signalProcess } from "./process-identity.ts";
import { signalNumber } from "./signal-name.ts";

const SIGKILL = 9;
const defaultStopSeconds = 10;
/** How long a killed process may take to be gone. */
const killMs = 10_000;

export interface StopOptions {
  /** As written; undefined: the container's own, else SIGTERM. */
  readonly stopSignal: string | undefined;
  /** Seconds until SIGKILL; −1 waits for ever; undefined: the container's own, else 10. */
  readonly timeout: number | undefined;
  readonly signal: AbortSignal;
}

/** Ends it, gently first; one that does not run is left as it is. Its restart policy ends too. */
export async function stopContainer(container: Container, options: StopOptions): Promise<void> {
  const { folder, record } = container;
  markStopped(container);
  const state = observe(folder);
  if (!isUp(state)) return;
  if (state.status === "restarting")
    return await gone(container, Number.POSITIVE_INFINITY, options.signal).then(ignore);
  const first = signalNumber(options.stopSignal ?? record?.process.stopSignal ?? "SIGTERM");
  const seconds = options.timeout ?? record?.process.stopTimeout ?? defaultStopSeconds;
  send(state, first);
  // Queued while it is frozen, delivered when it thaws.
  if (state.status === "paused") unpauseContainer(container);
  if (await gone(container, seconds < 0 ? Number.POSITIVE_INFINITY : seconds * 1000, options.signal)) return;
  await killNow(container, options.signal);
}

/** @throws {TsbuildError} `CONTAINER_STATE` when it does not run. */
export async function killContainer(container: Container, signalText: string, signal: AbortSignal): Promise<void> {
  const number = signalNumber(signalText);
  const { folder, record } = container;
  const state = observe(folder);
  if (state.status === "restarting") {
    markStopped(container);
    return;
  }
  if (!isUp(state)) throw notRunningToKill(folder.id);
  const ends = number === SIGKILL || number === signalNumber(record?.process.stopSignal ?? "SIGTERM");
  if (ends) markStopped(container);
  if (number === SIGKILL) return await killNow(container, signal);
  if (!send(state, number)) throw notRunningToKill(folder.id);
  if (ends && state.status === "paused") unpauseContainer(container);
}

/** SIGKILL, and does not return before it is gone. */
async function killNow(container: Container, signal: AbortSignal): Promise<void> {
  const state = observe(container.folder);
  if (!isUp(state)) return;
  send(state, SIGKILL);
  if (state.status === "paused") unpauseContainer(container);
  if (!(await gone(container, killMs, signal))) throw couldNotKill(container.folder.id);
}

export function isUp(state: ContainerState): boolean {
  return state.status === "running" || state.status === "paused" || state.status === "restarting";
}

function send(state: ContainerState, number: number): boolean {
  return state.process !== undefined && signalProcess(state.process, number);
}

/** Ends the restart policy, until the next start. */
function markStopped({ folder }: Container): void {
  try {
    writeFileSync(folder.stoppedFile, "");
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

async function gone(container: Container, withinMs: number, signal: AbortSignal): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  return await waitUntil(container, (state) => !isUp(state), { deadline, signal });
}

/** Freezes all its processes. @throws {TsbuildError} `CONTAINER_STATE` */
export async function pauseContainer(container: Container): Promise<void> {
  const { folder } = container;
  const state = observe(folder);
  if (state.status === "paused") throw containerIsPaused(folder.id);
  if (state.status !== "running") throw containerNotRunning(folder.id);
  await freeze(container);
  writeFileSync(folder.pausedFile, "");
}

/** @throws {TsbuildError} `CONTAINER_STATE` */
export function unpauseContainer(container: Container): void {
  const { folder } = container;
  const state = observe(folder);
  if (state.status !== "paused") throw containerNotPaused(folder.id);
  thaw(container);
  rmSync(folder.pausedFile, { force: true });
}

/** Resolves with the exit code of a container that has ended or ends. */
export async function waitForExit(container: Container, signal: AbortSignal): Promise<number> {
  let last = observe(container.folder);
  await waitUntil(
    container,
    (state) => {
      // A record that vanished was removed after its end (`--rm`): what was seen last counts.
      if (state.status !== "dead") last = state;
      return !isUp(state);
    },
    { deadline: Number.POSITIVE_INFINITY, signal },
  );
  return last.exitCode;
}

/** True as soon as the state fits, false at the deadline (in `performance.now()`). */
export async function waitUntil(
  { folder }: Container,
  fits: (state: ContainerState) => boolean,
  { deadline, signal }: { readonly deadline: number; readonly signal: AbortSignal },
): Promise<boolean> {
  if (fits(observe(folder))) return true;
  let changes: ReturnType<typeof watchFolder>;
  try {
    changes = watchFolder(folder.path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return fits(observe(folder));
    throw error;
  }
  using watched = changes;
  for (;;) {
    if (fits(observe(folder))) return true;
    const left = deadline - performance.now();
    if (left <= 0) return false;
    await watched
      .next(Number.isFinite(left) ? AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(left))]) : signal)
      .catch(() => {
        // The deadline is looked at above; an abort of the caller's is passed on.
        signal.throwIfAborted();
      });
  }
}

function ignore(): void {
  // the result was asked for its end only
}
