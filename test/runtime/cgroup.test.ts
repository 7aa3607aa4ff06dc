import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { describe, expect, test } from "vitest";
import { makeCgroup } from "../../src/runtime/cgroup/cgroup.ts";
import { cgroupLayout, parseCgroupLayout } from "../../src/runtime/cgroup/detect.ts";
import { deviceFilter } from "../../src/runtime/cgroup/device-filter.ts";
import { cpuWeight, v1Limits, v2Limits } from "../../src/runtime/cgroup/limits.ts";
import { deviceRuleOps } from "../../src/runtime/drivers/native/device-rules.ts";
import { registers } from "../../src/runtime/drivers/native/registers.ts";
import { builtin, encodeProgram, stringTable, syscall, text } from "../../src/runtime/launcher-program.ts";
import { buildLauncherOnce } from "../support/container.ts";

describe("the layout", () => {
  const line = (mountPoint: string, type: string, options: string): string =>
    `31 24 0:27 / ${mountPoint} rw,nosuid shared:9 - ${type} cgroup rw,${options}`;
  test.for([
    { name: "none", text: "22 1 8:1 / / rw - ext4 /dev/sda rw", layout: { kind: "none" } },
    {
      name: "v2",
      text: line("/sys/fs/cgroup", "cgroup2", "nsdelegate"),
      layout: { kind: "v2", mountPoint: "/sys/fs/cgroup" },
    },
    {
      name: "v1, controllers mounted together, and a v2 tree beside",
      text: [
        line("/sys/fs/cgroup/cpu,cpuacct", "cgroup", "cpu,cpuacct"),
        line("/sys/fs/cgroup/systemd", "cgroup", "xattr,name=systemd"),
        line("/mnt/again\\040here", "cgroup", "cpu,cpuacct"),
        line("/sys/fs/cgroup/unified", "cgroup2", "rw"),
      ].join("\n"),
      layout: {
        kind: "v1",
        hierarchies: [
          { mountPoint: "/sys/fs/cgroup/cpu,cpuacct", controllers: ["cpu", "cpuacct"] },
          { mountPoint: "/sys/fs/cgroup/systemd", controllers: ["name=systemd"] },
        ],
        unified: "/sys/fs/cgroup/unified",
      },
    },
  ])("$name", ({ text, layout }) => expect(parseCgroupLayout(text)).toEqual(layout));
});

describe("limits", () => {
  const resources = {
    memory: { limit: 100, swap: 150, reservation: 50 },
    cpu: { shares: 1024, quota: 50_000, period: 100_000, cpus: "0-1", mems: "0" },
    pids: { limit: 7 },
  };
  const written = (files: readonly { file: string; text: string }[]): string[] =>
    files.map(({ file, text }) => `${file}=${text}`);
  test("of v1, memory before memory and swap together", () => {
    expect(written(v1Limits(resources))).toEqual([
      "memory.limit_in_bytes=100",
      "memory.memsw.limit_in_bytes=150",
      "memory.soft_limit_in_bytes=50",
      "cpu.cfs_period_us=100000",
      "cpu.cfs_quota_us=50000",
      "cpu.shares=1024",
      "cpuset.cpus=0-1",
      "cpuset.mems=0",
      "pids.max=7",
    ]);
  });
  test("of v2, swap without memory", () => {
    expect(written(v2Limits(resources))).toEqual([
      "memory.max=100",
      "memory.swap.max=50",
      "memory.low=50",
      "cpu.max=50000 100000",
      "cpu.weight=39",
      "cpuset.cpus=0-1",
      "cpuset.mems=0",
      "pids.max=7",
    ]);
  });
  test("none at all is nothing to write", () => expect([...v1Limits({}), ...v2Limits({})]).toEqual([]));
  test.for([
    [2, 1],
    [1024, 39],
    [262_144, 10_000],
    [1, 1],
    [999_999, 10_000],
  ] as const)("%i shares weigh %i", ([shares, weight]) => expect(cpuWeight(shares)).toBe(weight));
  test("device rules of v1 in their order, all devices as one letter", () => {
    const devices = [
      { allow: false, access: "rwm" },
      { allow: true, type: "c" as const, access: "m" },
      { allow: true, type: "c" as const, major: 1, minor: 3, access: "rwm" },
    ];
    expect(written(v1Limits({ devices }))).toEqual([
      "devices.deny=a",
      "devices.allow=c *:* m",
      "devices.allow=c 1:3 rwm",
    ]);
  });
});

/** Runs a device filter: `access` of 1 mknod, 2 read, 4 write; `type` 1 block, 2 character. */
function decide(filter: Buffer, device: { type: number; access: number; major: number; minor: number }): boolean {
  const context = [(device.access << 16) | device.type, device.major, device.minor];
  const registers = Array.from({ length: 11 }, () => 0);
  for (let pc = 0; pc < filter.length / 8; pc += 1) {
    const operation = filter.readUInt8(pc * 8);
    const destination = filter.readUInt8(pc * 8 + 1) & 15;
    const source = filter.readUInt8(pc * 8 + 1) >> 4;
    const offset = filter.readInt16LE(pc * 8 + 2);
    const immediate = filter.readInt32LE(pc * 8 + 4);
    const value = registers[destination] ?? 0;
    if (operation === 0x61) registers[destination] = context[offset / 4] ?? 0;
    else if (operation === 0xbf) registers[destination] = registers[source] ?? 0;
    else if (operation === 0xb7) registers[destination] = immediate;
    else if (operation === 0x57) registers[destination] = value & immediate;
    else if (operation === 0x77) registers[destination] = value >>> immediate;
    else if (operation === 0x55) pc += value !== immediate ? offset : 0;
    else if (operation === 0x15) pc += value === immediate ? offset : 0;
    else if (operation === 0x95) return registers[0] === 1;
    else throw new Error(`operation ${operation}`);
  }
  throw new Error("ran off the end");
}

describe("the device filter of v2", () => {
  const filter = deviceFilter([
    { allow: false, access: "rwm" },
    { allow: true, type: "c", access: "m" },
    { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
    { allow: true, type: "c", major: 136, access: "rw" },
    { allow: false, type: "c", major: 136, minor: 9, access: "w" },
  ]);
  test.for([
    { name: "mknod of any character device", type: 2, access: 1, major: 8, minor: 0, allowed: true },
    { name: "mknod of a block device", type: 1, access: 1, major: 8, minor: 0, allowed: false },
    { name: "reading a disk", type: 1, access: 2, major: 8, minor: 0, allowed: false },
    { name: "reading and writing null", type: 2, access: 6, major: 1, minor: 3, allowed: true },
    { name: "reading /dev/mem", type: 2, access: 2, major: 1, minor: 1, allowed: false },
    { name: "mknod and read of /dev/mem at once", type: 2, access: 3, major: 1, minor: 1, allowed: false },
    { name: "writing any terminal", type: 2, access: 4, major: 136, minor: 5, allowed: true },
    { name: "writing the one forbidden later", type: 2, access: 6, major: 136, minor: 9, allowed: false },
    { name: "reading it", type: 2, access: 2, major: 136, minor: 9, allowed: true },
  ])("$name: $allowed", ({ allowed, ...device }) => expect(decide(filter, device)).toBe(allowed));
});

const unified = ((layout) =>
  layout.kind === "v2" ? layout.mountPoint : layout.kind === "v1" ? layout.unified : undefined)(cgroupLayout());

test.skipIf(process.getuid?.() !== 0 || unified === undefined || !existsSync("/bin/busybox"))(
  "the kernel takes the filter, and a process in the group is held to it",
  async () => {
    buildLauncherOnce();
    const folder = join(unified ?? "", `tsbuild-test-${process.pid}`);
    mkdirSync(folder);
    try {
      const arch = process.arch === "arm64" ? "arm64" : "x64";
      const rules = [
        { allow: false, access: "rwm" },
        { allow: true, type: "c" as const, major: 1, minor: 3, access: "rwm" },
      ];
      const program = [
        ...deviceRuleOps(folder, rules, arch),
        syscall("openat", [-100, text(`${folder}/cgroup.procs`), 1], { into: registers.scratch, doing: "joining" }),
        syscall("write", [registers.scratch, text("0"), 1], { doing: "joining" }),
        syscall(
          "execve",
          [
            text("/bin/busybox"),
            stringTable(
              ["sh", "-c", "echo a > /dev/null && echo null; head -c 1 /dev/zero > /dev/null && echo zero"],
              "argv",
            ),
            stringTable([], "envp"),
          ],
          { doing: "executing" },
        ),
        builtin("exit", [0]),
      ];
      const launcher = join(import.meta.dirname, `../../dist/launcher-${process.arch}`);
      const blob = encodeProgram(program, arch).blob;
      const child = spawn(launcher, [], { stdio: ["ignore", "pipe", "pipe", "pipe"] });
      (child.stdio[3] as Duplex).end(blob);
      let output = "";
      let records = Buffer.alloc(0);
      (child.stdio[3] as Duplex).on("data", (chunk: Buffer) => {
        records = Buffer.concat([records, chunk]);
      });
      child.stdout?.on("data", (chunk) => {
        output += chunk;
      });
      child.stderr?.on("data", (chunk) => {
        output += chunk;
      });
      await new Promise((resolve) => child.on("close", resolve));
      expect(records.toString("hex")).toBe("");
      expect(output).toMatch(/^null\n/);
      expect(output).toMatch(/zero: Operation not permitted/);
    } finally {
      await expect.poll(() => tryRemove(folder), { timeout: 2000 }).toBe(true);
    }
  },
);

function tryRemove(folder: string): boolean {
  try {
    rmdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EBUSY") return false;
    throw error;
  }
  return true;
}

test.skipIf(process.getuid?.() !== 0 || cgroupLayout().kind !== "v1")(
  "a group that is made again while its former life still ends is not taken away under the new one",
  async () => {
    // A limit, since without one there is no group to join by writing to it.
    const spec = { cgroupsPath: `/tsbuild/test-${process.pid}-again`, resources: { pids: { limit: 100 } } };
    const first = makeCgroup(spec);
    const process1 = spawn("sleep", ["60"]);
    for (const file of first.procsFiles) writeFileSync(file, String(process1.pid));
    first.remove(); // busy: it is tried again in a moment
    const second = makeCgroup(spec);
    process1.kill("SIGKILL");
    await once(process1, "exit");
    // Longer than a try would take; a former life's removal would come in this time.
    const late = performance.now() + 100;
    await expect.poll(() => performance.now() > late).toBe(true);
    for (const folder of second.folders) expect(existsSync(folder)).toBe(true);
    second.remove();
    await expect.poll(() => second.folders.filter((folder) => existsSync(folder))).toEqual([]);
  },
);

test
  .skipIf(
    process.getuid?.() !== 0 || unified === undefined || cgroupLayout().kind !== "v1" || !existsSync("/sys/fs/bpf"),
  )
  .for([
    { name: "nothing", resources: {}, born: true },
    { name: "a limit", resources: { pids: { limit: 100 } }, born: false },
  ])("beside v1, a group that asks for $name: born in it = $born", ({ name, resources, born }) => {
  const cgroupsPath = `/tsbuild/test-${process.pid}-${name.replaceAll(" ", "-")}`;
  const group = makeCgroup({ cgroupsPath, resources });
  try {
    expect(group.bornIn).toBe(born ? `${unified}${cgroupsPath}` : undefined);
    expect(group.procsFiles.length === 0).toBe(born);
    expect(group.guardsDevices).toBe(true);
  } finally {
    group.remove();
  }
});
