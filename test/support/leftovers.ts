/** What tests may leave on a machine by mistake: mounts, processes, cgroups, network links, temporary folders. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface MachineState {
  readonly mounts: ReadonlySet<string>;
  readonly cgroups: ReadonlySet<string>;
  readonly links: ReadonlySet<string>;
  readonly temporary: ReadonlySet<string>;
}

export function machineState(): MachineState {
  return {
    mounts: new Set(mountPoints()),
    cgroups: new Set(cgroups("/sys/fs/cgroup", 2)),
    links: new Set(names("/sys/class/net").filter((name) => name.startsWith("tsb"))),
    temporary: new Set(names("/tmp").filter((name) => name.startsWith("tsbuild-"))),
  };
}

/** One line each; processes are known by the mark in their environment. */
export function leftovers(before: MachineState, mark: string): readonly string[] {
  const now = machineState();
  const added = (kind: keyof MachineState): readonly string[] =>
    [...now[kind]].filter((name) => !before[kind].has(name));
  return [
    ...added("mounts").map((path) => `mount ${path}`),
    ...added("cgroups").map((path) => `cgroup ${path}`),
    ...added("links").map((name) => `network link ${name}`),
    ...added("temporary").map((name) => `/tmp/${name}`),
    ...markedProcesses(mark),
  ];
}

function mountPoints(): readonly string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .flatMap((line) => line.split(" ")[4] ?? [])
    .filter((path) => path.includes("tsbuild"));
}

function cgroups(folder: string, depth: number): readonly string[] {
  return names(folder).flatMap((name) => {
    const path = join(folder, name);
    if (name.startsWith("tsbuild")) return [path, ...names(path).map((child) => join(path, child))].filter(isFolder);
    return depth > 1 && isFolder(path) ? cgroups(path, depth - 1) : [];
  });
}

function markedProcesses(mark: string): readonly string[] {
  return names("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid || isAncestor(Number(pid))) return [];
    const environment = read(join("/proc", pid, "environ"));
    if (!environment.includes(`TSBUILD_TEST_RUN=${mark}`)) return [];
    const command = read(join("/proc", pid, "cmdline"))
      .replaceAll("\0", " ")
      .trim();
    // vitest's own workers and esbuild's service end a moment later.
    if (/vitest|esbuild/.test(command)) return [];
    return [`process ${pid}: ${command}`];
  });
}

function isAncestor(pid: number): boolean {
  return process.ppid === pid;
}

function names(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isFolder(path: string): boolean {
  try {
    readdirSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Empty for a process that has gone meanwhile. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
