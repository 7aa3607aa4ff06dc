/** The programs that are compared, each with its own storage in the machine's folder. */
import { accessSync, constants, mkdirSync, rmSync } from "node:fs";
import { delimiter, join } from "node:path";
import { run } from "./commands.ts";
import type { Machine } from "./machine.ts";
import type { Timed } from "./scenario.ts";

export interface BuildInput {
  readonly context: string;
  readonly noCache?: boolean;
  /** Of RUN steps. `default` is what a user gets without asking: a network of the step's own, mostly. */
  readonly network?: "default" | "host";
  readonly tag?: string;
}

export interface Builder {
  readonly name: string;
  build(input: BuildInput): Timed;
  /** `run --rm` without a network. Undefined: this builder runs no containers. */
  runTrue?(image: string): Timed;
  import(file: string, name: string): Timed;
  save(image: string, file: string): Timed;
  tag(image: string, name: string): Timed;
  push(name: string): Timed;
  pull(name: string): Timed;
  remove(name: string): Timed;
}

/** The base image of all scenarios, under this name in every storage. */
export const base = "bench-base";

export function availableBuilders(machine: Machine): readonly Builder[] {
  const builders = [tsbuild(machine)];
  if (machine.dockerHost !== undefined) {
    builders.push(docker(machine, "docker BuildKit", "1"), docker(machine, "docker legacy", "0"));
  }
  for (const name of ["buildah", "podman"] as const) if (findProgram(name)) builders.push(containers(machine, name));
  return builders.filter((builder, index) => {
    // docker's two builders share one store.
    const storeOf = ({ name }: Builder): string => name.split(" ")[0] ?? "";
    if (builders.findIndex((other) => storeOf(other) === storeOf(builder)) < index) return true;
    const { argv, env } = builder.import(machine.baseTar, base);
    try {
      run(argv, env);
      if (storeOf(builder) === "docker") run(argv, { ...env, DOCKER_HOST: machine.dockerBridgeHost ?? "" });
      return true;
    } catch (error) {
      process.stderr.write(`${builder.name} is left out: ${error instanceof Error ? error.message : String(error)}\n`);
      return false;
    }
  });
}

export const tsbuildProgram: string = new URL("../dist/tsbuild.cjs", import.meta.url).pathname;

function tsbuild(machine: Machine): Builder {
  const argv = (...words: readonly string[]): Timed => ({
    argv: [process.execPath, tsbuildProgram, ...words],
    env: { TSBUILD_ROOT: join(machine.folder, "tsbuild") },
  });
  return {
    name: "tsbuild",
    build: ({ context, noCache, tag, network = "host" }) =>
      argv("build", `--network=${network}`, ...(noCache ? ["--no-cache"] : []), ...(tag ? ["-t", tag] : []), context),
    runTrue: (image) => argv("run", "--rm", "--network=none", image, "true"),
    import: (file, name) => argv("import", file, name),
    save: (image, file) => argv("save", "-o", file, image),
    tag: (image, name) => argv("tag", image, name),
    push: (name) => argv("push", "-q", name),
    pull: (name) => argv("pull", "-q", name),
    remove: (name) => argv("rmi", name),
  };
}

function docker(machine: Machine, name: string, buildkit: "0" | "1"): Builder {
  const client = dockerClient();
  const call = (host: string | undefined, words: readonly string[]): Timed => ({
    argv: [client, ...words],
    env: { DOCKER_HOST: host ?? "", DOCKER_BUILDKIT: buildkit },
  });
  const argv = (...words: readonly string[]): Timed => call(machine.dockerHost, words);
  return {
    name,
    build: ({ context, noCache, tag, network = "host" }) =>
      call(network === "host" ? machine.dockerHost : machine.dockerBridgeHost, [
        "build",
        `--network=${network}`,
        ...(noCache ? ["--no-cache"] : []),
        ...(tag ? ["-t", tag] : []),
        context,
      ]),
    ...(buildkit === "1" && { runTrue: (image: string) => argv("run", "--rm", "--network=none", image, "true") }),
    import: (file, image) => argv("import", file, image),
    save: (image, file) => argv("save", "-o", file, image),
    tag: (image, to) => argv("tag", image, to),
    push: (image) => argv("push", "-q", image),
    pull: (image) => argv("pull", "-q", image),
    remove: (image) => argv("rmi", image),
  };
}

/** buildah and podman: the same storage library, each with a root of its own. */
function containers(machine: Machine, program: "buildah" | "podman"): Builder {
  const root = join(machine.folder, program);
  mkdirSync(root);
  const storage = ["--root", join(root, "storage"), "--runroot", join(root, "run"), "--storage-driver", "overlay"];
  const podman = (...words: readonly string[]): Timed => ({
    argv: ["podman", ...storage, "--cgroup-manager=cgroupfs", ...words],
  });
  const own = (...words: readonly string[]): Timed =>
    program === "podman" ? podman(...words) : { argv: ["buildah", ...storage, ...words] };
  return {
    name: program,
    build: ({ context, noCache, tag, network = "host" }) =>
      own(
        program === "podman" ? "build" : "bud",
        "--isolation=chroot",
        "--layers",
        // Isolated by chroot only, they have the host's network in any case.
        ...(network === "host" ? ["--network=host"] : []),
        ...(noCache ? ["--no-cache"] : []),
        ...(tag ? ["-t", tag] : []),
        context,
      ),
    ...(program === "podman" && {
      runTrue: (image: string) => own("run", "--rm", "--network=none", "--ulimit=host", image, "true"),
    }),
    // buildah has no import; podman's storage is the same.
    import: (file, image) => podman("import", file, image),
    save: (image, file) => {
      rmSync(file, { force: true });
      return podman("save", "-o", file, image);
    },
    tag: (image, to) => own("tag", image, to),
    push: (image) => own("push", "--tls-verify=false", "-q", image),
    pull: (image) => own("pull", "--tls-verify=false", "-q", image),
    remove: (image) => own("rmi", image),
  };
}

/** A client that can talk BuildKit: an old one by itself, a new one with the buildx plugin. */
function dockerClient(): string {
  const candidates = findPrograms("docker");
  return candidates.find((path) => succeeds(path, "buildx", "version") || isOld(path)) ?? candidates[0] ?? "docker";
}

function isOld(path: string): boolean {
  const major = /version (\d+)/.exec(run([path, "--version"]))?.[1];
  return major !== undefined && Number(major) < 23;
}

function succeeds(...argv: readonly string[]): boolean {
  try {
    run(argv);
    return true;
  } catch {
    return false;
  }
}

export function findProgram(name: string): string | undefined {
  return findPrograms(name)[0];
}

function findPrograms(name: string): readonly string[] {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];
  return folders
    .map((folder) => join(folder, name))
    .filter((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
