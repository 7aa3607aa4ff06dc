/**
 * One launcher process: spawns it, hands it the program, and turns its records into a running container or an error.
 * Both `start` and `exec` go this way.
 */
import { closeSync } from "node:fs";
import type { TsbuildError } from "../../../errors.ts";
import { startTimeOf } from "../../../kernel/processes.ts";
import { posixSpawn, reap, socketPair } from "../../../kernel/spawn.ts";
import type { ContainerPty, ExitStatus, RunningContainer } from "../../driver.ts";
import { type EncodedProgram, encodeProgram, type Op, printProgram } from "../../launcher-program.ts";
import type { SyscallArch } from "../../syscall-table.ts";
import { runtimeFailed } from "../errors.ts";
import { type ControlChannel, controlChannel, type LauncherRecord, listen, send } from "./control-channel.ts";
import { launcherExecutable } from "./launcher-file.ts";
import { openPty } from "./pty.ts";
import type { Stdio } from "./stdio.ts";

export interface Launch {
  /** Called once; what it throws is cleaned up after like a container that did not start. */
  readonly compile: () => readonly Op[];
  readonly arch: SyscallArch;
  readonly stdio: Stdio;
  /** Further descriptors of ours that the launcher gets, as 4, 5, … */
  readonly passed: readonly number[];
  readonly signal: AbortSignal;
  readonly trace: ((text: string) => void) | undefined;
  /** The container outlives us once it runs. */
  readonly detach: boolean;
  readonly terminal: boolean;
  readonly moments: Moments;
  /** Turns a failed operation into the error that is thrown. */
  readonly explain: (failure: Failure) => TsbuildError;
  /** After the container's end, before anyone hears of it: control groups, mount points that were made. */
  readonly afterExit: (created: readonly CreatedMountPoint[]) => { readonly oomKilled: boolean };
}

/** What happens beside a container at points of its life. `pid` is its first process. */
export interface Moments {
  /** Its namespaces and mounts are there, its root has not changed: the child waits. */
  readonly created?: ((pid: number) => Promise<void>) | undefined;
  /** All is done but the command: the child waits once more. */
  readonly beforeCommand?: ((pid: number) => Promise<void>) | undefined;
  /** The command runs. Never rejects. */
  readonly started?: ((pid: number) => Promise<void>) | undefined;
  /** After the end, or when it did not start after `created`. Never rejects. */
  readonly ended?: ((pid: number) => Promise<void>) | undefined;
}

export interface Failure {
  /** Undefined when the launcher refused the program as a whole. */
  readonly op: Op | undefined;
  readonly errno: number;
  /** How the command's file begins, where there is one. */
  readonly head: Buffer | undefined;
}

/** In the order they were made. */
export interface CreatedMountPoint {
  readonly index: number;
  /** The folder it was made in, by the path it had for the launcher. */
  readonly folder: Buffer;
}

export async function launch(request: Launch): Promise<RunningContainer> {
  const { arch, stdio, signal } = request;
  let launcher: Launcher;
  try {
    signal.throwIfAborted();
    const program = request.compile();
    request.trace?.(printProgram(program));
    launcher = startLauncher(encodeProgram(program, arch), [...stdio.forSpawn, ...request.passed]);
  } catch (error) {
    stdio.destroy();
    request.afterExit([]);
    throw error;
  }
  stdio.closeTheirs();
  return await supervise(launcher, request);
}

interface Launcher {
  readonly pid: number;
  readonly channel: ControlChannel;
  readonly ops: EncodedProgram["ops"];
}

/** `descriptors` are 0, 1, 2 and those from 4 on; 3 is the control channel. */
function startLauncher(program: EncodedProgram, descriptors: readonly number[]): Launcher {
  const [ours, theirs] = socketPair();
  try {
    const pid = posixSpawn({
      file: launcherExecutable(),
      argv: ["tsbuild-launcher"],
      descriptors: [...descriptors.slice(0, 3), theirs, ...descriptors.slice(3)],
    });
    const channel = controlChannel(ours);
    channel.socket.write(program.blob);
    return { pid, channel, ops: program.ops };
  } catch (error) {
    closeSync(ours);
    throw error;
  } finally {
    closeSync(theirs);
  }
}

function supervise({ pid: launcherPid, channel, ops }: Launcher, request: Launch): Promise<RunningContainer> {
  return new Promise((resolve, reject) => {
    const exited = Promise.withResolvers<ExitStatus>();
    const created: CreatedMountPoint[] = [];
    let pid: number | undefined;
    let pty: ContainerPty | undefined;
    let head: Buffer | undefined;
    let usage: ExitStatus["usage"] = { maxRssBytes: 0, userMs: 0, systemMs: 0 };
    let state: "starting" | "running" | "ended" = "starting";
    let waits = 0;
    /** Whoever was told of the beginning is told of the end. */
    const ended = async (): Promise<void> => {
      if (pid !== undefined && waits > 0) await request.moments.ended?.(pid);
    };

    const onAbort = (): void => send(channel, "signal", SIGKILL);
    const end = (status: number | undefined): void => {
      if (state === "ended") return;
      const wasRunning = state === "running";
      state = "ended";
      request.signal.removeEventListener("abort", onAbort);
      if (!wasRunning) {
        fail(runtimeFailed("the launcher ended without saying why"));
        return;
      }
      const { oomKilled } = request.afterExit(created);
      const result = { ...exitOf(status), oomKilled, usage };
      if (request.moments.ended === undefined) exited.resolve(result);
      else void ended().then(() => exited.resolve(result));
    };
    const fail = (error: unknown): void => {
      state = "ended";
      request.signal.removeEventListener("abort", onAbort);
      // The end of the channel ends the child, if there is one.
      channel.socket.destroy();
      request.afterExit(created);
      request.stdio.destroy();
      void ended().then(() => reject(request.signal.aborted ? request.signal.reason : error));
    };

    const onReady = async (record: Extract<LauncherRecord, { kind: "ready" }>): Promise<void> => {
      try {
        const isFirst = waits === 0;
        waits += 1;
        if (request.terminal && isFirst) pty = openPty(launcherPid, record.ptyMaster);
        const { created: whenCreated, beforeCommand } = request.moments;
        if (pid !== undefined) await (isFirst ? whenCreated : beforeCommand)?.(pid);
        send(channel, "go");
      } catch (error) {
        fail(error);
      }
    };

    listen(channel.socket, (record) => {
      switch (record.kind) {
        case "pid":
          pid = record.pid;
          break;
        case "created":
          created.push(record);
          break;
        case "head":
          head = record.bytes;
          break;
        case "ready":
          void onReady(record);
          break;
        case "failed":
          if (state === "starting") fail(request.explain({ op: ops[record.op], errno: record.errno, head }));
          break;
        case "started":
          if (state !== "starting" || pid === undefined) break;
          state = "running";
          if (request.detach) send(channel, "detach");
          void request.moments.started?.(pid);
          resolve({
            pid,
            // One that has ended already has a time that no process has.
            startTime: startTimeOf(pid) ?? "0",
            stdin: request.stdio.stdin,
            stdout: request.stdio.stdout,
            stderr: request.stdio.stderr,
            pty,
            exited: exited.promise,
            kill: (signal) => {
              if (state !== "running") return false;
              send(channel, "signal", signal);
              return true;
            },
          });
          break;
        case "usage":
          usage = { maxRssBytes: record.maxRssBytes, userMs: record.userMs, systemMs: record.systemMs };
          break;
        case "exited":
          end(record.status);
          // The launcher waits for this, and would clean up itself if we had died before.
          send(channel, "release");
          channel.socket.destroy();
          break;
      }
    });
    channel.socket.on("error", () => channel.socket.destroy());
    channel.socket.on("close", () => {
      reap(launcherPid);
      end(undefined);
    });
    request.signal.addEventListener("abort", onAbort);
  });
}

const SIGKILL = 9;

/** A wait status; none when the launcher itself was killed, and the container with it. */
function exitOf(status: number | undefined): Pick<ExitStatus, "code" | "signal"> {
  if (status === undefined) return { code: 128 + SIGKILL, signal: SIGKILL };
  const signal = status & 0x7f;
  return signal === 0 ? { code: (status >> 8) & 0xff, signal: undefined } : { code: 128 + signal, signal };
}
