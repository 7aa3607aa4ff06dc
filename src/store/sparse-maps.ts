/** Where the data of a sparse file belong. Source: GNU tar manual, "Storing Sparse Files", all four forms. */
import { archiveInvalid } from "./errors.ts";
import { numberAt } from "./tar-fields.ts";

export interface SparsePart {
  readonly offset: number;
  readonly length: number;
}

/** Rejects what would not fill `size` bytes in order from `stored` bytes. @throws {TsbuildError} `ARCHIVE_INVALID` */
export function checkParts(parts: readonly SparsePart[], size: number, stored: number): void {
  let end = 0;
  let sum = 0;
  for (const { offset, length } of parts) {
    if (offset < end) throw archiveInvalid("the parts of a sparse file overlap");
    end = offset + length;
    sum += length;
  }
  if (end > size || sum !== stored) throw archiveInvalid("the parts of a sparse file do not fit its size");
}

export function readOldSparse(block: Buffer, at: number, count: number, parts: SparsePart[]): void {
  for (let i = 0; i < count; i++) {
    const entry = at + i * 24;
    if (block[entry] === 0) return;
    parts.push({ offset: numberAt(block, entry, 12), length: numberAt(block, entry + 12, 12) });
    if (parts.length > maxSparseParts) throw archiveInvalid("a sparse file has too many parts");
  }
}

const maxSparseParts = 1 << 16;

/** Undefined when the map is not complete yet. */
export function parseSparseMap(lines: string): readonly SparsePart[] | undefined {
  const [count, ...rest] = lines.split("\n");
  // The last piece is not ended by a line break: padding, or a number that is cut.
  const numbers = rest.slice(0, -1);
  if (rest.length === 0) return undefined;
  const wanted = Number(count);
  if (!/^[0-9]{1,6}$/.test(count ?? "") || wanted > maxSparseParts)
    throw archiveInvalid("the map of a sparse file is damaged");
  if (numbers.length < wanted * 2) return undefined;
  return pairs(numbers.slice(0, wanted * 2));
}

export function parseCommaMap(map: string): readonly SparsePart[] {
  return pairs(map === "" ? [] : map.split(","));
}

function pairs(numbers: readonly string[]): readonly SparsePart[] {
  const parts: SparsePart[] = [];
  for (let i = 0; i + 1 < numbers.length; i += 2) {
    const [offset, length] = [Number(numbers[i]), Number(numbers[i + 1])];
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0)
      throw archiveInvalid("the map of a sparse file is damaged");
    parts.push({ offset, length });
  }
  if (numbers.length % 2 !== 0) throw archiveInvalid("the map of a sparse file is damaged");
  return parts;
}
