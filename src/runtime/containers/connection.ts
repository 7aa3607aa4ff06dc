/**
 * What a supervisor and its clients say to each other, over the monitor's fd 3 or the unix socket in the container's
 * folder: frames of one type byte, a length (u32, big endian) and that many bytes. Each side knows its types; one that
 * is unknown ends the connection.
 */
import type { Duplex } from "node:stream";
import type { ErrorCode, ErrorFields } from "../../errors.ts";
import { TsbuildError } from "../../errors.ts";

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** From a client. */
export type ClientFrame =
  /** The first frame. `start` comes once, over fd 3: the container is not started before. */
  | {
      readonly kind: "hello";
      readonly start: boolean;
      readonly stdin: boolean;
      readonly output: boolean;
      readonly size: TerminalSize | undefined;
    }
  | { readonly kind: "stdin"; readonly data: Buffer }
  | { readonly kind: "stdinEnd" }
  | { readonly kind: "resize"; readonly size: TerminalSize };

/** From the supervisor. */
export type ServerFrame =
  | { readonly kind: "stdout"; readonly data: Buffer }
  | { readonly kind: "stderr"; readonly data: Buffer }
  /** The command has been executed. */
  | { readonly kind: "started" }
  /** It has not been; nothing follows. */
  | { readonly kind: "failed"; readonly error: SentError }
  /** All output has been sent before. */
  | { readonly kind: "exited"; readonly code: number };

export type SentError = Pick<ErrorFields, "code" | "what" | "hint">;

export type Frame = ClientFrame | ServerFrame;

const types: readonly Frame["kind"][] = [
  "hello",
  "stdin",
  "stdinEnd",
  "resize",
  "stdout",
  "stderr",
  "started",
  "failed",
  "exited",
];
const headerBytes = 5;
const maxFrameBytes = 1024 * 1024;

export function encodeFrame(frame: Frame): Buffer {
  const body = "data" in frame ? frame.data : Buffer.from(JSON.stringify(frame));
  const header = Buffer.alloc(headerBytes);
  header[0] = types.indexOf(frame.kind);
  header.writeUInt32BE(body.length, 1);
  return Buffer.concat([header, body]);
}

/** Takes bytes as they come and gives whole frames. Throws on what no peer of ours sends. */
export function frameReader(onFrame: (frame: Frame) => void): (chunk: Buffer) => void {
  let held: Buffer = Buffer.alloc(0);
  return (chunk) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    while (held.length >= headerBytes) {
      const size = held.readUInt32BE(1);
      if (size > maxFrameBytes) throw new Error(`frame of ${size} bytes`);
      if (held.length < headerBytes + size) return;
      const body = held.subarray(headerBytes, headerBytes + size);
      const kind = types[held[0] ?? 255];
      held = held.subarray(headerBytes + size);
      switch (kind) {
        case undefined:
          throw new Error("unknown frame");
        case "stdin":
        case "stdout":
        case "stderr":
          onFrame({ kind, data: body });
          break;
        default:
          onFrame(JSON.parse(body.toString("utf8")) as Frame);
      }
    }
  };
}

/** Large outputs go out in pieces, each below the bound of a frame. */
export function sendData(to: Duplex, kind: "stdin" | "stdout" | "stderr", data: Buffer): boolean {
  let roomLeft = true;
  for (let at = 0; at < data.length; at += maxFrameBytes) {
    roomLeft = to.write(encodeFrame({ kind, data: data.subarray(at, at + maxFrameBytes) }));
  }
  return roomLeft;
}

export function errorToSend(error: unknown): SentError {
  if (error instanceof TsbuildError) return { code: error.code, what: error.message, hint: error.hint };
  return { code: "RUNTIME_FAILED", what: error instanceof Error ? error.message : String(error) };
}

export function receivedError(error: SentError): TsbuildError {
  return new TsbuildError({ code: error.code as ErrorCode, what: error.what, hint: error.hint });
}
