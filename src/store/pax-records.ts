/** PAX records: what a header's fields cannot say. Source: pax(1), "pax Extended Header". */
import { archiveInvalid } from "./errors.ts";

/** By key; values are bytes, one character each. */
export type Records = Map<string, string>;

export function decimal(records: Records, key: string): number {
  const value = records.get(key) ?? "";
  const number = Number(value);
  if (!/^[0-9]+$/.test(value) || !Number.isSafeInteger(number))
    throw archiveInvalid(`the PAX record ${key} is no number`);
  return number;
}

/** Seconds with an optional fraction. */
export function timeOf(value: string | undefined): bigint | undefined {
  if (value === undefined) return undefined;
  const match = /^(-?)([0-9]{1,15})(?:\.([0-9]*))?$/.exec(value);
  if (match === null) throw archiveInvalid("the PAX record mtime is no time");
  const [, sign, seconds = "0", fraction = ""] = match;
  const ns = BigInt(seconds) * 1_000_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, "0"));
  return sign === "-" ? -ns : ns;
}

export function xattrsOf(records: Records): ReadonlyMap<string, Buffer> {
  const xattrs = new Map<string, Buffer>();
  for (const [key, value] of records) {
    if (key.startsWith("SCHILY.xattr.")) xattrs.set(key.slice(13), Buffer.from(value, "latin1"));
    // URL-encoded name, base64 value: what libarchive writes when the other form would not do.
    else if (key.startsWith("LIBARCHIVE.xattr.")) {
      const name = key
        .slice(17)
        .replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
      if (!xattrs.has(name)) xattrs.set(name, Buffer.from(value, "base64"));
    }
  }
  return xattrs;
}

export function addRecord(records: Records, key: string, value: string): void {
  // Format 0.0 spells the map as repeated pairs of records; 0.1 joins them as one.
  if (key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes") {
    const map = records.get("GNU.sparse.map");
    records.set("GNU.sparse.map", map === undefined ? value : `${map},${value}`);
  } else if (value === "" && !key.startsWith("SCHILY.xattr.")) records.delete(key);
  else records.set(key, value);
}

export function* paxRecords(bytes: Buffer): Generator<readonly [string, string]> {
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const digits = space < 0 ? "" : bytes.toString("latin1", at, space);
    const length = Number(digits);
    const end = at + length;
    if (!/^[0-9]{1,8}$/.test(digits) || end > bytes.length || end <= space + 1 || bytes[end - 1] !== 0x0a)
      throw archiveInvalid("a PAX header is damaged");
    const equals = bytes.indexOf(0x3d, space);
    if (equals < 0 || equals >= end - 1) throw archiveInvalid("a PAX header is damaged");
    const key = bytes.toString("latin1", space + 1, equals);
    const value = bytes.toString("latin1", equals + 1, end - 1);
    if ((key === "path" || key === "linkpath" || key === "GNU.sparse.name") && value.includes("\0"))
      throw archiveInvalid("a name holds a NUL");
    yield [key, value];
    at = end;
  }
}
