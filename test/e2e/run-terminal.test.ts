/** `-t`: the container's own terminal in the user's, and the user's as it was afterwards. */
import { execFileSync } from "node:child_process";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { needs } from "../support/needs.ts";
import { until, type Yard, yard } from "./containers-support.ts";

const test = needs("root", "busybox-static");
let place: Yard;
beforeAll(async () => {
  place = await yard();
});
afterEach(async () => await place?.clear());
afterAll(async () => await place?.[Symbol.asyncDispose]());

const quick = ["run", "--rm", "--network", "none"] as const;

test("-t without -i: the container has a terminal, and without -t none", async () => {
  expect(await place.out([...quick, "-t", "b", "tty"])).toMatch(/^\/dev\/pts\/0\r?$/);
  expect(await place.t([...quick, "b", "tty"])).toMatchObject({ code: 1, stdout: "not a tty\n" });
});

test("-it: what is typed arrives as typed, what is written is shown, the exit code comes back", async () => {
  using terminal = place.terminal([...quick, "-it", "b", "sh", "-c", "tty; read line; echo got:$line; exit 5"]);
  await terminal.shows(/\/dev\/pts\/0/);
  terminal.type("hello\r");
  await terminal.shows(/got:hello/);
  expect(await terminal.exited).toBe(5);
});

test("the size is the user's, from the first moment and after a change", async () => {
  using terminal = place.terminal([
    ...quick,
    "-it",
    "b",
    "sh",
    "-c",
    "stty size; trap 'stty size' WINCH; while :; do sleep 0.05; done",
  ]);
  await terminal.shows(/30 100/);
  terminal.resize(77, 22);
  await terminal.shows(/22 77/);
  terminal.type("\x03");
  expect(await terminal.exited).toBe(130);
});

test("Ctrl-C goes to the process, which may do with it what it wants", async () => {
  using terminal = place.terminal([
    ...quick,
    "-it",
    "b",
    "sh",
    "-c",
    "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done",
  ]);
  await terminal.shows(/ready/);
  terminal.type("\x03");
  await terminal.shows(/caught/);
  expect(await terminal.exited).toBe(9);
});

test("the detach keys leave it running, exit 0, and attach takes it up again", async () => {
  using terminal = place.terminal(["run", "-it", "--name", "shell", "--network", "none", "b", "sh"]);
  await terminal.shows(/# /);
  terminal.type("echo in$((1+1))\r");
  await terminal.shows(/in2/);
  terminal.type("\x10\x11");
  expect(await terminal.exited).toBe(0);
  expect(await place.out("ps --format {{.Names}}")).toBe("shell");
  using again = place.terminal(["attach", "--detach-keys", "ctrl-a", "shell"]);
  again.type("echo out$((2+2))\r");
  await again.shows(/out4/);
  again.type("\x01");
  expect(await again.exited).toBe(0);
  using last = place.terminal(["attach", "shell"]);
  last.type("exit 3\r");
  expect(await last.exited).toBe(3);
  expect(await place.out("logs shell")).toContain("in2");
  await place.out("rm shell");
});

test("exec -it has a terminal of its own", async () => {
  await place.out("run -d --name bed --network none b sleep 999");
  using terminal = place.terminal(["exec", "-it", "bed", "sh", "-c", "tty; stty size; read x; exit 4"]);
  await terminal.shows(/\/dev\/pts\/\d+\r?\n30 100/);
  terminal.type("\r");
  expect(await terminal.exited).toBe(4);
  await place.out("rm -f bed");
});

test("a signal that ends us leaves the terminal as it was", async () => {
  using terminal = place.terminal([
    ...quick,
    "-it",
    "--name",
    "raw",
    "b",
    "sh",
    "-c",
    "trap 'exit 6' TERM; echo ready; while :; do sleep 0.05; done",
  ]);
  await terminal.shows(/ready/);
  expect(flags(terminal.pid)).toContain("-icanon");
  process.kill(terminal.pid, "SIGTERM");
  expect(await terminal.exited).toBe(6);
  await until(async () => (await place.out("ps -aq")) === "");
});

test("the terminal is cooked again when the container has ended", async () => {
  const words = [...quick, "-it", "b", "true"].map((word) => `'${word}'`).join(" ");
  using shell = place.shell(`$TSBUILD ${words}; stty -a; echo over`);
  await shell.shows(/over/);
  expect(shell.text).toMatch(/[^-]icanon/);
  expect(shell.text).toMatch(/[^-]echo /);
});

/** Of the terminal that is this process's standard input. */
function flags(pid: number): string {
  return execFileSync("stty", ["-a", "-F", `/proc/${pid}/fd/0`], { encoding: "utf8" });
}
