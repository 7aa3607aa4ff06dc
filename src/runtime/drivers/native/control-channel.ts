/** Records between us and the launcher, as native/ops.h has them: 16 bytes each, both ways, on its descriptor 3. */
import type { Duplex } from "node:stream";
import { recordTypes } from "../../launcher-program.ts";

const RECORD_BYTES = 16;

export type LauncherRecord =
  | { readonly kind: "pid"; readonly pid: number }
  /** The child waits for GO. */
  | { readonly kind: "ready"; readonly ptyMaster: number }
  | { readonly kind: "started" }
  | { readonly kind: "failed"; readonly errno: number; readonly op: number }
  | { readonly kind: "usage"; readonly maxRssBytes: number; readonly userMs: number; readonly systemMs: number }
  | { readonly kind: "exited"; readonly status: number }
  /** A mount point that was not there was made in the root. */
  | { readonly kind: "created"; readonly mount: number; readonly depth: number };

function parseRecord(bytes: Buffer): LauncherRecord | undefined {
  const a = bytes.readInt32LE(4);
  const b = bytes.readBigInt64LE(8);
  switch (bytes.readUInt32LE(0)) {
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
      return { kind: "created", mount: a, depth: Number(b) };
    default:
      return undefined;
  }
}

export function listen(channel: Duplex, onRecord: (record: LauncherRecord) => void): void {
  let rest: Buffer = Buffer.alloc(0);
  channel.on("data", (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= RECORD_BYTES) {
      const record = parseRecord(rest.subarray(0, RECORD_BYTES));
      rest = rest.subarray(RECORD_BYTES);
      if (record !== undefined) onRecord(record);
    }
  });
}

export function send(channel: Duplex, type: "go" | "signal" | "detach", a = 0): void {
  const bytes = Buffer.alloc(RECORD_BYTES);
  bytes.writeUInt32LE(recordTypes[type], 0);
  bytes.writeInt32LE(a, 4);
  if (channel.writable) channel.write(bytes);
}
