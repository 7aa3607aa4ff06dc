/** Values as SSH writes them. Source: RFC 4251, section 5, "Data Type Representations Used in the SSH Protocols". */

/** Reads one value after the other. @throws {RangeError} when the bytes end too early. */
export class WireReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  uint32(): number {
    return this.take(4).readUInt32BE(0);
  }

  /** A length and so many bytes: SSH's `string`, and its `mpint` with the sign byte still in front. */
  string(): Buffer {
    return this.take(this.uint32());
  }

  text(): string {
    return this.string().toString("utf8");
  }

  take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new RangeError("the data end too early");
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }
}

export function wireUint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function wireString(value: Uint8Array | string): Buffer {
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  return Buffer.concat([wireUint32(bytes.length), bytes]);
}

/** A positive whole number, big-endian: without zeros in front, but with one where the first bit would be a sign. */
export function wireNumber(value: Uint8Array): Buffer {
  const first = value.findIndex((byte) => byte !== 0);
  if (first < 0) return wireString("");
  const digits = value.subarray(first);
  return wireString((digits[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), digits]) : digits);
}
