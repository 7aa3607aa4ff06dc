/** Records between us and the launcher, as native/ops.h has them: 16 bytes each, both ways, on its descriptor 3. */
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { libc } from "../../../kernel/libc.ts";
import { RECORD_BYTES, recordPayloads, recordTypes } from "../../launcher-program.ts";
import { MSG_DONTWAIT, MSG_NOSIGNAL } from "../../linux-constants.ts";

export type LauncherRecord =
  | { readonly kind: "pid"; readonly pid: number }
  /** The child waits for GO. */
  | { readonly kind: "ready"; readonly ptyMaster: number }
  | { readonly kind: "started" }
  | { readonly kind: "failed"; readonly errno: number; readonly op: number }
  | { readonly kind: "usage"; readonly maxRssBytes: number; readonly userMs: number; readonly systemMs: number }
  | { readonly kind: "exited"; readonly status: number }
  /** A mount point that was not there was made: which, and in which folder, by the path it had for the launcher. */
  | { readonly kind: "created"; readonly index: number; readonly folder: Buffer }
  /** How the file begins that was found but could not be executed. */
  | { readonly kind: "head"; readonly bytes: Buffer };

/** One record from the start of `bytes` and how long it was; undefined while it is not all there. */
function parseRecord(
  bytes: Buffer,
): { readonly record: LauncherRecord | undefined; readonly size: number } | undefined {
  if (bytes.length < RECORD_BYTES) return undefined;
  const type = bytes.readUInt32LE(0);
  const a = bytes.readInt32LE(4);
  const b = bytes.readBigInt64LE(8);
  const size = RECORD_BYTES + payloadOf(type);
  if (bytes.length < size) return undefined;
  const text = bytes.subarray(RECORD_BYTES, Math.min(size, RECORD_BYTES + a));
  return { record: recordOf(type, a, b, text), size };
}

function payloadOf(type: number): number {
  if (type === recordTypes.created) return recordPayloads.created;
  return type === recordTypes.head ? recordPayloads.head : 0;
}

function recordOf(type: number, a: number, b: bigint, following: Buffer): LauncherRecord | undefined {
  switch (type) {
    case recordTypes.pid:
      return { kind: "pid", pid: Number(b) };
    case recordTypes.ready:
      return { kind: "ready", ptyMaster: Number(b) };
    case recordTypes.started:
      return { kind: "started" };
    case recordTypes.failed:
      return { kind: "failed", errno: a, op: Number(b) };
    case recordTypes.usage:
      return { kind: "usage", maxRssBytes: a * 1024, userMs: Number(b >> 32n), systemMs: Number(b & 0xffffffffn) };
    case recordTypes.exited:
      return { kind: "exited", status: a };
    case recordTypes.created:
      return { kind: "created", index: Number(b), folder: following };
    case recordTypes.head:
      return { kind: "head", bytes: following };
    default:
      return undefined;
  }
}

export function listen(channel: Duplex, onRecord: (record: LauncherRecord) => void): void {
  let rest: Buffer = Buffer.alloc(0);
  channel.on("data", (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let parsed = parseRecord(rest); parsed !== undefined; parsed = parseRecord(rest)) {
      rest = rest.subarray(parsed.size);
      if (parsed.record !== undefined) onRecord(parsed.record);
    }
  });
}

export interface ControlChannel {
  readonly socket: Socket;
  /** The socket's descriptor; −1 once it is closed. */
  fd: number;
}

export function controlChannel(fd: number): ControlChannel {
  const channel: ControlChannel = { socket: new Socket({ fd, readable: true, writable: true }), fd };
  channel.socket.on("close", () => {
    channel.fd = -1;
  });
  return channel;
}

/**
 * Past the stream: a launcher that is ending does not take our word any more, and a stream that fails to write throws
 * away what it had still to read, the launcher's last words.
 */
export function send(channel: ControlChannel, type: "go" | "signal" | "detach" | "release", a = 0): void {
  const bytes = Buffer.alloc(RECORD_BYTES);
  bytes.writeUInt32LE(recordTypes[type], 0);
  bytes.writeInt32LE(a, 4);
  if (channel.fd < 0) return;
  // Not before the program, as long as that is on its way.
  if (channel.socket.writableLength > 0) channel.socket.write(bytes);
  else libc("send", channel.fd, bytes, bytes.length, MSG_NOSIGNAL | MSG_DONTWAIT);
}
