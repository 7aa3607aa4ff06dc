/** `tsbuild run` as a user meets it: exit codes, streams, what is seen from inside, and what is left over. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect } from "vitest";
import { needs } from "../support/needs.ts";
import { program, startTsbuild } from "../support/tsbuild.ts";
import { until, type Yard, yard } from "./containers-support.ts";

const test = needs("root", "busybox-static");
let place: Yard;
beforeAll(async () => {
  place = await yard();
});
afterEach(async () => await place?.clear());
afterAll(async () => await place?.[Symbol.asyncDispose]());

const quick = ["run", "--rm", "--network", "none"] as const;
const inside = async (flags: readonly string[], script: string): Promise<string> =>
  await place.out([...quick, ...flags, "b", "sh", "-c", script]);

describe("exit codes", () => {
  test.for([
    { name: "the process's own", words: ["sh", "-c", "exit 3"], code: 3, stderr: "" },
    { name: "0", words: ["true"], code: 0, stderr: "" },
    { name: "128 and the signal", words: ["sh", "-c", "(sleep 9 & kill -9 $!; wait $!)"], code: 137, stderr: "" },
    {
      name: "127 for a command that is not there",
      words: ["nope"],
      code: 127,
      stderr: 'exec: "nope": executable file not found in $PATH',
    },
    {
      name: "127 for a path that is not there",
      words: ["/no/pe"],
      code: 127,
      stderr: 'exec: "/no/pe": no such file or directory',
    },
    { name: "126 for a folder", words: ["/etc"], code: 126, stderr: 'exec: "/etc": is a directory' },
    {
      name: "126 for a file without x",
      words: ["/etc/passwd"],
      code: 126,
      stderr: 'exec: "/etc/passwd": permission denied',
    },
  ])("$name", async ({ words, code, stderr }) => {
    const result = await place.t([...quick, "b", ...words]);
    expect(result).toMatchObject({ code, stdout: "", stderr: expect.stringContaining(stderr) });
  });

  test.for([
    { name: "an unknown flag", words: "run --fo b", stderr: "unknown flag: --fo" },
    { name: "a flag that docker has and we do not", words: "run -p 80:80 b", stderr: "--publish is not supported" },
    {
      name: "an unknown user",
      words: "run --rm --network none -u eve b true",
      stderr: "unable to find user eve: no matching entries in passwd file",
    },
    {
      name: "a relative working directory",
      words: "run --rm -w x b true",
      stderr: "the working directory 'x' is invalid",
    },
    { name: "an image without a command", words: "run --rm nothing", stderr: "no command specified" },
    {
      name: "a bind whose source is missing",
      words: "run --rm --mount type=bind,src=/no/such,dst=/x b true",
      stderr: "bind source path does not exist: /no/such",
    },
    {
      name: "a volume with a path's name",
      words: "run --rm -v a/b:/x b true",
      stderr: "includes invalid characters for a local volume name",
    },
    {
      name: "a mount over /proc",
      words: "run --rm -v /tmp:/proc/sys b true",
      stderr: "covers what the kernel shows there",
    },
    {
      name: "--rm with --restart",
      words: "run --rm --restart always b true",
      stderr: "conflicting options: cannot specify both --restart and --rm",
    },
    {
      name: "-d with -a",
      words: "run -d -a stdout b true",
      stderr: "conflicting options: cannot specify both --attach and --detach",
    },
    {
      name: "a line of an --env-file that is no variable",
      words: "run --rm --env-file bad-env b true",
      stderr: "poorly formatted environment: variable 'not this' contains whitespaces",
    },
    {
      name: "a line of an --env-file without a name",
      words: "run --rm --env-file nameless-env b true",
      stderr: "poorly formatted environment: no variable name on line '=x'",
    },
    { name: "an unknown mount option", words: "run --mount foo=1 b", stderr: "unknown option 'foo' in 'foo=1'" },
    { name: "an unknown capability", words: "run --rm --cap-add FOO b true", stderr: "FOO" },
    { name: "more processors than there are", words: "run --cpus 999 b true", stderr: "range of CPUs is from 0.01 to" },
    { name: "-t without a terminal", words: "run --rm -it b true", stderr: "because stdin is not a terminal" },
    {
      name: "--pull=never of what is not there",
      words: "run --pull never nosuch true",
      stderr: "No such image: nosuch",
    },
  ])("125 for $name, and nothing is left", async ({ words, stderr }) => {
    const before = place.containers();
    writeFileSync(`${place.folder}/bad-env`, "A=1\nnot this=1\n");
    writeFileSync(`${place.folder}/nameless-env`, "=x\n");
    if (words.endsWith("nothing")) await place.build("FROM scratch⏎COPY a /", { a: "" }, ["-t", "nothing"]);
    const result = await place.t(words);
    expect(result.stderr).toContain(stderr);
    expect(result).toMatchObject({ code: 125, stdout: "" });
    expect(place.containers()).toEqual(before);
  });

  test("who is not root is told so before anything is pulled", () => {
    const nobody = { uid: 65534, gid: 65534 };
    // Where the program is, nobody may not read it.
    const copied = mkdtempSync("/tmp/tsbuild-test-nobody-");
    chmodSync(copied, 0o755);
    cpSync(dirname(program), copied, { recursive: true });
    try {
      const words = [`${copied}/tsbuild.cjs`, "run", "--rm", "localhost:1/nosuch", "true"];
      const environment = { PATH: process.env["PATH"], HOME: copied, TSBUILD_ROOT: undefined };
      const { status, stderr } = spawnSync(process.execPath, words, {
        ...nobody,
        cwd: "/",
        env: environment,
        encoding: "utf8",
      });
      expect({ status, stderr }).toEqual({
        status: 125,
        stderr: "error: running containers needs root for now\n   hint: run it with sudo\n",
      });
    } finally {
      rmSync(copied, { recursive: true });
    }
  });

  test("an image that is not here is pulled, and 125 when that fails", async () => {
    const result = await place.t("run --rm localhost:1/nosuch true");
    expect(result.code).toBe(125);
    expect(result.stderr).toContain("Unable to find image 'localhost:1/nosuch:latest' locally");
  });
});

describe("streams", () => {
  test("stdout and stderr stay apart, and all of it arrives", async () => {
    const script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo done >&2";
    const { stdout, stderr } = await place.t([...quick, "b", "sh", "-c", script]);
    expect(stdout.split("\n").length).toBe(20_001);
    expect(stderr).toBe("done\n");
  });

  test("-i gives it our input, and its end", async () => {
    expect(await place.out([...quick, "-i", "b", "cat"], "hi\n")).toBe("hi");
  });

  test("a megabyte goes in and out", async () => {
    const data = Buffer.alloc(1 << 20, "0123456789abcdef");
    const { stdout } = await place.t([...quick, "-i", "b", "md5sum"], data);
    expect(stdout).toBe(`${createHash("md5").update(data).digest("hex")}  -\n`);
  });

  test("without -i its input is empty", async () => {
    expect(await place.out([...quick, "b", "cat"], "not for it\n")).toBe("");
  });

  test("-a stdout leaves stderr out", async () => {
    const result = await place.t([...quick, "-a", "stdout", "b", "sh", "-c", "echo a; echo b >&2"]);
    expect(result).toEqual({ code: 0, stdout: "a\n", stderr: "" });
  });

  test("/dev/stdout and /dev/stderr can be opened, also by a user", async () => {
    expect(await inside(["-u", "bob"], "echo x > /dev/stdout")).toBe("x");
  });

  test("a reader that goes away ends it quietly", async () => {
    const child = startTsbuild([...quick, "b", "yes"], { env: { TSBUILD_ROOT: place.root } });
    await new Promise((resolve) => child.stdout?.once("data", resolve));
    child.stdout?.destroy();
    const code = await new Promise((resolve) => child.once("exit", resolve));
    expect(code).toBe(141);
    await until(() => place.containers().length === 0);
  });
});

describe("what it sees", () => {
  test("its environment: defaults, the image's, files, the caller's", async () => {
    writeFileSync(`${place.folder}/env`, "# comment\nF=from file\nA=file\nE='quoted'\nINHERITED\nABSENT\n");
    const words = [...quick, "-e", "A=1", "-e", "B", "--env-file", "env", "b", "env"];
    const { stdout } = await place.tsbuild(words);
    const names = stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.split("=")[0]);
    expect(names.slice(0, 2)).toEqual(["PATH", "HOSTNAME"]);
    expect(stdout).toContain("\nA=1\n");
    expect(stdout).toContain("\nF=from file\n");
    expect(stdout).toContain("\nE='quoted'\n");
    expect(stdout).toContain("\nHOME=/root\n");
    expect(names).not.toContain("B");
    expect(names).not.toContain("ABSENT");
    expect(names).not.toContain("TSBUILD_ROOT");
  });

  test("--env-file is ours, and not Node's flag of the same name", () => {
    const { error, status, stderr } = spawnSync(program, ["run", "--env-file", "/no/such", "b", "env"], {
      env: { ...process.env, TSBUILD_ROOT: place.root },
      encoding: "utf8",
    });
    expect({ error, status, stderr }).toEqual({
      error: undefined,
      status: 125,
      stderr: "error: open /no/such: no such file or directory\n",
    });
  });

  test.for([
    { flags: ["-u", "1000:1000"], script: "id", seen: /^uid=1000\(bob\) gid=1000\(bob\)/ },
    { flags: ["-u", "bob"], script: "id; echo $HOME", seen: /groups=.*50\(staff\).*\n\/home\/bob$/ },
    { flags: ["--group-add", "staff"], script: "id -G", seen: /^0 50$/ },
    { flags: ["-w", "/a/b"], script: "pwd", seen: /^\/a\/b$/ },
    { flags: ["-h", "h1"], script: "hostname; cat /etc/hostname", seen: /^h1\nh1$/ },
    { flags: ["--read-only"], script: "touch /x 2>&1 || true", seen: /Read-only file system/ },
    {
      flags: ["--tmpfs", "/t:size=1m,mode=1777"],
      script: "grep ' /t ' /proc/mounts",
      seen: /^tmpfs \/t tmpfs .*nosuid.*size=1024k/,
    },
    { flags: ["--tmpfs", "/root", "--tmpfs", "/new"], script: "stat -c %a /root /new", seen: /^755\n1777$/ },
    { flags: ["--ulimit", "nofile=64:64"], script: "ulimit -n", seen: /^64$/ },
    {
      flags: ["--init"],
      script: "readlink /proc/1/exe; cat /proc/self/stat | cut -d' ' -f4; echo $$",
      seen: /\n[2-9]$/,
    },
    { flags: ["--add-host", "Db:10.0.0.5"], script: "cat /etc/hosts", seen: /\n10\.0\.0\.5\tdb\n?/ },
    {
      flags: ["--dns", "10.1.1.1", "--dns-search", "x.y"],
      script: "cat /etc/resolv.conf",
      seen: /^nameserver 10\.1\.1\.1\nsearch x\.y$/,
    },
    { flags: ["--shm-size", "8m"], script: "grep ' /dev/shm ' /proc/mounts", seen: /size=8192k/ },
    { flags: ["--cap-drop", "ALL"], script: "grep CapEff /proc/self/status", seen: /0000000000000000$/ },
    { flags: ["--cap-add", "SYS_ADMIN"], script: "grep CapEff /proc/self/status", seen: /00000000a82425fb$/ },
    { flags: ["--privileged"], script: "ls /dev", seen: /kmsg/ },
    { flags: ["--security-opt", "no-new-privileges"], script: "grep NoNewPrivs /proc/self/status", seen: /1$/ },
    { flags: ["--entrypoint", "echo"], script: "x", seen: /^-c x$/, plain: true },
    { flags: ["--sysctl", "net.ipv4.ip_forward=1"], script: "cat /proc/sys/net/ipv4/ip_forward", seen: /^1$/ },
    { flags: [], script: "ls /sys/class/net", seen: /^lo$/ },
    { flags: [], script: "grep Seccomp: /proc/self/status", seen: /2$/ },
    { flags: [], script: "cat /proc/1/cmdline | tr '\\0' ' '", seen: /cat/ },
  ])("$flags: $script", async ({ flags, script, seen, plain }) => {
    const words = plain === true ? [...quick, ...flags, "b", "-c", "x"] : [...quick, ...flags, "b", "sh", "-c", script];
    expect(await place.out(words)).toMatch(seen);
  });

  test("its short ID is its name on the network, unless it has the host's", async () => {
    expect(await inside([], "hostname")).toMatch(/^[0-9a-f]{12}$/);
    const { stdout } = await place.t(["run", "--rm", "--network", "host", "b", "hostname"]);
    expect(stdout.trim()).toBe(readFileSync("/proc/sys/kernel/hostname", "utf8").trim());
  });

  test("a memory limit ends what exceeds it, with 137", async () => {
    const { code } = await place.t([...quick, "-m", "32m", "b", "sh", "-c", "tail /dev/zero"]);
    expect(code).toBe(137);
  });

  test("a pids limit holds", async () => {
    const { stderr } = await place.t([
      ...quick,
      "--pids-limit",
      "5",
      "b",
      "sh",
      "-c",
      "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done",
    ]);
    expect(stderr).toMatch(/can't fork|Resource temporarily unavailable/);
  });
});

describe("volumes", () => {
  test("a read-only bind cannot be written", async () => {
    mkdirSync(`${place.folder}/ro`);
    const result = await place.t([...quick, "-v", "./ro:/x:ro", "b", "touch", "/x/y"]);
    expect(result).toMatchObject({ code: 1, stderr: expect.stringContaining("Read-only file system") });
    expect(existsSync(`${place.folder}/ro/y`)).toBe(false);
  });

  test("-v makes a missing folder of the host", async () => {
    await inside(["-v", `${place.folder}/made:/x`], "echo 1 > /x/a");
    expect(readFileSync(`${place.folder}/made/a`, "utf8")).toBe("1\n");
  });

  test("a named volume keeps what one container wrote for the next", async () => {
    await inside(["-v", "vol:/v"], "echo 1 > /v/a");
    expect(await inside(["-v", "vol:/v"], "cat /v/a")).toBe("1");
  });

  test("an empty volume is filled with what the image has there, owners and modes kept", async () => {
    await place.build(
      "FROM b⏎RUN mkdir -p /data/sub && echo x > /data/f && chown 1000:50 /data /data/f && chmod 2770 /data && ln -s f /data/l⏎VOLUME /data",
      {},
      ["-t", "filled"],
    );
    const seen = await place.out([
      ...quick,
      "-v",
      "named:/data",
      "filled",
      "sh",
      "-c",
      "stat -c '%a %u:%g %N' /data /data/f /data/l",
    ]);
    expect(seen).toBe("2770 1000:50 /data\n644 1000:50 /data/f\n777 0:50 '/data/l' -> 'f'");
    expect(await place.out([...quick, "-v", "named2:/data:nocopy", "filled", "ls", "/data"])).toBe("");
  });

  test("an image's VOLUME is a volume of the container's own, and goes with it", async () => {
    const id = await place.out("run -d --network none filled sleep 100");
    const name = await place.out(["inspect", "-f", "{{(index .Mounts 0).Name}}", id]);
    expect(existsSync(`${place.root}/volumes/${name}/_data/f`)).toBe(true);
    await place.out(`rm -f -v ${id}`);
    expect(existsSync(`${place.root}/volumes/${name}`)).toBe(false);
  });

  test("--volumes-from shares them", async () => {
    const id = await place.out(
      "run -d --network none -v shared:/s b sh -c".split(" ").concat("echo 7 > /s/a; sleep 100"),
    );
    await until(async () => (await place.t(["exec", id, "cat", "/s/a"])).code === 0);
    expect(await inside(["--volumes-from", id], "cat /s/a")).toBe("7");
    const denied = await place.t([...quick, "--volumes-from", `${id}:ro`, "b", "touch", "/s/b"]);
    expect(denied.stderr).toContain("Read-only");
    await place.out(`rm -f ${id}`);
  });
});

describe("hostile images", () => {
  test.for([
    { name: "a FIFO as passwd", script: "rm /etc/passwd; mkfifo /etc/passwd" },
    { name: "passwd a symlink to /dev/zero", script: "ln -sf /dev/zero /etc/passwd" },
    { name: "passwd a symlink out of the root", script: "ln -sf ../../../../../../etc/passwd /etc/passwd" },
    { name: "a line of 12 MB in passwd", script: "head -c 12000000 /dev/zero | tr '\\0' a > /etc/passwd" },
  ])("$name: a name is not found, a number works", async ({ script }) => {
    await place.build(`FROM b⏎RUN ${script}`, {}, ["-t", "hostile"]);
    const named = await place.t([...quick, "-u", "daemon", "hostile", "true"]);
    expect(named).toMatchObject({
      code: 125,
      stderr: expect.stringMatching(/unable to find user daemon|larger than 10 MiB/),
    });
    if (!script.startsWith("head")) expect((await place.t([...quick, "-u", "7", "hostile", "true"])).code).toBe(0);
  });

  test("a name of digits in passwd is not a number's name", async () => {
    await place.build("FROM b⏎RUN echo '1000:x:0:0::/root:/bin/sh' > /etc/passwd", {}, ["-t", "digits"]);
    expect(await place.out([...quick, "-u", "1000", "digits", "sh", "-c", "id -u; id -g"])).toBe("1000\n0");
  });

  test.for(["/proc/self/fd/3", "/proc/self/fd/7", "/proc/1/root/../etc"])(
    "no folder of ours is reached by -w %s",
    async (path) => {
      const result = await place.t([...quick, "-w", path, "b", "ls", "../../../../../.."]);
      if (result.code === 0) expect(result.stdout).toContain("bin");
      else expect(result.code).toBe(126);
      expect(result.stdout).not.toContain("work");
    },
  );

  test("/proc, /sys and /dev as symlinks are refused", async () => {
    for (const name of ["proc", "sys", "dev"]) {
      await place.build(`FROM scratch⏎COPY --from=b /bin /bin⏎COPY links/ /`, { [`links/${name} -> /tmp`]: "" }, [
        "-t",
        `link-${name}`,
      ]);
      const result = await place.t([...quick, `link-${name}`, "true"]);
      expect(result.code).toBe(125);
      expect(result.stderr).toMatch(/symbolic link|ELOOP/);
    }
  });
});

describe("names and files", () => {
  test("--cidfile has its ID, and must not exist before", async () => {
    const id = await place.out(`run -d --network none --cidfile ${place.folder}/cid b sleep 100`);
    expect(readFileSync(`${place.folder}/cid`, "utf8")).toBe(id);
    const again = await place.t(`run -d --network none --cidfile ${place.folder}/cid b sleep 100`);
    expect(again).toMatchObject({
      code: 125,
      stderr: expect.stringContaining("container ID file found, make sure the other container isn't running or delete"),
    });
    await place.out(`rm -f ${id}`);
  });

  test("signals go to the process", async () => {
    const script = "trap 'echo got; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    const child = startTsbuild([...quick, "b", "sh", "-c", script], { env: { TSBUILD_ROOT: place.root } });
    let seen = "";
    child.stdout?.on("data", (data) => {
      seen += data;
      if (String(seen) === "ready\n") child.kill("SIGTERM");
    });
    const code = await new Promise((resolve) => child.once("close", resolve));
    expect({ code, seen }).toEqual({ code: 5, seen: "ready\ngot\n" });
  });

  test("a container in the foreground is seen by the other commands as well", async () => {
    const child = startTsbuild(
      ["run", "--rm", "--name", "fore", "--network", "none", "b", "sh", "-c", "echo hi; sleep 100"],
      {
        env: { TSBUILD_ROOT: place.root },
      },
    );
    await new Promise((resolve) => child.stdout?.once("data", resolve));
    const exited = new Promise((resolve) => child.once("close", resolve));
    expect(await place.out(["ps", "--format", "{{.Names}} {{.State}}"])).toContain("fore running");
    expect(await place.out("logs fore")).toBe("hi");
    expect(await place.out("exec fore echo in")).toBe("in");
    expect(await place.out("stop -t 0 fore")).toBe("fore");
    expect(await exited).toBe(137);
    expect(place.containers()).toEqual([]);
  });
});
