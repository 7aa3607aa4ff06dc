/**
 * Between one container and those who look at it: output goes to the log first, then to every viewer; input comes from
 * any of them. It outlives restarts: a new life of the container is bound to the same viewers.
 */

import type { Readable } from "node:stream";
import type { RunningContainer } from "../driver.ts";
import type { LogStream, LogWriter } from "../logs.ts";
import type { TerminalSize } from "./connection.ts";

export interface Viewer {
  /** False: no room until `drained` is called. */
  output(stream: LogStream, data: Buffer): boolean;
  /** A viewer that holds the container back until it has taken its output; others are dropped when they are slow. */
  readonly holdsBack: boolean;
}

export interface StdioHub {
  add(viewer: Viewer): void;
  remove(viewer: Viewer): void;
  /** The viewer has room again. */
  drained(viewer: Viewer): void;
  /** False: no room until `onInputRoom` fires. */
  input(data: Buffer): boolean;
  inputEnd(): void;
  onInputRoom(callback: () => void): void;
  resize(size: TerminalSize): void;
  /** From the start of the command on. `outputEnded` resolves when all output has been given away. */
  bind(running: RunningContainer): { readonly outputEnded: (exited: Promise<unknown>) => Promise<void> };
  unbind(): void;
}

export interface StdioHubOptions {
  readonly log: LogWriter | undefined;
  readonly tty: boolean;
  readonly stdinOnce: boolean;
}

/** How long silent pipes are still waited for after pid 1 has gone: somebody outside may hold them open. */
const silenceMs = 500;
const endOfTransmission = Buffer.of(4);

export function stdioHub({ log, tty, stdinOnce }: StdioHubOptions): StdioHub {
  const viewers = new Set<Viewer>();
  const full = new Set<Viewer>();
  const roomCallbacks: (() => void)[] = [];
  let running: RunningContainer | undefined;
  let sources: readonly Readable[] = [];
  let early: Buffer[] = [];
  let ended = false;
  let size: TerminalSize | undefined;
  let lastActivity = 0;

  const sink = (): NodeJS.WritableStream | undefined => (tty ? running?.pty?.stream : running?.stdin);
  const give = (stream: LogStream, data: Buffer): void => {
    lastActivity = performance.now();
    log?.write(stream, data);
    for (const viewer of viewers) {
      if (!viewer.output(stream, data) && viewer.holdsBack) full.add(viewer);
    }
    if (full.size > 0) for (const source of sources) source.pause();
  };
  const resume = (): void => {
    if (full.size === 0) for (const source of sources) source.resume();
  };
  const endInput = (): void => {
    if (tty) sink()?.write(endOfTransmission);
    else if (stdinOnce) sink()?.end();
  };

  return {
    add: (viewer) => void viewers.add(viewer),
    remove(viewer) {
      viewers.delete(viewer);
      full.delete(viewer);
      resume();
    },
    drained(viewer) {
      full.delete(viewer);
      lastActivity = performance.now();
      resume();
    },
    input(data) {
      if (running === undefined) {
        early.push(data);
        return true;
      }
      return sink()?.write(data) ?? true;
    },
    inputEnd() {
      if (running === undefined) ended = true;
      else endInput();
    },
    onInputRoom: (callback) => void roomCallbacks.push(callback),
    resize(next) {
      size = next;
      running?.pty?.resize(next);
    },
    bind(next) {
      running = next;
      if (size !== undefined) next.pty?.resize(size);
      const output: [LogStream, Readable | undefined][] = tty
        ? [["stdout", next.pty?.stream]]
        : [
            ["stdout", next.stdout],
            ["stderr", next.stderr],
          ];
      const open = output.flatMap(([stream, source]) => (source === undefined ? [] : [{ stream, source }]));
      sources = open.map(({ source }) => source);
      const ends = open.map(
        ({ stream, source }) =>
          new Promise<void>((resolve) => {
            source.on("data", (data: Buffer) => give(stream, data));
            const done = (): void => {
              log?.end(stream);
              resolve();
            };
            // A pty's last reader ends with EIO.
            source.once("end", done).once("error", done).once("close", done);
          }),
      );
      const input = sink();
      // The process may close its end at any time; that is no failure of ours.
      input?.on("error", ignore);
      input?.on("drain", () => {
        for (const callback of roomCallbacks) callback();
      });
      for (const data of early) input?.write(data);
      early = [];
      if (ended) endInput();
      return {
        async outputEnded(exited) {
          const all = Promise.all(ends);
          await Promise.race([all, exited]);
          lastActivity = performance.now();
          const deadline = new Promise<void>((resolve) => {
            const timer = setInterval(() => {
              if (full.size > 0 || performance.now() - lastActivity < silenceMs) return;
              clearInterval(timer);
              resolve();
            }, 50);
            void all.then(() => clearInterval(timer));
          });
          await Promise.race([all, deadline]);
        },
      };
    },
    unbind() {
      running = undefined;
      sources = [];
    },
  };
}

function ignore(): void {
  // see where it is used
}
