/** What every driver must do. Both drivers pass it, on the real kernel. */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ContainerSpecOptions } from "../../src/runtime/container-spec.ts";
import type { Driver, RunningContainer } from "../../src/runtime/driver.ts";
import { readExitFile } from "../../src/runtime/exit-file.ts";
import { busyboxTree } from "../support/busybox-rootfs.ts";
import { buildLauncherOnce, canRunContainers, outputOf, runOnce, type Sandbox, sandbox } from "../support/container.ts";

export interface SuiteOptions {
  readonly available: boolean;
  /** `--init`: pid 1 of ours. */
  readonly init: boolean;
}

export function driverSuite(name: string, makeDriver: () => Driver, { available, init }: SuiteOptions): void {
  describe.skipIf(!available || !canRunContainers)(`driver ${name}`, () => {
    let driver: Driver;
    let box: Sandbox;
    beforeAll(() => {
      buildLauncherOnce();
      driver = makeDriver();
      box = sandbox();
    });
    afterAll(() => box[Symbol.dispose]());
    const sh = (script: string): string[] => ["/bin/sh", "-c", script];

    test.for([
      { name: "success", args: ["/bin/true"], code: 0 },
      { name: "its own exit code", args: sh("exit 37"), code: 37 },
      { name: "a name found in PATH", args: ["false"], code: 1 },
    ])("$name is the exit status", async ({ args, code }) => {
      const { status } = await runOnce(driver, box.request({ args }));
      expect(status).toMatchObject({ code, signal: undefined, oomKilled: false });
    });

    test("stdout and stderr are two streams, opened again through /dev", async () => {
      const args = sh("echo out; echo err >&2; echo more > /dev/stdout");
      expect(await runOnce(driver, box.request({ args }))).toMatchObject({ stdout: "out\nmore\n", stderr: "err\n" });
    });

    test("stdin reaches the command and its end is the end", async () => {
      const request = box.request({ args: ["cat"], stdio: { stdin: "pipe", stdout: "pipe", stderr: "null" } });
      const container = await driver.start(request);
      container.stdin?.end("hello");
      expect(await outputOf(container)).toMatchObject({ stdout: "hello" });
    });

    test("without stdin a read ends at once", async () => {
      expect(await runOnce(driver, box.request({ args: sh("cat; echo done") }))).toMatchObject({ stdout: "done\n" });
    });

    test("environment and working directory are those of the spec and no others", async () => {
      const spec = { env: ["A=1", "HOME=/", "PATH=/bin"], cwd: "/tmp" };
      const { stdout } = await runOnce(driver, box.request({ args: sh("env | sort; pwd"), spec }));
      expect(stdout.split("\n").filter((line) => !/^(PWD|SHLVL|OLDPWD)=/.test(line))).toEqual([
        "A=1",
        "HOME=/",
        "PATH=/bin",
        "/tmp",
        "",
      ]);
    });

    test("the command is pid 1 of its own namespace, under its own hostname", async () => {
      const { stdout } = await runOnce(
        driver,
        box.request({ args: sh("echo $$; hostname; ls /proc | grep -c '^[0-9]'") }),
      );
      expect(stdout).toMatch(/^1\nbox\n[1-4]\n$/);
    });

    test("the default capabilities are bounding, permitted and effective; none is inheritable or ambient", async () => {
      const { stdout } = await runOnce(driver, box.request({ args: ["grep", "^Cap", "/proc/self/status"] }));
      const mask = "00000000a80425fb";
      const none = "0000000000000000";
      expect(stdout.match(/[0-9a-f]{16}/g)).toEqual([none, mask, mask, mask, none]);
    });

    test("another user has its groups, the primary one among them, and no capabilities", async () => {
      const spec = { user: { uid: 1000, gid: 50, additionalGids: [7] } };
      const args = sh("id -u; id -g; id -G; grep -E 'CapPrm|CapEff|Groups' /proc/self/status");
      const { stdout } = await runOnce(driver, box.request({ args, spec }));
      expect(stdout).toMatch(/^1000\n50\n50 7\n/);
      expect(stdout).toMatch(/Groups:\t7 50/);
      expect(stdout.match(/[0-9a-f]{16}/g)).toEqual(["0000000000000000", "0000000000000000"]);
    });

    test("a seccomp filter is on, and denies what the profile denies", async () => {
      const args = sh("grep Seccomp: /proc/self/status; unshare -m true; mount -t tmpfs none /tmp");
      const { stdout, stderr } = await runOnce(driver, box.request({ args }));
      expect(stdout).toBe("Seccomp:\t2\n");
      expect(stderr.match(/not permitted|permission denied/gi)).toHaveLength(2);
    });

    test("device nodes can be made, but the host's devices not opened", async () => {
      const args = sh(
        "mknod /tmp/kmsg c 1 11 && head -c 1 /tmp/kmsg; mknod /tmp/null c 1 3 && echo x > /tmp/null && echo null",
      );
      const { stdout, stderr } = await runOnce(driver, box.request({ args }));
      expect(stderr).toMatch(/tmp\/kmsg: Operation not permitted/);
      expect(stdout).toBe("null\n");
    });

    test("what the command writes is in the upper directory, and nothing else", async () => {
      const request = box.request({ args: sh("echo x > /tmp/new; rm /etc/group") });
      expect((await runOnce(driver, request)).status.code).toBe(0);
      expect(readdirSync(request.upperdir).sort()).toEqual(["etc", "tmp"]);
      expect(readFileSync(join(request.upperdir, "tmp/new"), "utf8")).toBe("x\n");
    });

    test("mount points the image lacks leave no trace", async () => {
      const secret = join(box.folder, "secret");
      writeFileSync(secret, "s3cret");
      const request = box.request({
        args: sh("cat /run/secrets/key; ls /cache; touch /etc/resolv.conf"),
        spec: {
          mounts: [
            { destination: "/run/secrets/key", type: "bind", source: secret, options: ["bind", "ro"] },
            { destination: "/etc/resolv.conf", type: "bind", source: secret, options: ["bind", "rw"] },
            { destination: "/cache", type: "bind", source: box.base, options: ["rbind", "rw"] },
          ],
        },
      });
      expect((await runOnce(driver, request)).stdout).toMatch(/^s3cretbin\n/);
      expect(readdirSync(request.upperdir)).toEqual([]);
    });

    test("a later layer hides an earlier one, and equal layers do no harm", async () => {
      const layer = join(box.folder, "layer");
      mkdirSync(join(layer, "tmp"), { recursive: true });
      writeFileSync(join(layer, "tmp/a"), "upper");
      const request = box.request({ args: ["cat", "/tmp/a"], layers: [layer, layer] });
      expect((await runOnce(driver, request)).stdout).toBe("upper");
    });

    test("masked and read-only paths are so", async () => {
      const args = sh("ls /proc/acpi /sys/firmware | grep -v ':'; echo b > /proc/sys/kernel/hostname");
      const { stdout, stderr } = await runOnce(driver, box.request({ args }));
      expect(stdout.trim()).toBe("");
      expect(stderr).toMatch(/Read-only/);
    });

    test("loopback is up, and there is nothing else", async () => {
      const { stdout } = await runOnce(driver, box.request({ args: sh("ip -o link | grep -c .; ip -o addr show lo") }));
      expect(stdout).toMatch(/^1\n.*127\.0\.0\.1/);
    });

    test("a command that is not there is COMMAND_NOT_FOUND", async () => {
      await expect(driver.start(box.request({ args: ["nosuch"] }))).rejects.toMatchObject({
        code: "COMMAND_NOT_FOUND",
      });
      await expect(driver.start(box.request({ args: ["/no/such"] }))).rejects.toMatchObject({
        code: "COMMAND_NOT_FOUND",
      });
    });

    test("a command that may not be executed is COMMAND_NOT_EXECUTABLE", async () => {
      await expect(driver.start(box.request({ args: ["/etc/passwd"] }))).rejects.toMatchObject({
        code: "COMMAND_NOT_EXECUTABLE",
      });
    });

    const user = { uid: 1000, gid: 1000, additionalGids: [] };
    const ours = /CapEff:\t(\S+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    test.for<{ name: string; spec: Partial<ContainerSpecOptions>; script: string; output: RegExp }>([
      {
        name: "no_new_privs, with the filter, for a user",
        spec: { noNewPrivileges: true, user },
        script: "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status",
        output: /^NoNewPrivs:\t1\nSeccomp:\t2\n$/,
      },
      {
        name: "a read-only root with a writable tmpfs",
        spec: {
          readonlyRootfs: true,
          mounts: [
            { destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["nosuid", "size=1m", "mode=1777"] },
          ],
        },
        script: "touch /x 2>&1; touch /tmp/y && ls /tmp; df -k /tmp | tail -1 | awk '{print $2}'",
        output: /^touch: \/x: Read-only file system\ny\n1024\n$/,
      },
      {
        name: "the size of /dev/shm",
        spec: { shmSizeBytes: 3 * 1024 * 1024 },
        script: "df -k /dev/shm | tail -1 | awk '{print $2}'; stat -c %a /dev/shm",
        output: /^3072\n1777\n$/,
      },
      {
        name: "limits",
        spec: { ulimits: [{ name: "nofile", soft: 123, hard: 456 }] },
        script: "ulimit -Sn; ulimit -Hn",
        output: /^123\n456\n$/,
      },
      {
        name: "network sysctls",
        spec: { sysctl: { "net.ipv4.ip_forward": "1" } },
        script: "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/ip_unprivileged_port_start",
        output: /^1\n0\n$/,
      },
      {
        name: "the usual number of open files",
        spec: {},
        script: "ulimit -Sn; [ $(ulimit -Hn) -le 524288 ] && echo bounded",
        output: /^1024\nbounded\n$/,
      },
      { name: "the umask", spec: {}, script: "umask", output: /^0022\n$/ },
      {
        name: "oom_score_adj",
        spec: { oomScoreAdj: 321 },
        script: "cat /proc/self/oom_score_adj",
        output: /^321\n$/,
      },
      {
        name: "capabilities added and dropped",
        spec: { capAdd: ["net_admin"], capDrop: ["CAP_CHOWN"] },
        script: "grep CapEff /proc/self/status",
        output: /^CapEff:\t00000000a80435fa\n$/,
      },
      {
        name: "all capabilities dropped",
        spec: { capDrop: ["ALL"] },
        script: "grep -E 'CapBnd|CapEff' /proc/self/status",
        output: /^CapEff:\t0{16}\nCapBnd:\t0{16}\n$/,
      },
      {
        name: "privileged: all our capabilities, no filter, nothing masked",
        spec: { privileged: true },
        script:
          "grep -E 'CapEff|Seccomp:' /proc/self/status; grep -cE ' /proc/|/sys/firmware' /proc/self/mountinfo; mknod /tmp/m c 1 11 && : < /tmp/m && echo opened",
        output: new RegExp(`^CapEff:\\t${ours}\\nSeccomp:\\t0\\n0\\nopened\\n$`),
      },
      {
        name: "unconfined: no filter, the rest as ever",
        spec: { seccomp: "unconfined" },
        script: "grep -E 'CapEff|Seccomp:' /proc/self/status",
        output: /^CapEff:\t00000000a80425fb\nSeccomp:\t0\n$/,
      },
      {
        name: "a read-only bind and a writable one below it",
        spec: {
          mounts: [
            { destination: "/data", type: "bind", source: "BASE", options: ["rbind", "ro"] },
            { destination: "/data/tmp", type: "bind", source: "BASE/tmp", options: ["rbind", "rw"] },
          ],
        },
        script: "touch /data/x 2>&1; touch /data/tmp/y && rm /data/tmp/y && echo written",
        output: /^touch: \/data\/x: Read-only file system\nwritten\n$/,
      },
    ])("$name", async ({ spec, script, output }) => {
      const mounts = spec.mounts?.map((mount) => ({ ...mount, source: mount.source.replace("BASE", box.base) }));
      const request = box.request({ args: sh(script), spec: { ...spec, ...(mounts !== undefined && { mounts }) } });
      const result = await runOnce(driver, request);
      expect(result.stderr).toBe("");
      expect(result.stdout).toMatch(output);
    });

    test("a folder can be the root, and is changed in place", async () => {
      const path = join(box.folder, "plain-root");
      busyboxTree(path);
      const args = sh("echo x > /new; ls /proc/self/exe /dev/null; cat /etc/hostname");
      const mounts = [
        { destination: "/etc/hostname", type: "bind", source: join(path, "etc/group"), options: ["bind"] },
      ];
      const request = box.request({ args, rootfs: { kind: "directory", path }, spec: { mounts } });
      const { stdout, stderr } = await runOnce(driver, request);
      expect(stderr).toBe("");
      expect(stdout).toMatch(/^\/dev\/null\n\/proc\/self\/exe\nroot:/);
      expect(readFileSync(join(path, "new"), "utf8")).toBe("x\n");
    });

    test.for<{ name: string; spec: Partial<ContainerSpecOptions>; code: string; says: string }>([
      {
        name: "a sysctl of the host",
        spec: { sysctl: { "kernel.core_pattern": "x" } },
        code: "INVALID_ARGUMENT",
        says: "kernel.core_pattern",
      },
      {
        name: "a sysctl that climbs",
        spec: { sysctl: { "net.../../kernel.x": "x" } },
        code: "INVALID_ARGUMENT",
        says: "net..",
      },
      {
        name: "a network sysctl with the host's network",
        spec: { network: "host", sysctl: { "net.ipv4.ip_forward": "1" } },
        code: "INVALID_ARGUMENT",
        says: "network namespace",
      },
    ])("$name is refused", async ({ spec, code, says }) => {
      await expect(driver.start(box.request({ args: ["true"], spec }))).rejects.toMatchObject({
        code,
        message: expect.stringContaining(says),
      });
    });

    test("a limit that the kernel does not take is named, and leaves no control group", async () => {
      const cgroupsPath = `/tsbuild/test-${process.pid}-wrong`;
      const spec = { cgroupsPath, resources: { cpu: { cpus: "999999" } } };
      await expect(driver.start(box.request({ args: ["true"], spec }))).rejects.toMatchObject({
        code: "RUNTIME_FAILED",
        message: expect.stringMatching(/999999|cpuset/),
      });
      await expect.poll(() => findCgroups(cgroupsPath), { timeout: 2000 }).toEqual([]);
    });

    test("what would silently not hold is refused: a label, a user namespace, the host's name", async () => {
      const request = box.request({ args: ["true"] });
      const { spec } = request;
      const labelled = { ...spec, process: { ...spec.process, apparmorProfile: "strict" } };
      const withoutUts = spec.linux.namespaces.filter((namespace) => namespace.type !== "uts");
      const renaming = { ...spec, linux: { ...spec.linux, namespaces: withoutUts } };
      const mapped = {
        ...spec,
        linux: { ...spec.linux, namespaces: [...spec.linux.namespaces, { type: "user" } as const] },
      };
      const before = readFileSync("/proc/sys/kernel/hostname", "utf8");
      await expect(driver.start({ ...request, spec: labelled })).rejects.toMatchObject({ code: "UNSUPPORTED" });
      await expect(driver.start({ ...request, spec: mapped })).rejects.toMatchObject({ code: "UNSUPPORTED" });
      await expect(driver.start({ ...request, spec: renaming })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      expect(readFileSync("/proc/sys/kernel/hostname", "utf8")).toBe(before);
    });

    test("no signal is blocked or ignored, whatever the caller ignores", async () => {
      // Not through a shell, which ignores some itself.
      const { stdout } = await runOnce(
        driver,
        box.request({ args: ["grep", "-E", "SigBlk|SigIgn", "/proc/self/status"] }),
      );
      expect(stdout).toBe("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    });

    test("a signal ends the command, and is told", async () => {
      const container = await driver.start(box.request({ args: ["sleep", "60"] }));
      expect(container.kill(9)).toBe(true);
      expect(await container.exited).toMatchObject({ code: 137, signal: 9 });
      expect(container.kill(9)).toBe(false);
    });

    test("abort ends the command", async () => {
      const controller = new AbortController();
      const container = await driver.start(box.request({ args: ["sleep", "60"], signal: controller.signal }));
      controller.abort();
      expect(await container.exited).toMatchObject({ code: 137 });
    });

    test("nothing of the container is left in the host's mount table", async () => {
      const ours = (): string[] =>
        readFileSync("/proc/self/mountinfo", "utf8")
          .split("\n")
          .filter((line) => line.includes(box.folder));
      const container = await driver.start(box.request({ args: ["sleep", "60"] }));
      expect(ours()).toEqual([]);
      container.kill(9);
      await container.exited;
      expect(ours()).toEqual([]);
      expect(existsSync(`/proc/${container.pid}`)).toBe(false);
    });

    test("with a terminal the command has /dev/pts/0, of the size asked for, and /dev/console", async () => {
      const spec = { terminal: true, consoleSize: { height: 40, width: 132 } };
      const args = sh(
        "tty; stty size; ls -l /dev/console; read line; until stty size | grep -q '50 100'; do sleep 0.01; done; echo got $line",
      );
      const container = await driver.start(box.request({ args, spec }));
      expect(container.stdout).toBeUndefined();
      let seen = "";
      const ended = new Promise((resolve) => container.pty?.stream.on("close", resolve));
      container.pty?.stream.on("data", (chunk: Buffer) => {
        seen += chunk;
        if (!/console/.test(seen) || /answer/.test(seen)) return;
        container.pty?.resize({ rows: 50, columns: 100 });
        container.pty?.stream.write("answer\n");
        seen += "answer";
      });
      expect(await container.exited).toMatchObject({ code: 0 });
      await ended;
      expect(seen).toMatch(/^\/dev\/pts\/0\r\n40 132\r\n/);
      expect(seen).toMatch(/got answer\r\n$/);
    });

    if (init) {
      test("with init, pid 1 forwards signals and reaps orphans", async () => {
        const script = "trap 'exit 7' TERM; (sleep 0.01 &); echo $$; while :; do sleep 0.05; done";
        const container = await driver.start(box.request({ args: sh(script), init: true }));
        const first = await new Promise<string>((resolve) =>
          container.stdout?.once("data", (chunk: Buffer) => resolve(String(chunk))),
        );
        expect(Number(first)).toBeGreaterThan(1);
        container.kill(15);
        expect(await container.exited).toMatchObject({ code: 7, signal: undefined });
      });

      test("with init, a command that cannot be executed is still told", async () => {
        await expect(driver.start(box.request({ args: ["/no/such"], init: true }))).rejects.toMatchObject({
          code: "COMMAND_NOT_FOUND",
        });
      });
    } else {
      test("init is refused by name", async () => {
        await expect(driver.start(box.request({ args: ["true"], init: true }))).rejects.toMatchObject({
          code: "UNSUPPORTED",
          message: expect.stringContaining("init"),
        });
      });
    }

    test("an attached network is set up before the command starts", async () => {
      let namespace = "";
      const network = {
        kind: "attached",
        attach: async (pid: number) => {
          namespace = readlinkSync(`/proc/${pid}/ns/net`);
        },
      } as const;
      const request = box.request({ args: ["readlink", "/proc/self/ns/net"], network, spec: { network: "attached" } });
      const { stdout } = await runOnce(driver, request);
      expect(stdout.trim()).toBe(namespace);
      expect(namespace).not.toBe(readlinkSync("/proc/self/ns/net"));
    });

    test("when attaching the network fails, nothing runs and its error is thrown", async () => {
      const marker = join(box.folder, "ran");
      const attach = async (): Promise<void> => {
        throw new Error("no bridge");
      };
      const request = box.request({
        args: sh("touch /out/ran"),
        network: { kind: "attached", attach },
        spec: {
          network: "attached",
          mounts: [{ destination: "/out", type: "bind", source: box.folder, options: ["bind"] }],
        },
      });
      await expect(driver.start(request)).rejects.toThrow("no bridge");
      expect(existsSync(marker)).toBe(false);
    });

    test("host networking is the caller's", async () => {
      const request = box.request({
        args: ["readlink", "/proc/self/ns/net"],
        network: { kind: "host" },
        spec: { network: "host" },
      });
      expect((await runOnce(driver, request)).stdout.trim()).toBe(readlinkSync("/proc/self/ns/net"));
    });

    describe("exec", () => {
      let container: RunningContainer;
      let cgroupsPath: string;
      beforeAll(async () => {
        cgroupsPath = `/tsbuild/test-${process.pid}-exec`;
        container = await driver.start(box.request({ args: ["sleep", "600"], spec: { cgroupsPath } }));
      });
      afterAll(async () => {
        container.kill(9);
        await container.exited;
      });
      const exec = (args: readonly string[], more: Partial<ContainerSpecOptions> = {}, startTime?: string) => {
        const { spec } = box.request({ args, spec: more });
        return driver.exec({
          pid: container.pid,
          startTime: startTime ?? container.startTime,
          process: spec.process,
          linux: { cgroupsPath, ...(spec.linux.seccomp === undefined ? {} : { seccomp: spec.linux.seccomp }) },
          containerId: "box",
          stdio: { stdin: "null", stdout: "pipe", stderr: "pipe" },
          signal: new AbortController().signal,
        });
      };

      test("is in all namespaces and the control group of the container, with its privileges", async () => {
        const script =
          "for n in mnt pid ipc uts net cgroup; do readlink /proc/self/ns/$n; readlink /proc/1/ns/$n; done | uniq | wc -l";
        const output = await outputOf(await exec(sh(`${script}; hostname; grep -E 'CapInh|CapBnd' /proc/self/status`)));
        expect(output.stdout).toBe("6\nbox\nCapInh:\t0000000000000000\nCapBnd:\t00000000a80425fb\n");
        const groups = (pid: number | "self"): string => readFileSync(`/proc/${pid}/cgroup`, "utf8");
        const running = await exec(["sleep", "600"]);
        expect(groups(running.pid)).toBe(groups(container.pid));
        running.kill(9);
        expect(await running.exited).toMatchObject({ code: 137 });
      });

      test("has its own exit status, user and terminal", async () => {
        expect((await outputOf(await exec(sh("exit 5")))).status.code).toBe(5);
        const user = { uid: 1000, gid: 1000, additionalGids: [] };
        expect((await outputOf(await exec(["id", "-u"], { user }))).stdout).toBe("1000\n");
        const terminal = await exec(["tty"], { terminal: true });
        let seen = "";
        terminal.pty?.stream.on("data", (chunk: Buffer) => (seen += chunk));
        await Promise.all([terminal.exited, new Promise((resolve) => terminal.pty?.stream.on("close", resolve))]);
        expect(seen).toMatch(/^\/dev\/pts\/\d/);
      });

      test("has no descriptors but its three", async () => {
        const { stdout } = await outputOf(await exec(["ls", "/proc/self/fd"]));
        expect(stdout).toBe("0\n1\n2\n3\n"); // 3 is the folder that ls reads
      });

      test("of a command that is not there is COMMAND_NOT_FOUND", async () => {
        await expect(exec(["nosuch"])).rejects.toMatchObject({ code: "COMMAND_NOT_FOUND" });
      });

      test("into a process that is another by now is refused", async () => {
        await expect(exec(["/bin/true"], {}, "1")).rejects.toMatchObject({ code: "CONTAINER_STATE" });
      });
    });

    test("limits are set, and running out of memory is told", async () => {
      const cgroupsPath = `/tsbuild/test-${process.pid}-limits`;
      const spec = { cgroupsPath, resources: { memory: { limit: 16 * 1024 * 1024 }, pids: { limit: 20 } } };
      // dd keeps one block of the size in memory.
      const request = box.request({ args: ["dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"], spec });
      expect((await runOnce(driver, request)).status).toMatchObject({ code: 137, oomKilled: true });
      const forks = sh("i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done");
      expect((await runOnce(driver, box.request({ args: forks, spec }))).stderr).toMatch(/fork|resource/i);
      expect(findCgroups(cgroupsPath)).toEqual([]);
    });

    test("the next container of a group finds it, however soon it comes", async () => {
      const spec = { cgroupsPath: `/tsbuild/test-${process.pid}-again` };
      for (let round = 0; round < 40; round += 1) {
        expect((await runOnce(driver, box.request({ args: ["true"], spec }))).status).toMatchObject({ code: 0 });
      }
    });

    test("a container with a state folder outlives its owner's channel and writes its exit file", async () => {
      const stateDir = join(box.folder, "state");
      mkdirSync(stateDir);
      const script = join(box.folder, "owner.ts");
      writeFileSync(script, ownerProgram(driver.name, box.folder));
      const owner = spawnSync(process.execPath, [script], { encoding: "utf8" });
      expect(owner.stderr).toBe("");
      const pid = Number(owner.stdout);
      expect(existsSync(`/proc/${pid}`)).toBe(true);
      process.kill(pid, "SIGKILL");
      await expect
        .poll(() => readExitFile(stateDir), { timeout: 5000 })
        .toMatchObject({ code: 137, exitedAtMs: expect.any(Number) });
      await expect.poll(() => findCgroups(ownedCgroup), { timeout: 5000 }).toEqual([]);
      expect(existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`, "utf8") !== "").toBe(false);
    });

    test("the status of a command that ends at once arrives, with a state folder too", async () => {
      for (let round = 0; round < 15; round += 1) {
        const stateDir = mkdtempSync(join(box.folder, "state-"));
        const container = await driver.start(box.request({ args: sh("exit 3"), stateDir }));
        expect(await container.exited).toMatchObject({ code: 3, signal: undefined });
        expect(readExitFile(stateDir)).toMatchObject({ code: 3 });
      }
    });

    test("a container without one ends with its owner", async () => {
      const script = join(box.folder, "owner.ts");
      writeFileSync(script, ownerProgram(driver.name, undefined));
      const owner = spawnSync(process.execPath, [script], { encoding: "utf8" });
      expect(owner.stderr).toBe("");
      const pid = Number(owner.stdout);
      await expect.poll(() => existsSync(`/proc/${pid}`), { timeout: 5000 }).toBe(false);
      await expect.poll(() => findCgroups(ownedCgroup), { timeout: 5000 }).toEqual([]);
    });

    describe("hooks", () => {
      /** A program of the host that writes what it sees to the log: a line for each, and then does `then`. */
      const hookFile = (name: string, then = ""): string => {
        const file = join(box.folder, `hook-${name}`);
        const seen = "$(readlink /proc/self/ns/mnt) $(readlink /proc/self/ns/uts) $0 $* A=$A";
        const status = `sed -n 's/.*"status": *"\\([a-z]*\\)".*/\\1/p'`;
        writeFileSync(
          file,
          `#!/bin/sh\nstate=$(tr -d '\\n')\necho "${name} $(echo "$state" | ${status}) ${seen}" >>${log()}\n${then}\n`,
          { mode: 0o755 },
        );
        return file;
      };
      const log = (): string => join(box.folder, "hooks.log");
      const lines = (): readonly (readonly string[])[] => {
        const text = existsSync(log()) ? readFileSync(log(), "utf8") : "";
        rmSync(log(), { force: true });
        return text
          .split("\n")
          .filter((line) => line !== "")
          .map((line) => line.split(" "));
      };
      const own = (type: string): string => readlinkSync(`/proc/self/ns/${type}`);

      test("run in their order, each where it belongs, with words and variables of their own", async () => {
        const env = ["A=1", "PATH=/usr/bin:/bin"];
        const hooks = Object.fromEntries(
          (["prestart", "createRuntime", "createContainer", "poststart", "poststop"] as const).map((name) => [
            name,
            [{ path: hookFile(name), args: ["called", "one"], env }],
          ]),
        );
        const { status } = await runOnce(driver, box.request({ args: ["/bin/true"], spec: { hooks } }));
        expect(status.code).toBe(0);
        // A runtime may end before its container's end is dealt with.
        const seen = await expect
          .poll(() => readFileSync(log(), "utf8"), { timeout: 5000 })
          .toContain("poststop")
          .then(lines);
        const order = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
        expect(seen.map(([name]) => name).sort()).toEqual(order.toSorted());
        const [, , mountNamespace, utsNamespace, , argument, variable] =
          seen.find(([name]) => name === "createContainer") ?? [];
        expect(argument).toBe("one");
        expect(variable).toBe("A=1");
        expect(mountNamespace).not.toBe(own("mnt"));
        expect(utsNamespace).not.toBe(own("uts"));
        expect(seen.find(([name]) => name === "createRuntime")?.[3]).toBe(own("uts"));
        expect(seen.find(([name]) => name === "poststop")?.[1]).toBe("stopped");
      });

      test("of createContainer change the root file system that config.json names", async () => {
        const change =
          `bundle=$(echo "$state" | sed 's/.*"bundle": *"\\([^"]*\\)".*/\\1/')\n` +
          `root=$(tr -d '\\n' <$bundle/config.json | sed 's/.*"root": *{"path": *"\\([^"]*\\)".*/\\1/')\n` +
          `case $root in /*) ;; *) root=$bundle/$root;; esac\necho by the hook >$root/made`;
        const hooks = { createContainer: [{ path: hookFile("change", change) }] };
        const { stdout } = await runOnce(driver, box.request({ args: ["cat", "/made"], spec: { hooks } }));
        expect(stdout).toBe("by the hook\n");
        lines();
      });

      test("of startContainer are the container's own programs, with no more than its rights", async () => {
        const script = "echo $* >/told; id -u >>/told; grep CapBnd /proc/self/status >>/told";
        const hooks = {
          startContainer: [{ path: "/bin/sh", args: ["sh", "-c", script, "x", "told"], env: ["PATH=/bin"] }],
        };
        const args = sh("cat /told; grep CapBnd /proc/self/status");
        const { stdout } = await runOnce(driver, box.request({ args, spec: { hooks } }));
        const [told, uid, bounding, ofCommand] = stdout.split("\n");
        expect([told, uid]).toEqual(["told", "0"]);
        expect(bounding).toBe(ofCommand);
      });

      test("that fail, are not there or take too long keep the container from starting", async () => {
        for (const name of ["createRuntime", "createContainer"] as const) {
          const uppers: string[] = [];
          const args = sh("echo ran >/ran");
          const start = (path: string, timeout?: number) => {
            const hook = { path, ...(timeout !== undefined && { timeout }) };
            const spec = { hooks: { [name]: [hook], poststop: [{ path: hookFile("end") }] } };
            const request = box.request({ args, spec });
            uppers.push(request.upperdir);
            return driver.start(request);
          };
          await expect(start(hookFile("bad", "echo because >&2; exit 3"))).rejects.toMatchObject({
            code: "RUNTIME_FAILED",
            message: expect.stringMatching(/hook|exit(ed)?( with)? status 3/),
          });
          await expect(start("/no/such/hook")).rejects.toMatchObject({ code: "RUNTIME_FAILED" });
          await expect(start(hookFile("slow", "exec sleep 600"), 1)).rejects.toMatchObject({ code: "RUNTIME_FAILED" });
          expect(uppers.filter((folder) => existsSync(join(folder, "ran")))).toEqual([]);
        }
        lines();
      });
    });
  });
}

const ownedCgroup = `/tsbuild/test-${process.pid}-owned`;

function findCgroups(path: string): string[] {
  return readdirSync("/sys/fs/cgroup")
    .map((controller) => join("/sys/fs/cgroup", controller, path))
    .filter((folder) => existsSync(folder));
}

/** A process that starts a container, prints its pid and is killed. */
function ownerProgram(driver: string, stateFolder: string | undefined): string {
  const root = fileURLToPath(new URL("../../", import.meta.url));
  return `
    import { createDriver } from ${JSON.stringify(join(root, "src/runtime/drivers/create-driver.ts"))};
    import { sandbox } from ${JSON.stringify(join(root, "test/support/container.ts"))};
    using box = sandbox();
    const request = box.request({ args: ["sleep", "600"], spec: { cgroupsPath: ${JSON.stringify(ownedCgroup)} }${
      stateFolder === undefined ? "" : `, stateDir: ${JSON.stringify(join(stateFolder, "state"))}`
    } });
    const container = await createDriver(${JSON.stringify(driver)}).start(request);
    process.stdout.write(String(container.pid), () => {
      box[Symbol.dispose]();
      process.kill(process.pid, "SIGKILL");
    });
  `;
}
