/**
 * A real BuildKit: dockerd of Debian's docker.io in a folder of its own, without a network and without firewall rules.
 * Its builds use the host's network. Layers are plain folders (vfs), which the daemon compares by walking both, as
 * newer BuildKits do.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { delimiter, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Builder, BuildRun } from "./build-run.ts";
import { imageWithoutLayers, readImage } from "./image.ts";
import type { BuildCall } from "./workspace.ts";

export interface Reference extends AsyncDisposable {
  readonly builder: Builder;
  /** `20.10.24+dfsg1`. */
  readonly version: string;
}

/** Undefined, and said why on stderr, where docker is not installed or does not start. */
export async function startReference(folder: string, base: string): Promise<Reference | undefined> {
  const [dockerd, docker] = [findProgram("dockerd"), findProgram("docker")];
  if (dockerd === undefined || docker === undefined) {
    process.stderr.write("no reference: docker is not installed (apt-get install docker.io)\n");
    return undefined;
  }
  const socket = `unix://${join(folder, "docker.sock")}`;
  const log = join(folder, "dockerd.log");
  const child = startDaemon(dockerd, folder, socket, log);
  const call = caller(docker, socket, folder);
  const stop = async (): Promise<void> => await end(child);
  try {
    const version = await answering(child, call);
    if (version !== undefined) {
      const loaded = await call(["load", "-i", base], {});
      if (loaded.code !== 0) throw new Error(loaded.log);
      // The first builds on an image find nothing in the cache of each other while they run at once.
      const warmed = await call(["build", "--network=host", "-"], { input: "FROM b\nRUN true\n" });
      if (warmed.code !== 0) throw new Error(warmed.log);
      return { version, builder: builderOf(call, folder), [Symbol.asyncDispose]: stop };
    }
  } catch (error) {
    await stop();
    throw error;
  }
  await stop();
  process.stderr.write(
    `no reference: dockerd does not start: ${readFileSync(log, "utf8").trim().split("\n").at(-1)}\n`,
  );
  return undefined;
}

function startDaemon(dockerd: string, folder: string, socket: string, log: string): ChildProcess {
  const flags = [
    `--data-root=${join(folder, "data")}`,
    `--exec-root=${join(folder, "exec")}`,
    `--pidfile=${join(folder, "pid")}`,
    `--host=${socket}`,
    "--bridge=none",
    "--iptables=false",
    "--ip6tables=false",
    "--storage-driver=vfs",
  ];
  const output = openSync(log, "w");
  // The daemon ends with us, however we end.
  const setpriv = findProgram("setpriv");
  const argv = setpriv === undefined ? [dockerd] : [setpriv, "--pdeathsig=TERM", dockerd];
  return spawn(argv[0] ?? dockerd, [...argv.slice(1), ...flags], { stdio: ["ignore", output, output] });
}

interface Called {
  readonly code: number;
  readonly log: string;
}

type Call = (args: readonly string[], at: Partial<BuildCall>) => Promise<Called>;

function caller(docker: string, socket: string, folder: string): Call {
  const home = join(folder, "home");
  mkdirSync(home, { recursive: true });
  return async (args, at) => {
    const child = spawn(docker, ["--host", socket, ...args], {
      cwd: at.cwd ?? folder,
      env: { PATH: process.env["PATH"], HOME: home, DOCKER_BUILDKIT: "1", ...at.environment },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const chunks: Buffer[] = [];
    child.stdout.on("data", (bytes: Buffer) => chunks.push(bytes));
    child.stderr.on("data", (bytes: Buffer) => chunks.push(bytes));
    child.stdin.on("error", () => undefined);
    child.stdin.end(at.input ?? "");
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    return { code: code ?? -1, log: Buffer.concat(chunks).toString() };
  };
}

function builderOf(call: Call, folder: string): Builder {
  return {
    name: "reference",
    async build(at) {
      const idFile = join(at.cwd, "id");
      rmSync(idFile, { force: true });
      const tag = at.tag === undefined ? [] : ["-t", at.tag];
      const flags = ["--network=host", "--progress=plain", "--iidfile=id", ...tag];
      const build = async (): Promise<Called> => await call(["build", ...flags, ...at.args, at.path], at);
      const first = await build();
      // A fault of its age, on machines with much to do.
      const isTired = first.code !== 0 && first.log.includes("flightcontrol: exceeded retry timeout");
      const { code, log } = isTired ? await build() : first;
      if (/Cannot connect to the Docker daemon|failed to dial gRPC|did not provide an image ID/.test(log))
        throw new Error(`the reference has died: ${log.trim().split("\n").at(-1)}`);
      return runOf(code === 0, log, code === 0 ? readFileSync(idFile, "utf8") : undefined);
    },
    async read({ image = "" }, at) {
      const archive = join(at, "image.tar");
      const { code, log } = await call(["save", "-o", archive, image], {});
      if (code === 0) return await readImage(archive);
      // docker saves no image without layers, but keeps its config in a file.
      if (!log.includes("empty export")) throw new Error(log);
      const config = join(folder, "data/image/vfs/imagedb/content", image.replace(":", "/"));
      return imageWithoutLayers(readFileSync(config, "utf8"));
    },
  };
}

/** Lines of the plain progress: `#5 [2/4] RUN echo hi`, `#5 0.094 hi`, `#5 CACHED`, `#5 DONE 0.1s`. */
function runOf(ok: boolean, log: string, image: string | undefined): BuildRun {
  const titles = new Map<string, string>();
  const cached = new Set<string>();
  const printed: string[] = [];
  for (const line of log.split("\n")) {
    const [, step, rest] = /^#(\d+) (.*)$/.exec(line) ?? [];
    if (step === undefined || rest === undefined) continue;
    const title = /^\[(?!internal)[^\]]*\] (.*)$/.exec(rest)?.[1];
    if (title !== undefined) titles.set(step, title);
    if (rest === "CACHED") cached.add(step);
    const output = /^\d+\.\d+ (.*)$/.exec(rest)?.[1];
    if (output !== undefined) printed.push(output);
  }
  const texts = (isHit: boolean): readonly string[] =>
    [...titles].flatMap(([step, title]) => (cached.has(step) === isHit && !title.startsWith("FROM ") ? [title] : []));
  return { ok, refused: titles.size === 0, log, printed, hits: texts(true), misses: texts(false), image };
}

/**
 * What the reference refuses by its age: a named owner where there is no list of users, a wildcard in no folder, and one
 * in a file.
 */
const oldRefusals: readonly RegExp[] = [
  /\/etc\/(passwd|group): no such file or directory$/,
  /lstat \/.*: no such file or directory$/,
  /error from sender: .*: not a directory$/,
];

export function isOldRefusal(log: string): boolean {
  const last = log.trim().split("\n").at(-1) ?? "";
  return oldRefusals.some((pattern) => pattern.test(last));
}

// The daemon --------------------------------------------------------------------------------------------------------

async function answering(child: ChildProcess, call: Call): Promise<string | undefined> {
  const deadline = performance.now() + 60_000;
  while (performance.now() < deadline && child.exitCode === null && child.signalCode === null) {
    const { code, log } = await call(["version", "--format", "{{.Server.Version}}"], {});
    if (code === 0) return log.trim();
    await delay(50);
  }
  return undefined;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await Promise.race([ended, delay(20_000, undefined, { ref: false })]);
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await ended;
}

/** Debian's first: other clients may be in front of it on the PATH, too new for its daemon. */
function findProgram(name: string): string | undefined {
  const folders = ["/usr/bin", "/usr/sbin", ...(process.env["PATH"] ?? "").split(delimiter), "/usr/local/sbin"];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
