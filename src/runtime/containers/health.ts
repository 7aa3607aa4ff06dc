/**
 * HEALTHCHECK: a command run in the container from time to time, and what came of it. The supervisor runs it and writes
 * `health.json`; everybody else reads that. Source: docker's reference of HEALTHCHECK; moby, daemon/health.go.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { Healthcheck } from "../../oci/image-config.ts";
import type { RuntimeSpec } from "../../oci/runtime-spec.ts";
import { isFull } from "../../store/errors.ts";
import type { Driver, RunningContainer } from "../driver.ts";
import { logTimestamp } from "../logs.ts";
import type { ContainerFolder } from "./container-folder.ts";
import type { ContainerState } from "./container-state.ts";

export interface HealthRecord {
  readonly Status: "starting" | "healthy" | "unhealthy";
  readonly FailingStreak: number;
  /** The newest five, oldest first. */
  readonly Log: readonly ProbeResult[];
}

export interface ProbeResult {
  readonly Start: string;
  readonly End: string;
  readonly ExitCode: number;
  readonly Output: string;
}

const nsPerMs = 1e6;
const defaults = {
  intervalMs: 30_000,
  timeoutMs: 30_000,
  startPeriodMs: 0,
  startIntervalMs: 5000,
  retries: 3,
} as const;
const keptResults = 5;
const keptOutputBytes = 4096;

/** The words to execute; undefined when there is nothing to check. */
export function probeCommand(healthcheck: Healthcheck | undefined): readonly string[] | undefined {
  const [kind, ...words] = healthcheck?.Test ?? [];
  switch (kind) {
    case "CMD":
      return words.length > 0 ? words : undefined;
    case "CMD-SHELL":
      return ["/bin/sh", "-c", words[0] ?? ""];
    default:
      return undefined;
  }
}

export interface HealthOptions {
  readonly healthcheck: Healthcheck;
  readonly spec: RuntimeSpec;
  readonly driver: Driver;
  readonly folder: ContainerFolder;
  readonly running: RunningContainer;
  readonly now: () => number;
  readonly isPaused: () => boolean;
}

/** Checks until it is disposed. */
export function watchHealth(options: HealthOptions): AsyncDisposable {
  const { healthcheck, folder, now } = options;
  const command = probeCommand(healthcheck);
  const ending = new AbortController();
  if (command === undefined) return { [Symbol.asyncDispose]: async () => undefined };
  const ms = (ns: number | undefined, otherwise: number): number =>
    ns === undefined || ns === 0 ? otherwise : ns / nsPerMs;
  const intervalMs = ms(healthcheck.Interval, defaults.intervalMs);
  const startPeriodMs = ms(healthcheck.StartPeriod, defaults.startPeriodMs);
  const startIntervalMs = ms(healthcheck.StartInterval, defaults.startIntervalMs);
  const timeoutMs = ms(healthcheck.Timeout, defaults.timeoutMs);
  const retries = healthcheck.Retries || defaults.retries;
  const started = now();
  let health: HealthRecord = { Status: "starting", FailingStreak: 0, Log: [] };
  writeHealth(folder, health);

  const checkOn = async (): Promise<void> => {
    for (;;) {
      const early = health.Status === "starting" && now() - started < startPeriodMs;
      await sleep(early ? startIntervalMs : intervalMs, ending.signal);
      if (ending.signal.aborted) return;
      if (options.isPaused()) continue;
      const result = await probe(options, command, timeoutMs, ending.signal);
      if (ending.signal.aborted) return;
      health = judged(health, result, { retries, excused: now() - started < startPeriodMs });
      writeHealth(folder, health);
    }
  };
  const done = checkOn();
  return {
    async [Symbol.asyncDispose]() {
      ending.abort();
      await done;
    },
  };
}

/** One failure is none yet; within the start period none counts, until it was healthy once. */
export function judged(
  before: HealthRecord,
  result: ProbeResult,
  { retries, excused }: { readonly retries: number; readonly excused: boolean },
): HealthRecord {
  const Log = [...before.Log, result].slice(-keptResults);
  if (result.ExitCode === 0) return { Status: "healthy", FailingStreak: 0, Log };
  if (excused && before.Status === "starting") return { ...before, Log };
  const FailingStreak = before.FailingStreak + 1;
  return { Status: FailingStreak >= retries ? "unhealthy" : before.Status, FailingStreak, Log };
}

async function probe(
  { driver, spec, running, folder, now }: HealthOptions,
  command: readonly string[],
  timeoutMs: number,
  ending: AbortSignal,
): Promise<ProbeResult> {
  const Start = logTimestamp(now());
  const tooLong = AbortSignal.timeout(Math.ceil(timeoutMs));
  const output: Buffer[] = [];
  let ExitCode = -1;
  try {
    const process = await driver.exec({
      pid: running.pid,
      startTime: running.startTime,
      process: { ...spec.process, terminal: false, args: command },
      linux: spec.linux,
      containerId: folder.id,
      stdio: { stdin: "null", stdout: "pipe", stderr: "pipe" },
      signal: AbortSignal.any([tooLong, ending]),
    });
    for (const stream of [process.stdout, process.stderr]) stream?.on("data", (data: Buffer) => output.push(data));
    ExitCode = (await process.exited).code;
  } catch (error) {
    output.push(Buffer.from(error instanceof Error ? error.message : String(error)));
  }
  if (tooLong.aborted) {
    ExitCode = -1;
    output.splice(0, output.length, Buffer.from(`Health check exceeded timeout (${timeoutMs / 1000}s)`));
  }
  const text = Buffer.concat(output).subarray(0, keptOutputBytes).toString("utf8");
  return { Start, End: logTimestamp(now()), ExitCode, Output: text };
}

function writeHealth(folder: ContainerFolder, health: HealthRecord): void {
  const staged = `${folder.healthFile}.${process.pid}`;
  try {
    writeFileSync(staged, JSON.stringify(health));
    renameSync(staged, folder.healthFile);
  } catch (error) {
    rmSync(staged, { force: true });
    // The checks go on; what they say is written when there is room.
    if (!isFull(error)) throw error;
  }
}

/** What is known of a container that runs. */
export function readHealth(folder: ContainerFolder, state: ContainerState): HealthRecord | undefined {
  if (state.status !== "running" && state.status !== "paused") return undefined;
  try {
    return JSON.parse(readFileSync(folder.healthFile, "utf8")) as HealthRecord;
  } catch {
    return undefined;
  }
}

/** Ends early when it is aborted, without an error. */
function sleep(forMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, forMs);
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}
