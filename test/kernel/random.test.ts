import { expect, test } from "vitest";
import { randomBelow, randomBytes } from "../../src/kernel/random.ts";

test("random bytes are as many as asked for, and others each time", () => {
  expect(randomBytes(0)).toHaveLength(0);
  const drawn = Array.from({ length: 100 }, () => randomBytes(16).toString("hex"));
  expect(drawn.every((text) => text.length === 32)).toBe(true);
  expect(new Set(drawn).size).toBe(100);
});

test("random numbers lie below their limit, and all of them come", () => {
  const drawn = new Set(Array.from({ length: 500 }, () => randomBelow(8)));
  expect([...drawn].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});
