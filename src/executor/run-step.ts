/**
 * RUN: one container on the layers below, whose upperdir is the step's layer. Source: Dockerfile reference, "RUN".
 */
import { once } from "node:events";
import { lstatSync } from "node:fs";
import type { Readable } from "node:stream";
import { bytePath } from "../kernel/byte-path.ts";
import { defaultPath } from "../oci/image-config.ts";
import type { MountSpec } from "../oci/runtime-spec.ts";
import type { RunInput, Unkeyed } from "../planner/build-graph.ts";
import type { CdiDevice } from "../runtime/cdi.ts";
import { containerSpec } from "../runtime/container-spec.ts";
import { type DeviceEdits, noDeviceEdits } from "../runtime/device-edits.ts";
import { insecureDevices } from "../runtime/devices.ts";
import type { Driver, ExitStatus } from "../runtime/driver.ts";
import { resourcesOf } from "../runtime/limits.ts";
import type { BuildNetwork, BuildNetworks } from "../runtime/network/build-network.ts";
import { type ResolvedUser, resolveUser } from "../runtime/user.ts";
import type { Snapshot } from "../store/store.ts";
import { containerIdOfStep, sweepDeadBuilds } from "./build-cgroup.ts";
import { workdirIsNoFolder } from "./errors.ts";
import { type MountPlace, prepareMounts } from "./run-mounts.ts";
import { UpperTree } from "./upper-tree.ts";

export interface RunPlace extends Omit<MountPlace, "scratchDir" | "overlayOptions" | "folderMode" | "signal"> {
  readonly driver: Driver;
  readonly networks: BuildNetworks;
  readonly snapshot: Snapshot;
  /** Of the store, for what containers have in common. */
  readonly sharedDir: string;
  /** Trees of the parents, bottom first, none of them twice. */
  readonly lowerdirs: readonly string[];
  /** What `--device` of this step found. */
  readonly devices: readonly CdiDevice[];
  readonly onOutput: (stream: "stdout" | "stderr", bytes: Uint8Array) => void;
  readonly trace?: ((text: string) => void) | undefined;
  readonly signal: AbortSignal;
}

/**
 * Runs the command to its end. Status 0 means: the snapshot's upperdir is the result.
 * @throws {TsbuildError} what kept it from starting: `COMMAND_NOT_FOUND`, `USER_NOT_FOUND`, `RUNTIME_FAILED` …
 */
export async function runStep(input: RunInput, unkeyed: Unkeyed, place: RunPlace): Promise<ExitStatus> {
  const { snapshot, signal } = place;
  const tree = new UpperTree(snapshot.upperdir, place.lowerdirs);
  const user = resolveUser(input.user, (path) => tree.readFile(bytePath(path)));
  makeRuntimeFolders(tree);
  const edits = await editsOf(place.devices, user);
  const cwd = makeWorkdir(tree, input.cwd, user);
  tree.finish();
  using network = place.networks.forStep({ ...input, extraHosts: unkeyed.extraHosts });
  using mounts = await prepareMounts(input, {
    ...place,
    scratchDir: () => snapshot.scratchDir(),
    folderMode: (path) => folderMode(tree, path),
    overlayOptions: place.driver.name === "native" ? "lowerdir+" : "lowerdir",
  });
  const cgroupParent = input.cgroupParent ?? "/tsbuild";
  sweepDeadBuilds(cgroupParent);
  const id = containerIdOfStep();
  const spec = containerSpec({
    args: input.argv,
    env: lastOfEachName([...environmentOf(input, unkeyed, user), ...edits.env, ...mounts.env]),
    cwd,
    user: { ...user, additionalGids: [...user.additionalGids, ...edits.additionalGids] },
    hostname: input.hostname,
    mounts: [...networkFiles(network), ...edits.mounts, ...mounts.mounts],
    network: network.kind,
    openPorts: false,
    ulimits: input.ulimits,
    cgroupsPath: `${cgroupParent}/${id}`,
    ...(input.shmSizeBytes !== undefined && { shmSizeBytes: input.shmSizeBytes }),
    resources: { ...resourcesOf(unkeyed.limits), devices: edits.rules },
    privileged: input.security === "insecure",
    hooks: edits.hooks,
    devices: [...(input.security === "insecure" ? insecureDevices : []), ...edits.devices],
  });
  signal.throwIfAborted();
  const container = await place.driver.start({
    id,
    spec,
    rootfs: {
      kind: "overlay",
      lowerdirs: place.lowerdirs,
      upperdir: snapshot.upperdir,
      workdir: snapshot.newWorkdir(),
      volatile: true,
    },
    sharedDir: place.sharedDir,
    scratchDir: () => snapshot.scratchDir(),
    network: network.mode,
    // As with BuildKit: there are programs that read standard input when it is a pipe, and look for files when it is not.
    stdio: { stdin: "empty", stdout: "pipe", stderr: "pipe" },
    init: false,
    signal,
    ...(place.trace !== undefined && { trace: place.trace }),
  });
  mounts.started();
  const [status] = await Promise.all([
    container.exited,
    forward(container.stdout, (bytes) => place.onOutput("stdout", bytes)),
    forward(container.stderr, (bytes) => place.onOutput("stderr", bytes)),
  ]);
  signal.throwIfAborted();
  return status;
}

async function editsOf(devices: readonly CdiDevice[], user: ResolvedUser): Promise<DeviceEdits> {
  if (devices.length === 0) return noDeviceEdits;
  const { deviceEdits } = await import("../runtime/device-edits.ts");
  return deviceEdits(devices, user);
}

/**
 * A name twice would mean the first of them to some programs and the last to others. What is set later wins, at the
 * place of what was there.
 */
function lastOfEachName(env: readonly string[]): readonly string[] {
  const byName = new Map<string, string>();
  for (const pair of env) byName.set(pair.slice(0, pair.indexOf("=")), pair);
  return [...byName.values()];
}

/** Everything that held the pipe died with pid 1, so its end is never far behind. */
async function forward(stream: Readable | undefined, onBytes: (bytes: Uint8Array) => void): Promise<void> {
  if (stream === undefined) return;
  stream.on("data", onBytes);
  if (!stream.readableEnded && !stream.destroyed) await once(stream, "close");
}

/**
 * What the runtime mounts onto stays in the image when it was missing, as with BuildKit. A name that is
 * there, whatever it is, is left to the runtime.
 */
function makeRuntimeFolders(tree: UpperTree): void {
  for (const name of ["dev", "proc", "sys"]) {
    const path = bytePath(name);
    if (tree.find(path) === undefined) tree.makeFolder(path, { mode: 0o755, uid: 0, gid: 0 });
  }
}

/**
 * The folder in which the command starts, made with its parents where it is missing, links followed inside the root.
 */
function makeWorkdir(tree: UpperTree, cwd: string, user: ResolvedUser): string {
  // runc makes the path as it is written: of `/a/../b`, `/a` too.
  for (const { index } of cwd.matchAll(/(?<=.)\/\.\.(?=\/|$)/g)) {
    const detour = tree.resolve(bytePath(cwd.slice(0, index)));
    if (detour.node === undefined) tree.makeFolders(detour.path, { mode: 0o755, owner: { uid: 0, gid: 0 } });
  }
  const { path, node } = tree.resolve(bytePath(cwd));
  if (node === undefined) tree.makeFolders(path, { mode: 0o755, owner: { uid: user.uid, gid: user.gid } });
  else if (node.type !== "dir") throw workdirIsNoFolder(cwd);
  return cwd;
}

function folderMode(tree: UpperTree, path: string): number | undefined {
  const { node } = tree.resolve(bytePath(path));
  return node?.type === "dir" ? lstatSync(node.hostPath).mode & 0o7777 : undefined;
}

/** In order of last assignment; later duplicates win. Nothing of the caller's environment leaks. */
function environmentOf(input: RunInput, unkeyed: Unkeyed, user: ResolvedUser): readonly string[] {
  const environment = [...input.env, ...unkeyed.proxies];
  const has = (name: string): boolean => environment.some((pair) => pair.startsWith(`${name}=`));
  if (!has("PATH")) environment.push(`PATH=${defaultPath}`);
  if (!environment.some((pair) => /^HOME=./s.test(pair))) {
    const own = environment.indexOf("HOME=");
    if (own >= 0) environment.splice(own, 1);
    environment.push(`HOME=${user.home}`);
  }
  return environment;
}

function networkFiles({ files }: BuildNetwork): MountSpec[] {
  return [["hosts", files.hosts] as const, ["resolv.conf", files.resolvConf] as const].map(([name, source]) => {
    return { destination: `/etc/${name}`, type: "bind", source, options: ["rbind", "ro", "nosuid", "nodev", "noexec"] };
  });
}
