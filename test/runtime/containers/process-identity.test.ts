import { spawn } from "node:child_process";
import { expect, test } from "vitest";
import { identityOf, isAlive, ownIdentity, signalProcess } from "../../../src/runtime/containers/process-identity.ts";

test("this process is alive, and is itself", () => {
  expect(isAlive(ownIdentity())).toBe(true);
  expect(identityOf(process.pid)).toEqual(ownIdentity());
});

test.for([
  { name: "another start time", change: { startTime: "1" } },
  { name: "another boot", change: { bootId: "00000000-0000-0000-0000-000000000000" } },
  { name: "another pid namespace", change: { pidNamespace: "pid:[1]" } },
])("the same pid with $name is somebody else, and gets no signal", ({ change }) => {
  const other = { ...ownIdentity(), ...change };
  expect(isAlive(other)).toBe(false);
  expect(signalProcess(other, 15)).toBe(false);
});

test("a process gets the signal that is meant for it; when it is gone, none is sent", async () => {
  const child = spawn("sleep", ["100"], { stdio: "ignore" });
  const identity = identityOf(child.pid ?? 0);
  if (identity === undefined) throw new Error("sleep did not start");
  const ended = new Promise((resolve) => child.once("exit", (_, signal) => resolve(signal)));
  expect(signalProcess(identity, 10)).toBe(true);
  expect(await ended).toBe("SIGUSR1");
  expect(isAlive(identity)).toBe(false);
  expect(signalProcess(identity, 10)).toBe(false);
});

test("a zombie counts as gone", async () => {
  // The shell does not reap: its child stays a zombie until it ends itself.
  const shell = spawn("sh", ["-c", "sleep 0.1 & echo $!; exec sleep 100"], { stdio: ["ignore", "pipe", "ignore"] });
  const pid = Number(await new Promise((resolve) => shell.stdout.once("data", (data) => resolve(String(data)))));
  const deadline = performance.now() + 5000;
  while (identityOf(pid) !== undefined && performance.now() < deadline) await new Promise((r) => setTimeout(r, 10));
  expect(identityOf(pid)).toBeUndefined();
  shell.kill("SIGKILL");
});
