/** Attributes of netlink messages. Source: netlink(7), linux/netlink.h. */

const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

/** struct nlattr and its payload, padded to four bytes. */
export function attribute(type: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt16LE(4 + payload.length, 0);
  header.writeUInt16LE(type, 2);
  return Buffer.concat([header, payload, Buffer.alloc((4 - (payload.length % 4)) % 4)]);
}

export function nested(type: number, ...attributes: readonly Buffer[]): Buffer {
  return attribute(type | NLA_F_NESTED, Buffer.concat(attributes));
}

export function text(type: number, value: string): Buffer {
  return attribute(type, Buffer.from(`${value}\0`));
}

/** By type; of a type that is there twice, the last. */
export function readAttributes(bytes: Buffer): ReadonlyMap<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < 4) break;
    found.set(bytes.readUInt16LE(at + 2) & NLA_TYPE_MASK, bytes.subarray(at + 4, at + length));
    at += (length + 3) & ~3;
  }
  return found;
}

export function readText(value: Buffer | undefined): string {
  const end = value?.indexOf(0) ?? 0;
  return value?.toString("latin1", 0, end < 0 ? value.length : end) ?? "";
}
