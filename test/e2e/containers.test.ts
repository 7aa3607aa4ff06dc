/** Containers after `run -d`: their life, their output, and the truth about them when a monitor is killed. */
import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect } from "vitest";
import { needs } from "../support/needs.ts";
import { startTsbuild } from "../support/tsbuild.ts";
import { until, type Yard, yard } from "./containers-support.ts";

const test = needs("root", "busybox-static");
let place: Yard;
beforeAll(async () => {
  place = await yard();
});
afterEach(async () => await place?.clear());
afterAll(async () => await place?.[Symbol.asyncDispose]());

const detached = async (name: string, script: string, flags: readonly string[] = []): Promise<string> =>
  await place.out(["run", "-d", "--name", name, "--network", "none", ...flags, "b", "sh", "-c", script]);
const state = async (name: string): Promise<string> =>
  await place.out(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name]);
const forever = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";
const ready = async (name: string): Promise<void> =>
  await until(async () => (await place.t(`logs ${name}`)).stdout !== "");

describe("life", () => {
  test("run -d prints the ID and leaves it running; ps shows it", async () => {
    const id = await detached("first", "sleep 999");
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect(await place.out("ps -q")).toBe(id.slice(0, 12));
    const [, row] = (await place.out("ps")).split("\n");
    expect(row).toMatch(/^[0-9a-f]{12} {3}b {9}"sh -c sleep 999" .* Up .* first$/);
    const again = await place.t("run -d --name first b true");
    expect(again).toMatchObject({
      code: 125,
      stderr: expect.stringContaining(`Conflict. The container name "/first" is already in use by container "${id}"`),
    });
    await place.out("rm -f first");
  });

  test("create, start, stop, start again, restart, kill, wait, rm", async () => {
    const id = await place.out(["create", "--name", "cycle", "--network", "none", "b", "sh", "-c", forever]);
    expect(await state("cycle")).toBe("created 0");
    expect(await place.out("start cycle")).toBe("cycle");
    await ready("cycle");
    expect(await place.out("stop cycle")).toBe("cycle");
    expect(await state("cycle")).toBe("exited 7");
    expect(await place.out("stop cycle")).toBe("cycle");
    expect(await place.out(`start ${id.slice(0, 5)}`)).toBe(id.slice(0, 5));
    expect(await place.out("restart -t 0 cycle")).toBe("cycle");
    expect(await state("cycle")).toBe("running 0");
    const waiting = place.out("wait cycle");
    expect(await place.out("kill cycle")).toBe("cycle");
    expect(await waiting).toBe("137");
    expect(await place.out("wait cycle")).toBe("137");
    expect(await place.out("rm cycle")).toBe("cycle");
    expect(await place.out("ps -aq")).toBe("");
  });

  test("kill -s sends that signal; one that does not run cannot be killed", async () => {
    await detached("hup", "trap 'echo hup' HUP; trap 'exit 3' USR1; echo ready; while :; do sleep 0.05; done");
    await ready("hup");
    await place.out("kill -s HUP hup");
    await until(async () => (await place.out("logs hup")).includes("hup"));
    await place.out("kill -s SIGUSR1 hup");
    expect(await place.out("wait hup")).toBe("3");
    expect(await place.t("kill hup")).toMatchObject({ code: 1, stderr: expect.stringContaining("is not running") });
    expect(await place.t("kill -s FOO hup")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("invalid signal: FOO"),
    });
    await place.out("rm hup");
  });

  test("stop waits as long as it is told, then kills", async () => {
    await detached("deaf", "trap '' TERM; echo ready; while :; do sleep 0.05; done");
    await ready("deaf");
    const start = performance.now();
    await place.out("stop -t 1 deaf");
    expect(performance.now() - start).toBeGreaterThan(1000);
    expect(await state("deaf")).toBe("exited 137");
    await place.out("rm deaf");
  });

  test("--stop-signal is what stop sends", async () => {
    await detached("own", "trap 'exit 4' USR2; echo ready; while :; do sleep 0.05; done", ["--stop-signal", "USR2"]);
    await ready("own");
    await place.out("stop own");
    expect(await state("own")).toBe("exited 4");
    await place.out("rm own");
  });

  test("a running one is removed by force only; an absent one is no error then", async () => {
    await detached("up", "sleep 999");
    expect(await place.t("rm up")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("container is running: stop the container before removing or force remove"),
    });
    expect(await place.t("rm -f up nosuch")).toEqual({
      code: 0,
      stdout: "up\n",
      stderr: "warning: No such container: nosuch\n",
    });
    expect(await place.t("rm nosuch")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("No such container: nosuch"),
    });
  });

  test("several names: what works is printed, what fails is said, 1", async () => {
    await detached("one", "sleep 999");
    const result = await place.t("stop -t 0 nosuch one");
    expect(result).toMatchObject({
      code: 1,
      stdout: "one\n",
      stderr: expect.stringContaining("No such container: nosuch"),
    });
    await place.out("rm one");
  });

  test("rename; the old name is free again", async () => {
    await detached("before", "sleep 999");
    await place.out("rename before after");
    expect(await place.out(["inspect", "-f", "{{.Name}}", "after"])).toBe("/after");
    await detached("before", "true");
    expect(await place.t("rename after before")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("already in use"),
    });
    await place.out("rm -f before after");
  });

  test("pause, unpause", async () => {
    await detached("still", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done");
    await ready("still");
    await place.out("pause still");
    const before = await place.out("logs still");
    expect(await place.out(["ps", "--format", "{{.State}} {{.Status}}"])).toMatch(/^paused Up .* \(Paused\)$/);
    expect(await place.t("exec still true")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("is paused, unpause"),
    });
    expect(await place.t("pause still")).toMatchObject({ code: 1, stderr: expect.stringContaining("already paused") });
    expect(await place.out("logs still")).toBe(before);
    await place.out("unpause still");
    await until(async () => (await place.out("logs still")) !== before);
    await place.out("pause still");
    await place.out("stop -t 1 still");
    await place.out("rm still");
  });

  test("--rm of a detached one removes it when it ends", async () => {
    await detached("fleeting", "exit 0", ["--rm"]);
    await until(async () => !(await place.out("ps -a")).includes("fleeting"));
  });

  test("a command that cannot be executed leaves a created container, with the code and why", async () => {
    const result = await place.t("run -d --name bad --network none b nope");
    expect(result).toMatchObject({
      code: 127,
      stdout: "",
      stderr: expect.stringContaining("executable file not found"),
    });
    expect(await place.out(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}", "bad"])).toMatch(
      /^created 127 .*not found/,
    );
    await place.out("rm bad");
  });
});

describe("restart policies", () => {
  test("on-failure:2 starts it twice more", async () => {
    await detached("failing", "echo x; exit 3", ["--restart", "on-failure:2"]);
    await until(async () => (await state("failing")) === "exited 3");
    expect(await place.out("logs failing")).toBe("x\nx\nx");
    expect(await place.out(["inspect", "-f", "{{.RestartCount}}", "failing"])).toBe("2");
    await place.out("rm failing");
  });

  test("always goes on, until it is stopped", async () => {
    await detached("eternal", "echo x; exit 0", ["--restart", "always"]);
    await until(async () => (await place.out("logs eternal")).split("\n").length >= 3);
    expect(await state("eternal")).toMatch(/^(running|restarting) /);
    await place.out("stop -t 0 eternal");
    expect(await state("eternal")).toMatch(/^exited /);
    await place.out("rm eternal");
  });
});

describe("exec", () => {
  test("user, directory, environment, exit codes", async () => {
    await detached("host", "sleep 999", ["-e", "A=container", "-w", "/tmp"]);
    expect(await place.out("exec host id -u")).toBe("0");
    expect(await place.out("exec host pwd")).toBe("/tmp");
    const words = ["exec", "-u", "bob", "-w", "/etc", "-e", "B=2", "host", "sh", "-c", "id -un; pwd; echo $A $B $HOME"];
    expect(await place.out(words)).toBe("bob\n/etc\ncontainer 2 /home/bob");
    expect((await place.t("exec host nope")).code).toBe(127);
    expect((await place.t(["exec", "host", "sh", "-c", "exit 9"])).code).toBe(9);
    expect(await place.out("exec -i host cat", "typed")).toBe("typed");
    expect(await place.t("exec host sh -c".split(" ").concat("echo a; echo b >&2"))).toEqual({
      code: 0,
      stdout: "a\n",
      stderr: "b\n",
    });
    expect(await place.t("exec nosuch true")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("No such container"),
    });
    await place.out(["exec", "-d", "host", "sh", "-c", "sleep 0.3; touch /tmp/left"]);
    await until(async () => (await place.t("exec host ls /tmp/left")).code === 0);
    await place.out("stop -t 0 host");
    expect(await place.t("exec host true")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("is not running"),
    });
    await place.out("rm host");
  });
});

describe("output", () => {
  test("logs: both streams, tail, timestamps, since", async () => {
    await detached("talker", "for i in 1 2 3 4; do echo $i; done; echo err >&2");
    await place.out("wait talker");
    expect(await place.t("logs talker")).toEqual({ code: 0, stdout: "1\n2\n3\n4\n", stderr: "err\n" });
    expect(await place.t("logs --tail 2 talker")).toMatchObject({ stdout: "4\n", stderr: "err\n" });
    expect((await place.t("logs -t --tail 2 talker")).stdout).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z 4\n$/);
    expect(await place.out("logs --since 10m -n 2 talker")).toBe("4");
    expect(await place.out("logs --until 10m talker")).toBe("");
    await place.out("rm talker");
  });

  test("logs -f follows over restarts and ends with the container", async () => {
    await detached("follow", "echo one; exit 1", ["--restart", "on-failure:1"]);
    expect(await place.out("logs -f follow")).toBe("one\none");
    await place.out("rm follow");
  });

  test("the log is docker's json-file; --log-driver none keeps nothing", async () => {
    await detached("json", "printf 'a\\nb'");
    await place.out("wait json");
    const path = await place.out(["inspect", "-f", "{{.LogPath}}", "json"]);
    const records = readFileSync(path, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(records.map(({ log, stream }) => [log, stream])).toEqual([
      ["a\n", "stdout"],
      ["b", "stdout"],
    ]);
    await detached("mute", "echo x", ["--log-driver", "none"]);
    expect((await place.t("logs mute")).stderr).toContain("does not support reading");
    await place.out("rm -f json mute");
  });

  test("attach shows what comes from now on, gives input, and has the exit code", async () => {
    await place.out([
      "run",
      "-d",
      "-i",
      "--name",
      "echoer",
      "--network",
      "none",
      "b",
      "sh",
      "-c",
      "while read l; do echo got $l; [ $l = end ] && exit 6; done",
    ]);
    const child = startTsbuild(["attach", "echoer"], { env: { TSBUILD_ROOT: place.root } });
    let seen = "";
    child.stdout?.on("data", (data) => {
      seen += data;
      if (seen === "got a\n") child.stdin?.write("end\n");
    });
    child.stdin?.write("a\n");
    const code = await new Promise((resolve) => child.once("close", resolve));
    expect({ seen, code }).toEqual({ seen: "got a\ngot end\n", code: 6 });
    expect(await place.t("attach echoer")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("cannot attach to a stopped container, start it first"),
    });
    await place.out("rm echoer");
  });

  test("start -a shows its output and has its exit code", async () => {
    await place.out(["create", "--name", "again", "--network", "none", "b", "sh", "-c", "echo out; exit 5"]);
    expect(await place.t("start -a again")).toEqual({ code: 5, stdout: "out\n", stderr: "" });
    expect(await place.t("start -a again")).toEqual({ code: 5, stdout: "out\n", stderr: "" });
    await place.out("rm again");
  });

  test("top shows its processes and no others", async () => {
    await detached("busy", "sleep 998 & sleep 999");
    await until(async () => (await place.out("top busy")).split("\n").length === 3);
    const lines = (await place.out("top busy")).split("\n");
    expect(lines[0]).toMatch(/PID/);
    expect(lines.slice(1).every((line) => line.includes("sleep"))).toBe(true);
    await place.out("rm -f busy");
  });
});

describe("lists", () => {
  test("filters and formats", async () => {
    await detached("web", "sleep 999", ["-l", "tier=front"]);
    await detached("db", "exit 3", ["-l", "tier=back"]);
    await place.out("wait db");
    const names = async (words: string): Promise<string> => await place.out(`ps --format {{.Names}} ${words}`.trim());
    expect(await names("")).toBe("web");
    expect(await names("-a")).toBe("db\nweb");
    expect(await names("-l")).toBe("db");
    expect(await names("-n 1")).toBe("db");
    expect(await names("-a -f status=exited")).toBe("db");
    expect(await names("-a -f exited=3")).toBe("db");
    expect(await names("-a -f label=tier")).toBe("db\nweb");
    expect(await names("-a -f label=tier=front")).toBe("web");
    expect(await names("-a -f name=we")).toBe("web");
    expect(await names("-a -f ancestor=b")).toBe("db\nweb");
    expect(await names("-a -f before=db")).toBe("web");
    expect(await names("-a -f since=web")).toBe("db");
    expect((await place.t("ps -f foo=1")).stderr).toContain("invalid filter 'foo'");
    const [line = ""] = (await place.out("ps -a --format json")).split("\n");
    expect(JSON.parse(line)).toMatchObject({ Names: "db", State: "exited", Image: "b", Labels: "tier=back" });
    expect(await place.out(["ps", "-a", "--format", 'table {{.Names}}\t{{.Label "tier"}}'])).toMatch(
      /^NAMES +\S+\ndb +back\nweb +front$/,
    );
    expect(await place.out("ps -a -s -f name=web")).toMatch(/SIZE\n.*0B \(virtual [\d.]+MB\)$/);
    expect(await place.t(["inspect", "-f", "{{.State.Status}}", "web", "nosuch"])).toMatchObject({
      code: 1,
      stdout: "running\n",
      stderr: expect.stringContaining("no such object: nosuch"),
    });
    expect((await place.t("rmi b")).stderr).toMatch(/container [0-9a-f]+ is using|must force|conflict/i);
    await place.out("rm -f web db");
  });
});

describe("health", () => {
  test("starting, healthy, unhealthy, as the image's check or the caller's says", async () => {
    await place.build("FROM b⏎HEALTHCHECK --interval=100ms --retries=2 CMD test -e /tmp/ok", {}, ["-t", "checked"]);
    await place.out("run -d --name sick --network none checked sleep 999");
    const health = async (): Promise<string> => await place.out(["inspect", "-f", "{{.State.Health.Status}}", "sick"]);
    await until(async () => (await health()) === "unhealthy");
    expect(await place.out(["ps", "--format", "{{.Status}}", "-f", "health=unhealthy"])).toMatch(/\(unhealthy\)$/);
    await place.out("exec sick touch /tmp/ok");
    await until(async () => (await health()) === "healthy");
    await place.out("rm -f sick");
    await place.out("run -d --name own --network none --health-cmd true --health-interval 100ms b sleep 999");
    await until(async () => (await place.out("ps --format {{.Status}}")).endsWith("(healthy)"));
    await place.out("rm -f own");
    await place.out("run -d --name none --network none --no-healthcheck checked sleep 999");
    expect(await place.out(["inspect", "-f", "{{json .Config.Healthcheck}}", "none"])).toMatch(/null|no value/);
  });
});

describe("after kill -9", () => {
  test("of its monitor, ps tells the truth, and stop still works", async () => {
    await detached("orphan", "echo hi; sleep 999");
    await ready("orphan");
    const id = await place.out(["inspect", "-f", "{{.Id}}", "orphan"]);
    const { supervisor } = JSON.parse(readFileSync(`${place.root}/containers/${id}/state.json`, "utf8"));
    process.kill(supervisor.pid, "SIGKILL");
    await until(
      async () =>
        (await place.out(["ps", "--format", "{{.Status}}"])).includes("Orphaned") ||
        (await state("orphan")).startsWith("exited"),
    );
    const running = (await state("orphan")).startsWith("running");
    if (running) expect(await place.out("exec orphan echo in")).toBe("in");
    expect(await place.out("logs orphan")).toBe("hi");
    expect((await place.t("attach orphan")).code).toBe(1);
    expect(await place.out("stop -t 0 orphan")).toBe("orphan");
    expect(await state("orphan")).toBe("exited 137");
    expect(await place.out("start orphan")).toBe("orphan");
    expect(await state("orphan")).toBe("running 0");
    await place.out("rm -f orphan");
  });

  test("of its monitor, an exit code that came later is known", async () => {
    await detached("late", "echo hi; while [ ! -e /tmp/go ]; do sleep 0.05; done; exit 4");
    await ready("late");
    const id = await place.out(["inspect", "-f", "{{.Id}}", "late"]);
    const { supervisor } = JSON.parse(readFileSync(`${place.root}/containers/${id}/state.json`, "utf8"));
    process.kill(supervisor.pid, "SIGKILL");
    await place.out("exec late touch /tmp/go");
    await until(async () => (await state("late")) === "exited 4");
    expect(await place.out("wait late")).toBe("4");
    await place.out("rm late");
  });
});

test("inspect has binds and named volumes as -v wrote them, and anonymous ones among the volumes only", async () => {
  await place.out(`create --name bound -v ${place.folder}:/host:ro -v kept:/vol -v /anonymous b true`);
  const format = "{{json .HostConfig.Binds}} {{json .Config.Volumes}} {{.State.Orphaned}}";
  expect(await place.out(["inspect", "-f", format, "bound"])).toBe(
    `["${place.folder}:/host:ro","kept:/vol"] {"/anonymous":{}} false`,
  );
});

test("a prune asks: what comes through a pipe is an answer, and no answer is none", async () => {
  await place.out("create --name old b true");
  expect(await place.t("container prune")).toEqual({
    code: 2,
    stdout: "",
    stderr: "tsbuild: nobody to ask: standard input is no terminal, and has no answer\n   hint: say yes with -f\n",
  });
  expect(await place.t("container prune", "n\n")).toEqual({ code: 0, stdout: "", stderr: "" });
  expect(place.containers()).toHaveLength(1);
  using asked = place.terminal(["container", "prune"]);
  await asked.shows(/\[y\/N\] $/);
  asked.type("\x03");
  expect(await asked.exited).toBe(130);
  expect(place.containers()).toHaveLength(1);
  expect(await place.t("container prune", "y\n")).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^Deleted Containers:\n/),
  });
  expect(place.containers()).toEqual([]);
});
