/** A user's terminal while a container's is shown in it: raw mode, and the keys that leave the container alone. */
import type { ReadStream } from "node:tty";
import { libc } from "../kernel/libc.ts";
import { invalidDetachKeys } from "./container-errors.ts";

/**
 * Keys reach the container as they are typed. The terminal is as before when this is disposed, and however the process
 * ends: a shell without echo is nothing to leave behind.
 */
export function rawTerminal(stdin: ReadStream): Disposable {
  const wasRaw = stdin.isRaw;
  const restore = (): void => {
    if (!stdin.destroyed) stdin.setRawMode(wasRaw);
  };
  process.once("exit", restore);
  stdin.setRawMode(true);
  passOutput(stdin);
  return {
    [Symbol.dispose]() {
      process.off("exit", restore);
      restore();
    },
  };
}

// Source: ioctl_tty(2), asm-generic/termbits.h; the same numbers on x86-64 and arm64.
const TCGETS = 0x5401;
const TCSETS = 0x5402;
const OPOST = 1;
const termiosBytes = 64;
const outputFlagsAt = 4;

/** Node's raw mode still turns newlines into CR LF. The container's terminal has done so, or does not want it. */
function passOutput(stdin: ReadStream): void {
  // Node has it, its types do not.
  const { fd } = stdin as ReadStream & { readonly fd: number };
  const termios = Buffer.alloc(termiosBytes);
  if (libc("ioctlBuffer", fd, TCGETS, termios) < 0) return;
  termios.writeUInt32LE(termios.readUInt32LE(outputFlagsAt) & ~OPOST, outputFlagsAt);
  libc("ioctlBuffer", fd, TCSETS, termios);
}

export const defaultDetachKeys = "ctrl-p,ctrl-q";

export interface DetachKeys {
  /** What goes on to the container: bytes that may begin the sequence are held back until it is clear. */
  feed(data: Buffer): { readonly pass: Buffer; readonly detached: boolean };
}

/** `ctrl-p,ctrl-q`, `a,b`; `""` switches detaching off. @throws {TsbuildError} `INVALID_ARGUMENT` */
export function detachKeys(text: string): DetachKeys {
  const sequence = text === "" ? Buffer.alloc(0) : Buffer.from(text.split(",").map((key) => keyByte(key, text)));
  let matched = 0;
  return {
    feed(data) {
      if (sequence.length === 0) return { pass: data, detached: false };
      const pass: number[] = [];
      for (const byte of data) {
        if (byte === sequence[matched]) {
          matched += 1;
          if (matched === sequence.length) {
            matched = 0;
            return { pass: Buffer.from(pass), detached: true };
          }
          continue;
        }
        // What was held back was typed for the container after all; this byte may begin anew.
        pass.push(...sequence.subarray(0, matched));
        matched = 0;
        if (byte === sequence[0]) matched = 1;
        else pass.push(byte);
      }
      return { pass: Buffer.from(pass), detached: false };
    },
  };
}

/** Source: moby/term, `ToBytes`. */
function keyByte(key: string, text: string): number {
  if (key.length === 1) return key.charCodeAt(0);
  const control = /^ctrl-([a-z@[\\\]^_])$/i.exec(key)?.[1];
  if (control === undefined) throw invalidDetachKeys(text);
  return control.toUpperCase().charCodeAt(0) & 0x1f;
}
