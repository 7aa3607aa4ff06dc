import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  bytePath,
  bytePathOfLatin1,
  fsPath,
  fsPathBelow,
  joinBytePath,
  textOfBytePath,
} from "../../src/kernel/byte-path.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";

test("text comes back as it was", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      expect(textOfBytePath(bytePath(text))).toBe(text.toWellFormed());
    }),
  );
});

test("byte paths sort as their bytes do", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (a, b) => {
      const [left, right] = [bytePath(a.toWellFormed()), bytePath(b.toWellFormed())];
      const order = Buffer.compare(Buffer.from(a.toWellFormed()), Buffer.from(b.toWellFormed()));
      expect(left < right ? -1 : left > right ? 1 : 0).toBe(order);
    }),
  );
});

test("any name that a file may have is written and found again", () => {
  using folder = temporaryTestFolder("files");
  const name = fc.array(
    fc.integer({ min: 1, max: 255 }).filter((byte) => byte !== 0x2f),
    { minLength: 1, maxLength: 60 },
  );
  let count = 0;
  fc.assert(
    fc.property(name, (bytes) => {
      const path = bytePathOfLatin1(String.fromCharCode(...bytes));
      if (path === "." || path === "..") return;
      count += 1;
      const parent = `${folder.path}/${count}`;
      mkdirSync(parent);
      writeFileSync(fsPathBelow(parent, path), "x");
      expect(readdirSync(parent, { encoding: "latin1" })).toEqual([path]);
      expect(readFileSync(fsPath(joinBytePath(bytePath(parent), path)), "utf8")).toBe("x");
    }),
  );
});

test("joining to nothing adds no slash", () => {
  expect(joinBytePath(bytePath(""), bytePath("a"))).toBe("a");
  expect(joinBytePath(bytePath("a"), bytePath("b"))).toBe("a/b");
});
