import { execFileSync } from "node:child_process";
import {
  closeSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { TsbuildError } from "../../src/errors.ts";
import {
  copyFileData,
  deviceNumber,
  makeNode,
  rdevOf,
  renameExchange,
  renameNoReplace,
  setMtime,
  setMtimeOfOpen,
  startSyncingFileSystem,
} from "../../src/kernel/files.ts";
import { needs } from "../support/needs.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";

test("device numbers come through their packed form", () => {
  fc.assert(
    fc.property(fc.nat(0xffffffff), fc.nat(0xffffffff), (major, minor) => {
      expect(deviceNumber(rdevOf({ major, minor }))).toEqual({ major, minor });
    }),
  );
  // As glibc's makedev(259, 70000) gives.
  expect(rdevOf({ major: 259, minor: 70000 })).toBe(0x11110370n);
});

needs("root")("nodes are made with type, mode and numbers", () => {
  using folder = temporaryTestFolder("files");
  makeNode(`${folder.path}/c`, { type: "char", device: { major: 259, minor: 70000 } }, 0o600);
  makeNode(`${folder.path}/p`, { type: "fifo" }, 0o600);
  makeNode(Buffer.from(`${folder.path}/\xff`, "latin1"), { type: "file" }, 0o600);
  const stat = lstatSync(`${folder.path}/c`, { bigint: true });
  expect([stat.isCharacterDevice(), deviceNumber(stat.rdev)]).toEqual([true, { major: 259, minor: 70000 }]);
  expect(lstatSync(`${folder.path}/p`).isFIFO()).toBe(true);
  expect(() => makeNode(`${folder.path}/p`, { type: "fifo" }, 0o600)).toThrow(TsbuildError);
});

test.for([0n, 1n, 999_999_999n, 1_700_000_000_123_456_789n, -1n, -1_500_000_000n])(
  "a time of %s ns is set on the name itself",
  (ns) => {
    using folder = temporaryTestFolder("files");
    writeFileSync(`${folder.path}/f`, "");
    symlinkSync("f", `${folder.path}/l`);
    const before = statSync(`${folder.path}/f`, { bigint: true }).mtimeNs;
    setMtime(`${folder.path}/l`, ns);
    expect(lstatSync(`${folder.path}/l`, { bigint: true }).mtimeNs).toBe(ns);
    expect(statSync(`${folder.path}/f`, { bigint: true }).mtimeNs).toBe(before);
    const fd = openSync(`${folder.path}/f`, "r+");
    setMtimeOfOpen(fd, `${folder.path}/f`, ns);
    closeSync(fd);
    expect(statSync(`${folder.path}/f`, { bigint: true }).mtimeNs).toBe(ns);
  },
);

test("a rename that may not replace says no, and changes nothing", () => {
  using folder = temporaryTestFolder("files");
  const [a, b, c] = ["a", "b", "c"].map((name) => `${folder.path}/${name}`) as [string, string, string];
  writeFileSync(a, "a");
  writeFileSync(b, "b");
  expect(renameNoReplace(a, b)).toBe(false);
  expect(readFileSync(b, "utf8")).toBe("b");
  expect(renameNoReplace(a, c)).toBe(true);
  renameExchange(b, c);
  expect([readFileSync(b, "utf8"), readFileSync(c, "utf8")]).toEqual(["a", "b"]);
  expect(() => renameNoReplace(a, `${folder.path}/d`)).toThrow(/ENOENT/);
});

test.for([
  { name: "nothing", bytes: 0 },
  { name: "one byte", bytes: 1 },
  { name: "some megabytes", bytes: 5_000_003 },
])("copies $name", ({ bytes }) => {
  using folder = temporaryTestFolder("files");
  const content = Buffer.alloc(bytes, "content");
  writeFileSync(`${folder.path}/a`, content);
  const [from, to] = [openSync(`${folder.path}/a`, "r"), openSync(`${folder.path}/b`, "w")];
  expect(copyFileData(from, to)).toBe(bytes);
  closeSync(from);
  closeSync(to);
  expect(readFileSync(`${folder.path}/b`).equals(content)).toBe(true);
});

test("copies files that have no size (procfs) and files of another file system", () => {
  using folder = temporaryTestFolder("files");
  for (const source of ["/proc/self/mounts", "/proc/version"]) {
    const [from, to] = [openSync(source, "r"), openSync(`${folder.path}/b`, "w")];
    copyFileData(from, to);
    closeSync(from);
    closeSync(to);
    expect(readFileSync(`${folder.path}/b`, "utf8")).toBe(readFileSync(source, "utf8"));
  }
});

test("a copy keeps the size of a file that ends in a hole", () => {
  using folder = temporaryTestFolder("files");
  const source = openSync(`${folder.path}/a`, "w+");
  writeSync(source, "start");
  ftruncateSync(source, 3_000_000);
  closeSync(source);
  const [from, to] = [openSync(`${folder.path}/a`, "r"), openSync(`${folder.path}/b`, "w")];
  expect(copyFileData(from, to)).toBe(3_000_000);
  closeSync(from);
  closeSync(to);
  execFileSync("cmp", [`${folder.path}/a`, `${folder.path}/b`]);
});

test("a file system is synced beside other work, and a path that is not there is an error", async () => {
  using folder = temporaryTestFolder("files");
  await new Promise<void>((resolve) => startSyncingFileSystem(folder.path, resolve));
  expect(() => startSyncingFileSystem(`${folder.path}/nothing`, () => undefined)).toThrow(/ENOENT/);
});
