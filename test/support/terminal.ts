/**
 * A terminal of ours with a program in it, for tests of what a person sees. Only `spawn`: node-pty's `open()` gives an
 * object whose `kill()` would signal every process of the machine.
 */
/// <reference types="node-pty" />
import { createRequire } from "node:module";

type NodePty = typeof import("@lydell/node-pty");

// Its declarations carry the name it was published under, so a plain import finds none.
const nodePty = createRequire(import.meta.url)("node-pty") as NodePty;

export interface TerminalRun {
  /** Everything the program wrote, as a terminal gets it. */
  readonly output: string;
  readonly exitCode: number;
}

export interface Terminal {
  write(text: string): void;
  /** Called with all that was seen so far, whenever there is more. */
  onOutput(listener: (seen: string) => void): void;
  readonly exited: Promise<TerminalRun>;
}

export function spawnInTerminal(file: string, args: readonly string[], size = { cols: 120, rows: 40 }): Terminal {
  const pty = nodePty.spawn(file, [...args], size);
  let output = "";
  const listeners: ((seen: string) => void)[] = [];
  pty.onData((data) => {
    output += data;
    for (const listener of listeners) listener(output);
  });
  return {
    write: (text) => pty.write(text),
    onOutput: (listener) => {
      listeners.push(listener);
    },
    exited: new Promise((resolve) => pty.onExit(({ exitCode }) => resolve({ output, exitCode }))),
  };
}
