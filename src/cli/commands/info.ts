/** `tsbuild info`: the store, this machine, and which ways to run containers it offers, or why not. */
import { readFileSync } from "node:fs";
import { availableParallelism, hostname, release, totalmem } from "node:os";
import type { Command } from "commander";
import { hostPlatform } from "../../oci/platform.ts";
import { cgroupLayout } from "../../runtime/cgroup/detect.ts";
import { listContainers } from "../../runtime/containers/container-folder.ts";
import { bridgeObstacle } from "../../runtime/containers/container-network.ts";
import { observe } from "../../runtime/containers/container-state.ts";
import { findRuntime } from "../../runtime/drivers/create-driver.ts";
import type { Store } from "../../store/store.ts";
import type { CommandContext } from "../command.ts";
import { formatBinarySize } from "../render/size.ts";
import { compileTemplate, unescapeFormat } from "../render/template.ts";
import { templateJson } from "../render/template-functions.ts";
import { versionInfo } from "../version-info.ts";

export function define(command: Command): void {
  command.option("-f, --format <format>", "json, or a template such as {{.Images}}");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const { format } = command.opts<{ format?: string }>();
  const info = systemInfo(context.openStore(), context);
  if (format === undefined) context.stdout.write(textOf(info));
  else
    context.stdout.write(`${format === "json" ? templateJson(info) : compileTemplate(unescapeFormat(format))(info)}\n`);
  return 0;
}

/** Fields have docker's names where docker has them. */
interface SystemInfo {
  readonly ServerVersion: string;
  readonly Containers: number;
  readonly ContainersRunning: number;
  readonly ContainersPaused: number;
  readonly ContainersStopped: number;
  readonly Images: number;
  readonly Driver: string;
  readonly CgroupVersion: string;
  readonly CgroupDriver: string;
  readonly SecurityOptions: readonly string[];
  readonly DefaultRuntime: string;
  readonly Runtimes: Readonly<Record<string, { readonly path: string }>>;
  readonly UnavailableRuntimes: Readonly<Record<string, string>>;
  readonly BridgeNetwork: string;
  readonly Rootless: boolean;
  readonly NCPU: number;
  readonly MemTotal: number;
  readonly OSType: string;
  readonly OperatingSystem: string;
  readonly Architecture: string;
  readonly KernelVersion: string;
  readonly Name: string;
  readonly DockerRootDir: string;
  readonly RegistryConfig: { readonly IndexConfigs: Readonly<Record<string, { readonly Name: string }>> };
}

function systemInfo(store: Store, context: CommandContext): SystemInfo {
  const states = listContainers(store).map(({ folder }) => observe(folder).status);
  const count = (...statuses: readonly string[]): number => states.filter((status) => statuses.includes(status)).length;
  const runtimes = new Map(["crun", "runc"].map((name) => [name, findRuntime(name)]));
  return {
    ServerVersion: versionInfo().version,
    Containers: states.length,
    ContainersRunning: count("running", "restarting"),
    ContainersPaused: count("paused"),
    ContainersStopped: count("created", "exited", "dead"),
    Images: store.images.list().length,
    Driver: "overlay",
    CgroupVersion: cgroupVersion(),
    CgroupDriver: "cgroupfs",
    SecurityOptions: ["name=seccomp,profile=builtin"],
    DefaultRuntime: context.runtime,
    Runtimes: {
      native: { path: "built in" },
      ...Object.fromEntries([...runtimes].flatMap(([name, path]) => (path === undefined ? [] : [[name, { path }]]))),
    },
    UnavailableRuntimes: Object.fromEntries(
      [...runtimes].flatMap(([name, path]) => (path === undefined ? [[name, "not on the PATH"]] : [])),
    ),
    BridgeNetwork: bridgeObstacle() ?? "available",
    Rootless: process.geteuid?.() !== 0,
    NCPU: availableParallelism(),
    MemTotal: totalmem(),
    OSType: "linux",
    OperatingSystem: operatingSystem(),
    Architecture: hostPlatform().architecture,
    KernelVersion: release(),
    Name: hostname(),
    DockerRootDir: store.root,
    RegistryConfig: { IndexConfigs: { "docker.io": { Name: "docker.io" } } },
  };
}

function cgroupVersion(): string {
  const layout = cgroupLayout();
  return layout.kind === "v2" ? "2" : layout.kind === "v1" ? "1" : "none";
}

function operatingSystem(): string {
  try {
    return /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "Linux";
  } catch {
    return "Linux";
  }
}

function textOf(info: SystemInfo): string {
  const available = Object.entries(info.Runtimes).map(([name, { path }]) => `${name} (${path})`);
  const missing = Object.entries(info.UnavailableRuntimes).map(([name, why]) => `${name}: ${why}`);
  const lines = [
    ["Version", info.ServerVersion],
    ["Containers", `${info.Containers}`],
    ["  Running", `${info.ContainersRunning}`],
    ["  Paused", `${info.ContainersPaused}`],
    ["  Stopped", `${info.ContainersStopped}`],
    ["Images", `${info.Images}`],
    ["Store", info.DockerRootDir],
    ["Layers", info.Driver],
    ["Runtime", info.DefaultRuntime],
    ["  Available", available.join(", ")],
    ...(missing.length > 0 ? [["  Not here", missing.join(", ")]] : []),
    ["Bridge network", info.BridgeNetwork],
    ["Cgroups", `version ${info.CgroupVersion}`],
    ["Privileges", info.Rootless ? "of a user, not root" : "root"],
    ["Kernel", info.KernelVersion],
    ["System", info.OperatingSystem],
    ["Architecture", info.Architecture],
    ["CPUs", `${info.NCPU}`],
    ["Memory", formatBinarySize(info.MemTotal)],
  ];
  return lines.map(([name, value]) => `${name}: ${value}\n`).join("");
}
