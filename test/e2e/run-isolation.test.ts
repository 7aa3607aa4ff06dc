/** What a container shares with the host when it is asked to: devices, namespaces, a control group. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { cgroupFolders } from "../../src/runtime/cgroup/cgroup.ts";
import { canRunContainers } from "../support/container.ts";
import { Yard } from "./containers-support.ts";

let yard: Yard;

beforeAll(async () => {
  if (!canRunContainers) return;
  yard = new Yard();
  await yard.importBase();
});
afterEach(async () => await yard?.clear());
afterAll(async () => await yard?.[Symbol.asyncDispose]());

const quick = ["run", "--rm", "--network", "none"];

async function inside(flags: readonly string[], script: string): Promise<string> {
  return await yard.out([...quick, ...flags, "b", "sh", "-c", script]);
}

describe.skipIf(!canRunContainers)("devices", () => {
  test.for([
    {
      device: "/dev/null:/dev/v/mine",
      script: "stat -c '%F %t:%T' /dev/v/mine && echo x >/dev/v/mine",
      says: "character special file 1:3",
    },
    {
      device: "/dev/loop-control",
      script: "stat -c '%t:%T' /dev/loop-control; exec 3</dev/loop-control && echo opened",
      says: "a:ed\nopened",
    },
    { device: "/dev/kmsg:r", script: "(exec 3>/dev/kmsg) 2>/dev/null || echo 'not writable'", says: "not writable" },
    { device: "/dev/net:/dev/other", script: "ls /dev/other", says: "tun" },
  ])("--device $device", async ({ device, script, says }) => {
    if (!existsSync(device.split(":")[0] ?? "")) return;
    expect(await inside(["--device", device], script)).toBe(says);
  });

  test("--device-cgroup-rule lets a node be opened that is made inside", async () => {
    const script = "mknod /k c 10 237 && (exec 3</k) 2>/dev/null && echo opened || echo refused";
    expect(await inside([], script)).toBe("refused");
    expect(await inside(["--device-cgroup-rule", "c 10:237 r"], script)).toBe("opened");
  });

  test("a name of the Container Device Interface", async () => {
    const folder = `${yard.folder}/cdi`;
    mkdirSync(folder);
    const devices = [{ name: "a", containerEdits: { env: ["V=injected"], additionalGids: [77] } }];
    writeFileSync(`${folder}/v.json`, JSON.stringify({ cdiVersion: "0.6.0", kind: "v.com/d", devices }));
    process.env["TSBUILD_CDI_DIRS"] = folder;
    try {
      expect(await inside(["--device", "v.com/d=a"], "echo $V; id -G")).toBe("injected\n0 77");
      const missing = await yard.t([...quick, "--device", "v.com/d=b", "b", "true"]);
      expect([missing.code, missing.stderr]).toEqual([125, expect.stringContaining('"v.com/d=b" is not registered')]);
    } finally {
      delete process.env["TSBUILD_CDI_DIRS"];
    }
  });

  test("are told by inspect", async () => {
    await yard.out([
      "create",
      "--name",
      "told",
      "--device",
      "/dev/null:/dev/x:rw",
      "--pid",
      "host",
      "--uts",
      "host",
      "b",
      "true",
    ]);
    const seen = await yard.out([
      "inspect",
      "-f",
      "{{json .HostConfig.Devices}} {{.HostConfig.PidMode}} {{.HostConfig.UTSMode}}",
      "told",
    ]);
    expect(seen).toBe('[{"PathOnHost":"/dev/null","PathInContainer":"/dev/x","CgroupPermissions":"rw"}] host host');
  });
});

describe.skipIf(!canRunContainers)("namespaces", () => {
  const own = (type: string): string => readlinkSync(`/proc/self/ns/${type}`);

  test.for([
    { flags: ["--pid", "host"], type: "pid" },
    { flags: ["--ipc", "host"], type: "ipc" },
    { flags: ["--uts", "host"], type: "uts" },
    { flags: ["--cgroupns", "host"], type: "cgroup" },
  ])("$flags shares the host's", async ({ flags, type }) => {
    const look = `readlink /proc/self/ns/${type}`;
    expect(await inside(flags, look)).toBe(own(type));
    expect(await inside([], look)).not.toBe(own(type));
  });

  test("with the host's UTS it has the host's name", async () => {
    expect(await inside(["--uts", "host"], "hostname")).toBe(hostname());
  });

  test("--domainname", async () => {
    expect(await inside(["--domainname", "example.org"], "cat /proc/sys/kernel/domainname")).toBe("example.org");
  });

  test("with the host's IPC it has the host's /dev/shm", async () => {
    const name = `tsbuild-test-${process.pid}`;
    try {
      await inside(["--ipc", "host"], `echo shared >/dev/shm/${name}`);
      expect(readFileSync(`/dev/shm/${name}`, "utf8")).toBe("shared\n");
    } finally {
      spawnSync("rm", ["-f", `/dev/shm/${name}`]);
    }
  });

  test("with the host's processes it sees them, and takes its own with it", async () => {
    const mark = `4${process.pid}`;
    const seen = await inside(["--pid", "host"], `sleep ${mark} & echo $! $$; ls -d /proc/${process.pid}`);
    expect(seen).toContain(`/proc/${process.pid}`);
    expect(runningWith(`sleep ${mark}`)).toEqual([]);
  });

  test("its processes, among the host's, are its own alone", async () => {
    await yard.out(["run", "-d", "--name", "shared", "--network", "none", "--pid", "host", "b", "sleep", "1000"]);
    expect((await yard.out("top shared -o pid,args")).split("\n")).toHaveLength(2);
    await yard.out("pause shared");
    expect(await yard.out(["ps", "--format", "{{.Status}}"])).toContain("Paused");
    await yard.out("unpause shared");
    await yard.out("rm -f shared");
  });

  test("oom_score_adj is set for itself, not for the host's first process", async () => {
    const before = readFileSync("/proc/1/oom_score_adj", "utf8");
    expect(await inside(["--pid", "host", "--oom-score-adj", "123"], "cat /proc/self/oom_score_adj")).toBe("123");
    expect(readFileSync("/proc/1/oom_score_adj", "utf8")).toBe(before);
  });

  test("the processes of another container, and an error when it does not run", async () => {
    await yard.out(["run", "-d", "--name", "first", "--network", "none", "b", "sleep", "1000"]);
    expect(await inside(["--pid", "container:first"], "tr '\\0' ' ' </proc/1/cmdline")).toBe("sleep 1000 ");
    await yard.out("stop -t 0 first");
    const { code, stderr } = await yard.t([...quick, "--pid", "container:first", "b", "true"]);
    expect([code, stderr]).toEqual([125, expect.stringContaining("not running")]);
  });
});

function runningWith(command: string): readonly string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ").trim() === command;
    } catch {
      return false;
    }
  });
}

describe.skipIf(!canRunContainers)("the control group", () => {
  test("lies below --cgroup-parent, which stays", async () => {
    const parent = `/tsbuild-test-parent-${process.pid}`;
    const folder = [...new Set(cgroupFolders(parent).values())][0] ?? "";
    try {
      await yard.out([
        "run",
        "-d",
        "--name",
        "below",
        "--network",
        "none",
        "--cgroup-parent",
        parent,
        "-m",
        "64m",
        "b",
        "sleep",
        "1000",
      ]);
      const memory = cgroupFolders(parent).get("memory") ?? cgroupFolders(parent).get("") ?? "";
      expect(readdirSync(memory).filter((name) => /^[0-9a-f]{64}$/.test(name))).toHaveLength(1);
      await yard.out("pause below");
      await yard.out("unpause below");
      await yard.out("rm -f below");
      expect(readdirSync(memory).filter((name) => /^[0-9a-f]{64}$/.test(name))).toEqual([]);
    } finally {
      await yard.clear();
      for (const each of new Set([folder, ...cgroupFolders(parent).values()])) spawnSync("rmdir", [each]);
    }
  });
});

test.skipIf(!canRunContainers).for([
  { flags: ["--gpus", "all"], says: "--gpus is not supported" },
  { flags: ["--userns", "keep-id"], says: "--userns keep-id is not supported" },
  { flags: ["--ipc", "container:x"], says: "--ipc container:x is not supported" },
  { flags: ["--pid", "other"], says: "invalid PID mode" },
  { flags: ["--uts", "own"], says: "invalid UTS mode" },
  { flags: ["--uts", "host", "-h", "x"], says: "conflicting options: hostname and the UTS mode" },
  { flags: ["--cgroupns", "x"], says: "invalid CGROUP mode" },
  { flags: ["--pid", "container:x", "--restart", "always"], says: "conflicting options" },
  { flags: ["--device", "dev/null"], says: "is not an absolute path" },
  { flags: ["--device", "/dev/null:/etc/x"], says: "/etc/x is not below /dev" },
  { flags: ["--device", "/dev/null:/dev/x:rr"], says: "it must be path" },
  {
    flags: ["--device", "/dev/there-is-no-such"],
    says: 'adding custom device "/dev/there-is-no-such": no such device',
  },
  { flags: ["--device-cgroup-rule", "c 1:3"], says: "such as 'c 1:3 rwm'" },
])("$flags is refused by name", async ({ flags, says }) => {
  const { code, stderr } = await yard.t([...quick, ...flags, "b", "true"]);
  expect([code, stderr]).toEqual([125, expect.stringContaining(says)]);
  expect(yard.containers()).toEqual([]);
});
