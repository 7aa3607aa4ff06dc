/** A dockerd of its own for one test file: no network, no iptables, its data in a temporary folder. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { findProgram, lacks } from "./needs.ts";

/** For `test.skipIf`. */
export function lacksDocker(): boolean {
  return lacks("root", "docker", "dockerd");
}

/** Debian's client goes with Debian's daemon; a newer one that lies before it builds with a plugin of its own. */
const client = existsSync("/usr/bin/docker") ? "/usr/bin/docker" : "docker";

export interface RunningDocker extends AsyncDisposable {
  /** `unix://…` */
  readonly host: string;
  /** Runs `docker ARGS`; throws when it fails. */
  docker(args: readonly string[], input?: Buffer): Buffer;
}

export async function startDocker(): Promise<RunningDocker> {
  const folder = mkdtempSync("/tmp/tsbuild-test-docker-");
  const socket = `unix://${join(folder, "sock")}`;
  const flags = [
    `--data-root=${join(folder, "data")}`,
    `--exec-root=${join(folder, "exec")}`,
    `--pidfile=${join(folder, "pid")}`,
    `--host=${socket}`,
    "--iptables=false",
    "--ip6tables=false",
    "--bridge=none",
    "--storage-driver=vfs",
  ];
  const child = spawn(findProgram("dockerd") ?? "dockerd", flags, { stdio: "ignore" });
  const docker = (args: readonly string[], input?: Buffer): Buffer =>
    execFileSync(client, ["--host", socket, ...args], { input, maxBuffer: 1 << 28, stdio: ["pipe", "pipe", "pipe"] });
  const stop = async (): Promise<void> => {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    if (child.exitCode === null) {
      child.kill("SIGTERM");
      await ended;
    }
    unmountBelow(folder);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await answering(child, socket);
  } catch (error) {
    await stop();
    throw error;
  }
  return { host: socket, docker, [Symbol.asyncDispose]: stop };
}

async function answering(child: ChildProcess, socket: string): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (performance.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`dockerd ended with ${child.exitCode}`);
    if (spawnSync(client, ["--host", socket, "version"], { stdio: "ignore" }).status === 0) return;
    await delay(50);
  }
  throw new Error("dockerd does not answer");
}

/** dockerd leaves its network namespaces mounted. */
function unmountBelow(folder: string): void {
  const mounts = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .flatMap((line) => line.split(" ")[1] ?? [])
    .filter((path) => path.startsWith(folder));
  for (const path of mounts.reverse()) spawnSync("umount", [path], { stdio: "ignore" });
}
