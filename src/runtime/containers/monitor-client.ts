/** The other side: who starts a monitor, and who attaches to a container that runs. */

import { spawn } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { errnoOf } from "../../errors.ts";
import { defaultPath } from "../../oci/image-config.ts";
import { programFile } from "../../program-file.ts";
import { monitorGone } from "../container-errors.ts";
import { socketName } from "./attachments.ts";
import {
  type ClientFrame,
  encodeFrame,
  frameReader,
  receivedError,
  sendData,
  type TerminalSize,
} from "./connection.ts";
import type { ContainerFolder } from "./container-folder.ts";
import { observe } from "./container-state.ts";

export interface AttachedClient extends Disposable {
  /** Resolves when the command has been executed; rejects with the driver's error. */
  readonly started: Promise<void>;
  /** The exit code; undefined when the connection ended before: the container is removed, or its monitor was killed. */
  readonly exited: Promise<number | undefined>;
  /** False: wait for `onRoom`. */
  input(data: Buffer): boolean;
  inputEnd(): void;
  onRoom(callback: () => void): void;
  resize(size: TerminalSize): void;
}

export interface AttachOptions {
  readonly stdin: boolean;
  readonly size: TerminalSize | undefined;
  /** Undefined: no output is wanted. */
  readonly onOutput: ((stream: "stdout" | "stderr", data: Buffer) => void) | undefined;
}

/** Starts a detached monitor for a container whose launch is written, and is its first client. */
export function startMonitor(folder: ContainerFolder, options: AttachOptions): AttachedClient {
  const child = spawn(process.execPath, [programFile("runtime/monitor.ts"), folder.path], {
    detached: true,
    cwd: "/",
    // Nothing of the caller's environment leaks into a process that lives as long as the container.
    env: { PATH: defaultPath },
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  child.unref();
  const connection = child.stdio[3] as Duplex;
  return client(folder, connection, { ...options, start: true });
}

/** Connects to the supervisor of a running container. @throws {TsbuildError} `CONTAINER_STATE` when it is gone. */
export async function attachTo(folder: ContainerFolder, options: AttachOptions): Promise<AttachedClient> {
  const folderFd = openSync(folder.path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const deadline = performance.now() + connectMs;
    for (;;) {
      const socket = await connected(`/proc/self/fd/${folderFd}/${socketName}`);
      if (socket !== undefined) return client(folder, socket, { ...options, start: false });
      // A container that has just started has none yet; one without a supervisor will never have one.
      if (performance.now() > deadline || observe(folder).orphaned) throw monitorGone(folder.id);
      await sleep(20);
    }
  } finally {
    closeSync(folderFd);
  }
}

const connectMs = 2000;

async function connected(path: string): Promise<Socket | undefined> {
  const socket = connect(path);
  try {
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return socket;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ECONNREFUSED") return undefined;
    throw error;
  }
}

function client(
  folder: ContainerFolder,
  connection: Duplex,
  options: AttachOptions & { readonly start: boolean },
): AttachedClient {
  const started = Promise.withResolvers<void>();
  const exited = Promise.withResolvers<number | undefined>();
  // Whoever only waits for one of the two must not be told of the other by a crash.
  started.promise.catch(() => undefined);
  const send = (frame: ClientFrame): void => void (connection.writable && connection.write(encodeFrame(frame)));
  const read = frameReader((frame) => {
    switch (frame.kind) {
      case "stdout":
      case "stderr":
        options.onOutput?.(frame.kind, frame.data);
        break;
      case "started":
        started.resolve();
        break;
      case "failed":
        started.reject(receivedError(frame.error));
        break;
      case "exited":
        exited.resolve(frame.code);
        break;
      default:
        throw new Error(`unexpected frame ${frame.kind}`);
    }
  });
  const over = (): void => {
    started.reject(monitorGone(folder.id));
    exited.resolve(undefined);
  };
  connection.on("data", read);
  connection.on("error", over).on("end", over).on("close", over);
  send({
    kind: "hello",
    start: options.start,
    stdin: options.stdin,
    output: options.onOutput !== undefined,
    size: options.size,
  });
  return {
    started: started.promise,
    exited: exited.promise,
    input: (data) => sendData(connection, "stdin", data),
    inputEnd: () => send({ kind: "stdinEnd" }),
    onRoom: (callback) => void connection.on("drain", callback),
    resize: (size) => send({ kind: "resize", size }),
    [Symbol.dispose]() {
      connection.destroy();
    },
  };
}
