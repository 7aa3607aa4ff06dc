import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { getXattr, listXattrs, removeXattr, setXattr } from "../../src/kernel/xattr.ts";
import { needs } from "../support/needs.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";

test("a value of any bytes comes back, is listed, and goes", () => {
  using folder = temporaryTestFolder("files");
  const file = Buffer.from(`${folder.path}/caf\xe9`, "latin1");
  writeFileSync(file, "");
  const value = Buffer.from([0, 255, 10, 0]);
  const long = Buffer.alloc(3000, "long");
  expect(setXattr(file, "user.long", long)).toBe(true);
  expect(getXattr(file, "user.long")).toEqual(long);
  expect(removeXattr(file, "user.long")).toBe(true);
  expect(getXattr(file, "user.x")).toBeUndefined();
  expect(setXattr(file, "user.x", value)).toBe(true);
  expect(setXattr(file, "user.empty", Buffer.alloc(0))).toBe(true);
  expect(getXattr(file, "user.x")).toEqual(value);
  expect(getXattr(file, "user.empty")).toEqual(Buffer.alloc(0));
  expect(listXattrs(file).toSorted()).toEqual(["user.empty", "user.x"]);
  expect(removeXattr(file, "user.x")).toBe(true);
  expect(removeXattr(file, "user.x")).toBe(false);
});

needs("root")("a symlink is not followed", () => {
  using folder = temporaryTestFolder("files");
  mkdirSync(`${folder.path}/d`);
  symlinkSync("d", `${folder.path}/l`);
  setXattr(`${folder.path}/d`, "trusted.overlay.opaque", Buffer.from("y"));
  expect(getXattr(`${folder.path}/l`, "trusted.overlay.opaque")).toBeUndefined();
});

test("where there are no such attributes, none is set or found", () => {
  expect(getXattr("/proc/version", "user.x")).toBeUndefined();
  expect(setXattr("/proc/version", "user.x", Buffer.from("1"))).toBe(false);
  expect(listXattrs("/proc/version")).toEqual([]);
});

test("a name that is not there is an error that says what was being done", () => {
  expect(() => getXattr("/nonexistent", "user.x")).toThrow("reading the attribute user.x of /nonexistent: ENOENT");
});
