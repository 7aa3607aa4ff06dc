/**
 * Ways out of a container that were found elsewhere, tried here as root. Each test has a canary on the host, and says
 * which error it wants: that nothing happened is not enough. The numbers are those of the advisories.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ContainerSpecOptions } from "../../src/runtime/container-spec.ts";
import type { RunningContainer } from "../../src/runtime/driver.ts";
import { createDriver } from "../../src/runtime/drivers/create-driver.ts";
import { buildLauncherOnce, canRunContainers, outputOf, runOnce, type Sandbox, sandbox } from "../support/container.ts";
import { spawnInTerminal } from "../support/terminal.ts";

describe.skipIf(!canRunContainers)("a hostile image or command", () => {
  const driver = createDriver("native");
  let box: Sandbox;
  let canary: string;
  beforeAll(() => {
    buildLauncherOnce();
    box = sandbox();
    canary = mkdtempSync(join(tmpdir(), "tsbuild-test-canary-"));
    writeFileSync(join(canary, "file"), "untouched");
  });
  afterAll(() => {
    expect(readdirSync(canary)).toEqual(["file"]);
    expect(readFileSync(join(canary, "file"), "utf8")).toBe("untouched");
    rmSync(canary, { recursive: true });
    box[Symbol.dispose]();
  });

  const sh = (script: string): string[] => ["/bin/sh", "-c", script];
  const run = (script: string, spec: Partial<ContainerSpecOptions> = {}) =>
    runOnce(driver, box.request({ args: sh(script), spec }));
  let layers = 0;
  /** A layer above busybox; `make` fills it. */
  function layer(make: (folder: string) => void): string {
    layers += 1;
    const folder = join(box.folder, `hostile${layers}`);
    mkdirSync(folder);
    make(folder);
    return folder;
  }
  async function exec(container: RunningContainer, args: readonly string[]) {
    const { spec } = box.request({ args });
    return await outputOf(
      await driver.exec({
        pid: container.pid,
        startTime: container.startTime,
        process: spec.process,
        linux: {},
        containerId: "box",
        stdio: { stdin: "null", stdout: "pipe", stderr: "pipe" },
        signal: new AbortController().signal,
      }),
    );
  }

  test("CVE-2019-5736: the launcher cannot be reopened for writing, not even as #!/proc/self/exe", async () => {
    const launcher = readFileSync(join(import.meta.dirname, `../../dist/launcher-${process.arch}`));
    const hostile = layer((folder) => {
      mkdirSync(join(folder, "bin"));
      writeFileSync(join(folder, "bin/again"), "#!/proc/self/exe\n", { mode: 0o755 });
    });
    const script = `
      while :; do
        for p in /proc/[0-9]*; do
          case $p in /proc/1|/proc/$$) continue;; esac
          (echo x >> $p/exe) 2>/dev/null && echo opened $(readlink $p/exe)
        done
      done`;
    const container = await driver.start(box.request({ args: sh(script), layers: [hostile] }));
    for (let round = 0; round < 20; round += 1) {
      await exec(container, ["/bin/true"]);
      await exec(container, ["/bin/again"]).catch(() => undefined);
    }
    container.kill(9);
    const { stdout } = await outputOf(container);
    expect(stdout.split("\n").filter((line) => line !== "" && !/\/bin\/|busybox/.test(line))).toEqual([]);
    const after = readFileSync(join(import.meta.dirname, `../../dist/launcher-${process.arch}`));
    expect(after.equals(launcher)).toBe(true);
  });

  test("CVE-2016-9962: during exec the container finds no descriptor of the host", async () => {
    const script = `
      while :; do
        for f in /proc/[0-9]*/fd/*; do
          case $f in /proc/1/*|/proc/$$/*) continue;; esac
          to=$(readlink $f 2>/dev/null) && case $to in pipe:*|/dev/null|/proc*|'') ;; *) echo "$f -> $to";; esac
        done
      done`;
    const container = await driver.start(box.request({ args: sh(script) }));
    for (let round = 0; round < 50; round += 1) await exec(container, ["/bin/true"]);
    container.kill(9);
    expect((await outputOf(container)).stdout).toBe("");
  });

  test("CVE-2024-21626: no working directory leads out, and three descriptors are left", async () => {
    for (const fd of [3, 4, 5, 6, 7, 8, 9, 10, 200, 201, 202]) {
      for (const cwd of [`/proc/self/fd/${fd}`, `/proc/self/fd/${fd}/../../..`]) {
        await expect(driver.start(box.request({ args: ["pwd"], spec: { cwd } }))).rejects.toMatchObject({
          code: "COMMAND_NOT_EXECUTABLE",
        });
      }
    }
    expect((await run("ls /proc/self/fd")).stdout).toBe("0\n1\n2\n3\n"); // 3: the folder that ls reads
  });

  test("CVE-2021-30465: a mount's target in a shared volume, swapped for a link all the time, stays inside", async () => {
    const volume = join(box.folder, "volume");
    mkdirSync(join(volume, "target"), { recursive: true });
    const bind = (source: string, destination: string, ...more: string[]) => ({
      destination,
      type: "bind",
      source,
      options: ["rbind", ...more],
    });
    const swap = `cd /v; mkdir -p t2; while :; do mv target real; ln -s ${canary} target; rm target; mv real target; done`;
    const swapper = await driver.start(
      box.request({ args: sh(swap), spec: { mounts: [bind(volume, "/v"), bind(canary, canary, "ro")] } }),
    );
    for (let round = 0; round < 40; round += 1) {
      const mounts = [bind(volume, "/v"), bind(join(box.base, "etc"), "/v/target")];
      // It is refused, or mounted somewhere inside; never on the host's folder.
      await runOnce(driver, box.request({ args: ["true"], spec: { mounts } })).catch((error: unknown) => {
        expect(error).toMatchObject({ code: "RUNTIME_FAILED" });
      });
      expect(readdirSync(canary)).toEqual(["file"]);
    }
    swapper.kill(9);
    await swapper.exited;
  });

  test.for([
    { name: "CVE-2019-19921: /proc", path: "proc", to: "tmp/x" },
    { name: "CVE-2023-27561: /proc, out of the root", path: "proc", to: "../../../../tmp" },
    { name: "CVE-2023-28642: /sys", path: "sys", to: "/tmp" },
    { name: "CVE-2026-41579: /dev", path: "dev", to: "../../../../../tmp" },
  ])("$name as a symlink is refused by name", async ({ path, to }) => {
    const hostile = layer((folder) => symlinkSync(to, join(folder, path)));
    await expect(driver.start(box.request({ args: ["true"], layers: [hostile] }))).rejects.toMatchObject({
      code: "RUNTIME_FAILED",
      message: expect.stringMatching(new RegExp(`at /${path}: a symbolic link is in the way \\(ELOOP\\)`)),
    });
  });

  test.for(["/proc", "/proc/self", "/proc/sys", "/proc/self/attr", "/sys", "/sys/kernel", "/proc/1/../sys"])(
    "CVE-2019-16884: a volume over %s is refused",
    async (destination) => {
      for (const mount of [
        { destination, type: "bind", source: box.base, options: ["rbind"] },
        { destination, type: "tmpfs", source: "tmpfs", options: [] },
      ]) {
        await expect(driver.start(box.request({ args: ["true"], spec: { mounts: [mount] } }))).rejects.toMatchObject({
          code: "RUNTIME_FAILED",
          message: expect.stringContaining("may not cover"),
        });
      }
    },
  );

  test("CVE-2025-31133: masks are our null device, whatever the image's /dev/null is", async () => {
    const hostile = layer((folder) => {
      mkdirSync(join(folder, "dev"));
      symlinkSync("/proc/sys/kernel/core_pattern", join(folder, "dev/null"));
    });
    const before = readFileSync("/proc/sys/kernel/core_pattern", "utf8");
    const script = "for f in /proc/keys /proc/timer_list /dev/null; do stat -c '%t:%T' $f; echo x > $f; done";
    const { stdout } = await runOnce(driver, box.request({ args: sh(script), layers: [hostile] }));
    expect(new Set(stdout.trim().split("\n"))).toEqual(new Set(["1:3"]));
    expect(readFileSync("/proc/sys/kernel/core_pattern", "utf8")).toBe(before);
  });

  test("CVE-2025-52565: /dev/console is the terminal of the container, whatever the image put there", async () => {
    const hostile = layer((folder) => {
      mkdirSync(join(folder, "dev"));
      symlinkSync("/proc/sysrq-trigger", join(folder, "dev/console"));
    });
    const container = await driver.start(
      box.request({ args: sh("stat -c %t:%T /dev/console"), layers: [hostile], spec: { terminal: true } }),
    );
    let seen = "";
    container.pty?.stream.on("data", (chunk: Buffer) => {
      seen += chunk;
    });
    await Promise.all([container.exited, new Promise((resolve) => container.pty?.stream.on("close", resolve))]);
    expect(seen).toBe("88:0\r\n");
  });

  test("CVE-2025-52881: what the runtime writes to /proc goes to procfs, not to what a volume shows there", async () => {
    const shared = join(box.folder, "shared");
    mkdirSync(join(shared, "sys/net/ipv4"), { recursive: true });
    const hostile = layer((folder) => mkdirSync(join(folder, "proc/sys/net/ipv4"), { recursive: true }));
    const request = box.request({ args: sh("cat /proc/sys/net/ipv4/ping_group_range"), layers: [hostile] });
    expect((await runOnce(driver, request)).stdout).toMatch(/^0\s+2147483647\n$/);
    const mounts = [{ destination: "/proc/sys/net", type: "bind", source: shared, options: ["rbind"] }];
    await expect(driver.start(box.request({ args: ["true"], spec: { mounts } }))).rejects.toMatchObject({
      code: "RUNTIME_FAILED",
    });
  });

  test("CVE-2022-0492: no namespace can be made, and no control group mounted or written", async () => {
    const script = `
      unshare -Ur true; unshare -m true; mkdir /tmp/c; mount -t cgroup -o memory none /tmp/c
      for f in /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/cgroup.procs; do
        [ -e $f ] && (echo 0 > $f) 2>/dev/null && echo wrote $f
      done; true`;
    const { stdout, stderr } = await run(script);
    expect(stdout).toBe("");
    expect(stderr.match(/Operation not permitted|permission denied/gi)).toHaveLength(3);
  });

  test("CVE-2022-24769: the inheritable set is empty, with and without init, in exec, as a user", async () => {
    const inheritable = ["grep", "CapInh", "/proc/self/status"];
    const empty = "CapInh:\t0000000000000000\n";
    expect((await runOnce(driver, box.request({ args: inheritable }))).stdout).toBe(empty);
    expect((await runOnce(driver, box.request({ args: inheritable, init: true }))).stdout).toBe(empty);
    const user = { uid: 1000, gid: 1000, additionalGids: [] };
    expect((await runOnce(driver, box.request({ args: inheritable, spec: { user } }))).stdout).toBe(empty);
    const container = await driver.start(box.request({ args: ["sleep", "600"] }));
    expect((await exec(container, inheritable)).stdout).toBe(empty);
    container.kill(9);
    await container.exited;
  });

  test("CVE-2022-36109: a group that is denied stays denied when the gid is given up", async () => {
    const hostile = layer((folder) => {
      mkdirSync(join(folder, "data"));
      writeFileSync(join(folder, "data/file"), "secret", { mode: 0o705 });
    });
    const { spec } = box.request({
      args: sh("chown 0:50 /data/file; chmod 0705 /data/file; cat /proc/self/status | grep Groups"),
    });
    expect(spec.process.user.additionalGids).toEqual([0]);
    const user = { uid: 1000, gid: 50, additionalGids: [] };
    const prepared = box.request({ args: sh("chown 0:50 /data/file && chmod 0705 /data/file"), layers: [hostile] });
    await runOnce(driver, prepared);
    const request = box.request({ args: ["cat", "/data/file"], layers: [hostile, prepared.upperdir], spec: { user } });
    const { stdout, stderr } = await runOnce(driver, request);
    expect(stdout).toBe("");
    expect(stderr).toMatch(/Permission denied/);
  });

  test("the keyring is the container's own, and keys are masked", async () => {
    const { stdout } = await run("cat /proc/keys | wc -c");
    expect(stdout).toBe("0\n");
  });

  test.skipIf(spawnSync("gcc", ["--version"]).status !== 0)(
    "shocker, keyrings and what else the filter denies: each call by itself, with its errno (gcc)",
    async () => {
      const calls = {
        open_by_handle_at: "EPERM",
        keyctl: "EPERM",
        add_key: "EPERM",
        request_key: "EPERM",
        userfaultfd: "EPERM",
        io_uring_setup: "EPERM",
        perf_event_open: "EPERM",
        bpf: "EPERM",
        init_module: "EPERM",
        kexec_load: "EPERM",
        swapon: "EPERM",
        mount: "EPERM",
        setns: "EPERM",
        unshare: "EPERM",
        clone3: "ENOSYS",
      } as const;
      const hostile = layer((folder) => {
        const source = join(folder, "calls.c");
        const rows = Object.keys(calls).map((name) => `{"${name}", SYS_${name}}`);
        writeFileSync(
          source,
          `#define _GNU_SOURCE
           #include <errno.h>
           #include <stdio.h>
           #include <string.h>
           #include <sys/syscall.h>
           #include <unistd.h>
           int main(void) {
             static const struct { const char *name; long number; } calls[] = {${rows.join(", ")}};
             for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
               long result = syscall(calls[i].number, 0x10000000L, 0, 0, 0, 0, 0);
               printf("%s %s\\n", calls[i].name, result < 0 ? strerrorname_np(errno) : "worked");
             }
           }`,
        );
        const built = spawnSync("gcc", ["-static", "-o", join(folder, "calls"), source], { encoding: "utf8" });
        expect(built.stderr).toBe("");
      });
      const { stdout } = await runOnce(driver, box.request({ args: ["/calls"], layers: [hostile] }));
      expect(
        Object.fromEntries(
          stdout
            .trim()
            .split("\n")
            .map((line) => line.split(" ")),
        ),
      ).toEqual(calls);
    },
  );

  test("TIOCSTI: the terminal of whoever starts a container is not within reach", async () => {
    // A user's terminal: node-pty on our side, with a program in it that starts a container.
    const script = join(box.folder, "in-terminal.ts");
    const root = join(import.meta.dirname, "../..");
    writeFileSync(
      script,
      `import { createDriver } from ${JSON.stringify(join(root, "src/runtime/drivers/create-driver.ts"))};
       import { outputOf, sandbox } from ${JSON.stringify(join(root, "test/support/container.ts"))};
       using box = sandbox();
       const args = ["sh", "-c", "tty; for f in 0 1 2; do readlink /proc/self/fd/$f; done; (: < /dev/tty) 2>&1"];
       const container = await createDriver("native").start(box.request({ args }));
       console.log(JSON.stringify((await outputOf(container)).stdout));`,
    );
    const { output: seen } = await spawnInTerminal(process.execPath, [script], { cols: 400, rows: 50 }).exited;
    expect(seen).toContain("not a tty");
    expect(seen).not.toMatch(/dev\/pts|dev\/tty[0-9]/);
    expect(seen).toMatch(/\/dev\/tty: (No such device|Device not configured)/);
  });

  test("fork bombs, kill of all and stopped processes end with the container", async () => {
    const cgroupsPath = `/tsbuild/test-${process.pid}-bomb`;
    const spec = { cgroupsPath, resources: { pids: { limit: 64 } } };
    const bomb = "f() { f | f & }; f; sleep 0.3; kill -STOP -1; exit 0";
    const container = await driver.start(box.request({ args: sh(bomb), spec }));
    container.stdout?.resume();
    container.stderr?.resume();
    const timer = setTimeout(() => container.kill(9), 3000);
    await container.exited;
    clearTimeout(timer);
    const leftover = readdirSync("/proc").filter((name) => {
      try {
        return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cgroup`, "utf8").includes(cgroupsPath);
      } catch {
        return false;
      }
    });
    expect(leftover).toEqual([]);
  });
});
