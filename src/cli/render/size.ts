/** Sizes as people read and write them. Source: docker/go-units. */
import { TsbuildError } from "../../errors.ts";

const decimalUnits = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
const binaryUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/** `1.23kB`: base 1000, at most `digits` significant digits, no blank, no trailing zeros. */
export function formatSize(bytes: number, digits = 3): string {
  return scaled(bytes, 1000, decimalUnits, digits);
}

/** `7.667GiB`: base 1024, four digits. */
export function formatBinarySize(bytes: number): string {
  return scaled(bytes, 1024, binaryUnits, 4);
}

function scaled(bytes: number, base: number, units: readonly string[], digits: number): string {
  let value = bytes;
  let unit = 0;
  // Compared after rounding: 999.9 kB with three digits is 1MB, not 1000kB.
  while (Math.abs(Number(value.toPrecision(digits))) >= base && unit < units.length - 1) {
    value /= base;
    unit += 1;
  }
  return `${Number(value.toPrecision(digits))}${units[unit]}`;
}

const powers: Readonly<Record<string, number>> = { "": 0, b: 0, k: 1, m: 2, g: 3, t: 4, p: 5 };

/**
 * Bytes of `64m`, `1.5GiB`, `100`: base 1024, any case.
 * @throws {TsbuildError} `INVALID_ARGUMENT`
 */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?(?:([kmgtp])(?:i?b)?|b)?$/i.exec(text.trim());
  const power = powers[(match?.[2] ?? "").toLowerCase()];
  const bytes = match === null || power === undefined ? Number.NaN : Math.floor(Number(match[1]) * 1024 ** power);
  if (Number.isSafeInteger(bytes)) return bytes;
  throw new TsbuildError({ code: "INVALID_ARGUMENT", what: `invalid size: '${text}'`, hint: "such as 512m or 1.5g" });
}
