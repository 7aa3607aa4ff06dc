/** Tar bytes as a test wants them, right or wrong: headers are written as given, in Go's spelling of the PAX format. */
import { Buffer } from "node:buffer";

export interface RawEntry {
  /** Bytes, one character each. */
  readonly name: string;
  readonly type: string;
  readonly content?: string;
  readonly linkName?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly major?: number;
  readonly minor?: number;
  readonly pax?: Readonly<Record<string, string>>;
  /** In place of the content's length. */
  readonly declaredSize?: number;
}

export function rawTar(entries: readonly RawEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(blocksOf), Buffer.alloc(1024)]);
}

function blocksOf(entry: RawEntry): readonly Buffer[] {
  const pax: Record<string, string> = { ...entry.pax };
  if (!/^[\x01-\x7f]{0,100}$/.test(entry.name)) pax["path"] ??= entry.name;
  if (!/^[\x01-\x7f]{0,100}$/.test(entry.linkName ?? "")) pax["linkpath"] ??= entry.linkName ?? "";
  const records = Object.keys(pax)
    .sort()
    .map((key) => record(key, pax[key] ?? ""))
    .join("");
  const content = Buffer.from(entry.content ?? "", "latin1");
  const main = [header(entry, entry.declaredSize ?? content.length), padded(content)];
  if (records === "") return main;
  const slash = entry.name.lastIndexOf("/") + 1;
  const name = `${entry.name.slice(0, slash)}PaxHeaders.0/${entry.name.slice(slash)}`.replace(/\/+$/, "");
  const data = Buffer.from(records, "latin1");
  return [header({ name, type: "x", mode: 0 }, data.length), padded(data), ...main];
}

function header(entry: RawEntry, size: number): Buffer {
  const block = Buffer.alloc(512);
  const ascii = (text: string): string => text.replace(/[^\x01-\x7f]/g, "").slice(0, 100);
  block.write(ascii(entry.name), 0, "latin1");
  const octal = (value: number, at: number, length: number): void => {
    block.write(value.toString(8).padStart(length - 1, "0"), at, "latin1");
  };
  octal(entry.mode ?? 0o644, 100, 8);
  octal(entry.uid ?? 0, 108, 8);
  octal(entry.gid ?? 0, 116, 8);
  octal(size, 124, 12);
  octal(entry.mtime ?? 0, 136, 12);
  block.write(entry.type, 156, "latin1");
  block.write(ascii(entry.linkName ?? ""), 157, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  if (entry.type !== "x") {
    octal(entry.major ?? 0, 329, 8);
    octal(entry.minor ?? 0, 337, 8);
  }
  block.fill(" ", 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
}

function record(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return length + rest;
}
