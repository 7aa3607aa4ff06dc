/** The fields of a tar header's block. Sources: pax(1), "ustar Interchange Format"; GNU tar manual, "Basic Tar Format". */
import { archiveInvalid } from "./errors.ts";
import { blockBytes } from "./tar-headers.ts";

const maxId = 0xffff_fffe;

export function isZero(block: Buffer): boolean {
  for (let i = 0; i < block.length; i += 8) if (block.readBigUInt64LE(i) !== 0n) return false;
  return true;
}

/** Old writers summed signed bytes. */
export function checksumFits(block: Buffer): boolean {
  let unsigned = 0;
  let signed = 0;
  for (let i = 0; i < blockBytes; i++) {
    const byte = i >= 148 && i < 156 ? 0x20 : (block[i] ?? 0);
    unsigned += byte;
    signed += byte < 128 ? byte : byte - 256;
  }
  const stored = Number.parseInt(untilNul(text(block, 148, 8)).trim(), 8);
  return stored === unsigned || stored === signed;
}

export function text(block: Buffer, at: number, size: number): string {
  return block.toString("latin1", at, at + size);
}

export function untilNul(value: string): string {
  const nul = value.indexOf("\0");
  return nul < 0 ? value : value.slice(0, nul);
}

/** Only POSIX headers have a prefix; GNU's hold times in its place, star's a shorter one. */
export function nameOf(block: Buffer): string {
  const name = untilNul(text(block, 0, 100));
  if (text(block, 257, 6) !== "ustar\0") return name;
  const prefix = untilNul(text(block, 345, text(block, 508, 4) === "tar\0" ? 131 : 155));
  return prefix === "" ? name : `${prefix}/${name}`;
}

export function numberAt(block: Buffer, at: number, size: number): number {
  const value = signedNumberAt(block, at, size);
  if (value < 0) throw archiveInvalid("a header holds a negative number");
  return value;
}

/** Octal text, or GNU's base 256 when the top bit is set. */
export function signedNumberAt(block: Buffer, at: number, size: number): number {
  const first = block[at] ?? 0;
  if ((first & 0x80) !== 0) {
    let value = BigInt.asIntN(7, BigInt(first & 0x7f));
    for (let i = 1; i < size; i++) value = (value << 8n) | BigInt(block[at + i] ?? 0);
    if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER))
      throw archiveInvalid("a header holds a number that is too large");
    return Number(value);
  }
  const digits = untilNul(text(block, at, size)).trim();
  if (digits === "") return 0;
  if (!/^[0-7]+$/.test(digits)) throw archiveInvalid(`a header holds no number where one must be`);
  return Number.parseInt(digits, 8);
}

export function idOf(value: number): number {
  if (value > maxId) throw archiveInvalid(`an owner of ${value} is out of range`);
  return value;
}
