/** What every driver must do. Both drivers pass it, on the real kernel. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Driver } from "../../src/runtime/driver.ts";
import { buildLauncherOnce, canRunContainers, outputOf, runOnce, type Sandbox, sandbox } from "../support/container.ts";

export function driverSuite(name: string, makeDriver: () => Driver, available: boolean): void {
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
      const spec = { env: ["A=1", "PATH=/bin"], cwd: "/tmp" };
      const { stdout } = await runOnce(driver, box.request({ args: sh("env | sort; pwd"), spec }));
      expect(stdout.split("\n").filter((line) => !/^(PWD|SHLVL|OLDPWD)=/.test(line))).toEqual([
        "A=1",
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
      const before = readFileSync("/proc/self/mountinfo", "utf8");
      const container = await driver.start(box.request({ args: ["sleep", "60"] }));
      expect(readFileSync("/proc/self/mountinfo", "utf8")).toBe(before);
      container.kill(9);
      await container.exited;
      expect(existsSync(`/proc/${container.pid}`)).toBe(false);
    });
  });
}
