/** What the scenarios run on: a folder, a Debian base, a dockerd and a registry of our own. All of it ends with us. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { findProgram } from "./builders.ts";

export interface Machine extends AsyncDisposable {
  readonly folder: string;
  /** Root file system of a Debian base, uncompressed. */
  readonly baseTar: string;
  /** `unix:///…` of a dockerd started here; undefined where none is installed. */
  readonly dockerHost: string | undefined;
  /** A second one in a network namespace of its own, with docker's usual bridge and firewall rules. */
  readonly dockerBridgeHost: string | undefined;
  /** `127.0.0.1:12345`; undefined where docker-registry is not installed. */
  readonly registry: string | undefined;
}

export async function startMachine(settings: { readonly baseTar: string | undefined }): Promise<Machine> {
  const folder = mkdtempSync("/tmp/tsbuild-bench-");
  const children: ChildProcess[] = [];
  const dispose = async (): Promise<void> => {
    for (const child of children.toReversed()) await end(child);
    unmountBelow(folder);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const baseTar = settings.baseTar ?? makeBase(folder);
    const hasDocker = findProgram("dockerd") !== undefined && findProgram("docker") !== undefined;
    const dockerHost = hasDocker ? await startDocker(join(folder, "docker"), children, false) : undefined;
    const dockerBridgeHost = hasDocker ? await startDocker(join(folder, "docker-bridge"), children, true) : undefined;
    const registry = findProgram("docker-registry") ? await startRegistry(folder, children) : undefined;
    return { folder, baseTar, dockerHost, dockerBridgeHost, registry, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function makeBase(folder: string): string {
  if (findProgram("mmdebstrap") === undefined)
    throw new Error("no Debian base: apt-get install mmdebstrap, or --base FILE");
  process.stderr.write("making a Debian base with mmdebstrap\n");
  const tar = join(folder, "base.tar");
  execFileSync("mmdebstrap", ["--variant=minbase", "bookworm", tar], { stdio: ["ignore", "ignore", "ignore"] });
  return tar;
}

async function startDocker(root: string, children: ChildProcess[], withBridge: boolean): Promise<string | undefined> {
  mkdirSync(root);
  const socket = join(root, "docker.sock");
  const log = openSync(join(root, "log"), "w");
  const flags = [
    ["--data-root", join(root, "data")],
    ["--exec-root", join(root, "exec")],
    ["--pidfile", join(root, "pid")],
    ["-H", `unix://${socket}`],
    // A bridge and its rules go with their network namespace; in ours there are none.
    withBridge ? [] : ["--bridge=none", "--iptables=false", "--ip-masq=false"],
  ].flat();
  const dockerd = findProgram("dockerd") ?? "dockerd";
  const [program = dockerd, ...before] = withBridge ? ["unshare", "--net", dockerd] : [dockerd];
  const child = spawn(program, [...before, ...flags], { stdio: ["ignore", log, log] });
  children.push(child);
  const isUp = await until(30_000, () => {
    if (child.exitCode !== null) return true;
    if (!existsSync(socket)) return false;
    try {
      execFileSync("docker", ["-H", `unix://${socket}`, "version"], { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  });
  if (isUp && child.exitCode === null) return `unix://${socket}`;
  const words = readFileSync(join(root, "log"), "utf8").trim().split("\n").at(-1);
  process.stderr.write(`dockerd does not start here, docker is left out: ${words}\n`);
  return undefined;
}

async function startRegistry(folder: string, children: ChildProcess[]): Promise<string> {
  const host = `127.0.0.1:${await freePort()}`;
  const config = join(folder, "registry.yml");
  writeFileSync(
    config,
    `version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: ${join(folder, "registry")}}}\nhttp: {addr: "${host}"}\n`,
  );
  children.push(spawn("docker-registry", ["serve", config], { stdio: "ignore" }));
  const isUp = await until(10_000, async () => (await fetch(`http://${host}/v2/`).catch(() => undefined))?.ok === true);
  if (!isUp) throw new Error("docker-registry does not answer");
  return host;
}

async function until(limitMs: number, condition: () => boolean | Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  while (performance.now() < deadline) {
    if (await condition()) return true;
    await delay(50);
  }
  return false;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await Promise.race([ended, delay(20_000, undefined, { ref: false })]);
  if (child.exitCode === null && child.signalCode === null) {
    child.kill("SIGKILL");
    await ended;
  }
}

/** podman and buildah keep their storage mounted on itself. */
function unmountBelow(folder: string): void {
  const points = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .flatMap((line) => line.split(" ")[4] ?? [])
    .filter((path) => path.startsWith(`${folder}/`));
  for (const point of points.toReversed()) execFileSync("umount", ["-l", point], { stdio: "ignore" });
}

function freePort(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const server = createServer().listen(0, "127.0.0.1", () => {
    const address = server.address();
    server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
  });
  return promise;
}
