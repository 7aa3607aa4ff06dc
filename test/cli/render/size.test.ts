import fc from "fast-check";
import { expect, test } from "vitest";
import { formatBinarySize, formatSize, parseSize } from "../../../src/cli/render/size.ts";
import { caught } from "../../support/caught.ts";

test.for([
  [0, 3, "0B"],
  [12, 3, "12B"],
  [999, 3, "999B"],
  [1000, 3, "1kB"],
  [1230, 3, "1.23kB"],
  [128_000_000, 3, "128MB"],
  [1_500_000_000, 3, "1.5GB"],
  [999_900, 3, "1MB"],
  [999_900, 4, "999.9kB"],
  [1_234_567, 4, "1.235MB"],
  [2 ** 53, 3, "9.01PB"],
] as const)("%d bytes with %d digits are %s", ([bytes, digits, text]) => {
  expect(formatSize(bytes, digits)).toBe(text);
});

test.for([
  [1_572_864, "1.5MiB"],
  [8_232_000_000, "7.667GiB"],
  [1023, "1023B"],
  [1024, "1KiB"],
] as const)("%d bytes in binary units are %s", ([bytes, text]) => {
  expect(formatBinarySize(bytes)).toBe(text);
});

test.for([
  ["100", 100],
  ["1b", 1],
  ["64m", 64 * 2 ** 20],
  ["64MB", 64 * 2 ** 20],
  ["64MiB", 64 * 2 ** 20],
  ["1.5g", 1.5 * 2 ** 30],
  ["2T", 2 ** 41],
  ["10 k", 10240],
] as const)("%s is %d bytes", ([text, bytes]) => {
  expect(parseSize(text)).toBe(bytes);
});

test.for(["", "x", "-1", "1q", "1mm", "m", "1.m", "0x10", "1ib", "99999999p"])("%j is no size", (text) => {
  expect(caught(() => parseSize(text))).toMatchObject({
    code: "INVALID_ARGUMENT",
    message: `invalid size: '${text}'`,
  });
});

test("a formatted size has at most its digits and reads back as nearly the same", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 50 }), fc.integer({ min: 3, max: 6 }), (bytes, digits) => {
      const text = formatSize(bytes, digits);
      const match = /^([\d.]+)(B|kB|MB|GB|TB|PB)$/.exec(text);
      expect(match).not.toBeNull();
      expect((match?.[1] ?? "").replace(".", "").length).toBeLessThanOrEqual(digits);
      const value = Number(match?.[1]) * 1000 ** ["B", "kB", "MB", "GB", "TB", "PB"].indexOf(match?.[2] ?? "");
      expect(Math.abs(value - bytes)).toBeLessThanOrEqual(bytes * 10 ** (1 - digits));
    }),
  );
});
