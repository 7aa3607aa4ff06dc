import {
  chmodSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cPath, libc } from "../../src/kernel/libc.ts";
import { createDriver } from "../../src/runtime/drivers/create-driver.ts";
import { launcherExecutable } from "../../src/runtime/drivers/native/launcher-file.ts";
import { driverSuite } from "../conformance/driver-suite.ts";
import { canRunContainers, runOnce, type Sandbox, sandbox } from "../support/container.ts";

driverSuite("native", () => createDriver("native"), { available: true, init: true });

/** The first bytes of a 64-bit ELF program with one PT_INTERP header. */
function elf(machine: number, loader: string): Buffer {
  const bytes = Buffer.alloc(512);
  bytes.write("\x7fELF\x02\x01\x01", "latin1");
  bytes.writeUInt16LE(2, 16);
  bytes.writeUInt16LE(machine, 18);
  bytes.writeUInt32LE(1, 20);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(64, 52);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(1, 56);
  bytes.writeUInt32LE(3, 64);
  bytes.writeBigUInt64LE(256n, 72);
  bytes.writeBigUInt64LE(BigInt(loader.length + 1), 96);
  bytes.write(loader, 256);
  return bytes;
}

describe.skipIf(!canRunContainers)("the native driver", () => {
  const driver = createDriver("native");
  let box: Sandbox;
  beforeAll(() => {
    box = sandbox();
  });
  afterAll(() => box[Symbol.dispose]());

  const own = process.arch === "arm64" ? 183 : 62;
  const other = process.arch === "arm64" ? 62 : 183;
  test.for([
    {
      name: "a script without its interpreter",
      content: "#! /usr/bin/perl -w\n",
      code: "COMMAND_NOT_FOUND",
      says: "/usr/bin/perl is not",
    },
    { name: "a script without #!", content: "echo hi\n", code: "COMMAND_NOT_EXECUTABLE", says: "begins with #!" },
    {
      name: "a program without its loader",
      content: elf(own, "/lib/ld-x.so.2"),
      code: "COMMAND_NOT_FOUND",
      says: "/lib/ld-x.so.2",
    },
    {
      name: "another machine's program",
      content: elf(other, "/lib/ld-x.so.2"),
      code: "COMMAND_NOT_EXECUTABLE",
      says: "this machine is",
    },
    { name: "an empty file", content: "", code: "COMMAND_NOT_EXECUTABLE", says: "exec format error" },
  ])("says why $name is not executed, by path and through PATH", async ({ content, code, says }) => {
    const layer = join(box.folder, `layer-${says.replaceAll(/\W/g, "")}`);
    mkdirSync(join(layer, "bin"), { recursive: true });
    writeFileSync(join(layer, "bin/odd"), content);
    chmodSync(join(layer, "bin/odd"), 0o755);
    for (const command of ["/bin/odd", "odd"]) {
      await expect(driver.start(box.request({ args: [command], layers: [layer] }))).rejects.toMatchObject({
        code,
        message: expect.stringContaining(says),
      });
    }
  });

  test("a working directory that is not there is named", async () => {
    await expect(driver.start(box.request({ args: ["true"], spec: { cwd: "/no/such" } }))).rejects.toMatchObject({
      code: "COMMAND_NOT_EXECUTABLE",
      message: expect.stringMatching(/working directory \/no\/such: no such file/),
    });
  });

  test("the launcher is executed from memory that nobody can write to", () => {
    const fd = Number(launcherExecutable().split("/").at(-1));
    const GET_SEALS = 1034;
    expect(libc("fcntlNumber", fd, GET_SEALS, 0)).toBe(15); // seal, shrink, grow, write
    expect(() => writeSync(fd, "x")).toThrow(expect.objectContaining({ code: "EPERM" }));
    expect(() => ftruncateSync(fd, 0)).toThrow(expect.objectContaining({ code: "EPERM" }));
  });

  test("a limit below the number of our own descriptors holds for the command alone", async () => {
    const ulimits = [{ name: "nofile", soft: 10, hard: 10 }];
    const { stdout } = await runOnce(driver, box.request({ args: ["sh", "-c", "ulimit -n"], spec: { ulimits } }));
    expect(stdout).toBe("10\n");
  });

  test("a bind whose source is missing is named before anything is made", async () => {
    const mounts = [{ destination: "/x", type: "bind", source: "/no/such", options: ["bind"] }];
    const request = box.request({ args: ["true"], spec: { mounts } });
    await expect(driver.start(request)).rejects.toMatchObject({
      code: "RUNTIME_FAILED",
      message: "cannot mount /no/such at /x: there is no such file or folder",
    });
  });

  describe("mount points that a layer hides from the stub tree", () => {
    const bind = (destination: string) => ({ destination, type: "bind", source: box.base, options: ["rbind", "ro"] });

    test("are made behind the image's symlink, and gone afterwards with all times as they were", async () => {
      const layer = join(box.folder, "symlinked");
      mkdirSync(join(layer, "run"), { recursive: true });
      mkdirSync(join(layer, "var"));
      symlinkSync("/run", join(layer, "var/run"));
      utimesSync(join(layer, "run"), 1000, 1000);
      const args = ["sh", "-c", "ls /run/a/b; stat -c %Y /run"];
      const request = box.request({ args, layers: [layer], spec: { mounts: [bind("/var/run/a/b")] } });
      const { stdout } = await runOnce(driver, request);
      expect(stdout).toMatch(/^bin\n(.*\n)*1000\n$/);
      expect(readdirSync(join(request.upperdir, "run"))).toEqual([]);
      expect(statSync(join(request.upperdir, "run")).mtimeMs).toBe(1_000_000);
    });

    test("are made where a layer has removed the path, and stay when the command filled them", async () => {
      const layer = join(box.folder, "whiteout");
      mkdirSync(layer);
      libc("mknodat", -100, cPath(join(layer, "cache")), 0o020000, 0);
      const request = box.request({
        args: ["sh", "-c", "ls /cache/apt && touch /cache/mine"],
        layers: [layer],
        spec: { mounts: [bind("/cache/apt")] },
      });
      expect((await runOnce(driver, request)).stdout).toMatch(/^bin\n/);
      expect(readdirSync(join(request.upperdir, "cache"))).toEqual(["mine"]);
    });

    test("are not looked for through links that the command made", async () => {
      const canary = join(box.folder, "canary");
      mkdirSync(join(canary, "apt"), { recursive: true });
      const layer = join(box.folder, "hostile");
      mkdirSync(layer);
      libc("mknodat", -100, cPath(join(layer, "cache")), 0o020000, 0);
      const script = `umount /cache/apt 2>/dev/null; mv /cache /moved; ln -s ${canary} /cache; readlink /cache`;
      const request = box.request({
        args: ["sh", "-c", script],
        layers: [layer],
        spec: { mounts: [bind("/cache/apt")] },
      });
      await runOnce(driver, request);
      expect(existsSync(join(canary, "apt"))).toBe(true);
    });
  });
});
