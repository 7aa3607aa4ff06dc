/** What the program prints, as different readers get it. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { needs } from "../support/needs.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";
import { program } from "../support/tsbuild.ts";

const help = (stdout: number | "pipe") =>
  spawn(process.execPath, [program, "build", "--help"], { stdio: ["ignore", stdout, "inherit"] });

test("a file and a pipe get the same text, all of it", async () => {
  using folder = temporaryTestFolder("output");
  const path = join(folder.path, "out");
  const file = openSync(path, "w");
  const child = help(file);
  closeSync(file);
  expect(await once(child, "exit")).toEqual([0, null]);
  const piped = execFileSync(process.execPath, [program, "build", "--help"], { encoding: "utf8" });
  expect(piped.length).toBeGreaterThan(1000);
  expect(readFileSync(path, "utf8")).toBe(piped);
});

test("a device that takes nothing is told as an error", async () => {
  const full = openSync("/dev/full", "w");
  const child = spawn(process.execPath, [program, "build", "--help"], { stdio: ["ignore", full, "pipe"] });
  closeSync(full);
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  expect(await once(child, "close")).toEqual([1, null]);
  expect(stderr).toMatch(/^error: standard output: ENOSPC[^\n]*\n$/);
});

test("a reader that has gone ends it without a word", async () => {
  const child = help("pipe");
  child.stdout?.destroy();
  const [code] = await once(child, "exit");
  expect(code).toBe(141);
});

needs("python3")("a pipe that is full and does not block gets the rest later", async () => {
  // python makes its end non-blocking, fills it, and reads on when the program has started to write.
  const script = `
import os, subprocess, sys, time
r, w = os.pipe()
os.set_blocking(w, False)
filled = 0
try:
    while True: filled += os.write(w, b"x" * 4096)
except BlockingIOError: pass
child = subprocess.Popen(sys.argv[1:], stdout=w)
os.close(w)
while b"S" not in open(f"/proc/{child.pid}/status", "rb").read().split(b"State:")[1][:4]: time.sleep(0.01)
data = b""
while True:
    part = os.read(r, 65536)
    if not part: break
    data += part
sys.stdout.buffer.write(data[filled:])
sys.exit(child.wait())
`;
  const text = execFileSync("python3", ["-c", script, process.execPath, program, "build", "--help"], {
    encoding: "utf8",
  });
  expect(text).toBe(execFileSync(process.execPath, [program, "build", "--help"], { encoding: "utf8" }));
});
