/**
 * A container's control group: made before it starts, joined by its first process itself, removed after its end. Works
 * on v2 and v1; a controller that is missing only matters when a limit of it was asked for.
 * Sources: cgroup-v2.rst and cgroup-v1/ in the kernel's docs; runtime-spec, config-linux.md, "Control groups".
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, normalize } from "node:path";
import { errnoOf, TsbuildError } from "../../errors.ts";
import type { LinuxSpec } from "../../oci/runtime-spec.ts";
import { type CgroupLayout, cgroupLayout } from "./detect.ts";
import { type LimitFile, v1Limits, v2Limits } from "./limits.ts";

export interface Cgroup {
  /** v1: whoever writes `0` to all of these is in. */
  readonly procsFiles: readonly string[];
  /** v2: the folder to be born in (CLONE_INTO_CGROUP). */
  readonly bornIn: string | undefined;
  /** All folders that were made. */
  readonly folders: readonly string[];
  /** Which devices may be opened is decided by the group (v2: by a program that its maker attaches). */
  readonly guardsDevices: boolean;
  /** Some process of it was killed for want of memory. */
  oomKilled(): boolean;
  /** Ends every process in it: for containers whose pid namespace does not end with them. */
  kill(): void;
  /** Tries for a second while the kernel still counts what has just ended. */
  remove(): void;
}

const none: Cgroup = {
  procsFiles: [],
  bornIn: undefined,
  folders: [],
  guardsDevices: false,
  oomKilled: () => false,
  kill: () => undefined,
  remove: () => undefined,
};

/** Made even without limits: to count out-of-memory kills, and for the device rules. */
const alwaysControllers: readonly string[] = ["memory", "devices"];

/** The parent of all our groups; it goes with the last of them. */
const OUR_PARENT = "tsbuild";

const cgroupFailed = (what: string, path: string, cause?: unknown): TsbuildError =>
  new TsbuildError({ code: "RUNTIME_FAILED", what, where: { kind: "path", path }, cause });

/**
 * Without `cgroupsPath` the container stays in the caller's group.
 * @throws {TsbuildError} `RUNTIME_FAILED` when a limit that was asked for cannot be set.
 */
export function makeCgroup(spec: Pick<LinuxSpec, "cgroupsPath" | "resources">): Cgroup {
  sweepOnce();
  const layout = cgroupLayout();
  if (spec.cgroupsPath === undefined || layout.kind === "none") {
    const asked = [...v1Limits(spec.resources ?? {}), ...v2Limits(spec.resources ?? {})].find((limit) => limit.asked);
    if (asked !== undefined) throw cgroupFailed(`cannot limit ${asked.controller}: no control group`, "/sys/fs/cgroup");
    return none;
  }
  const path = safePath(spec.cgroupsPath);
  if (layout.kind === "v2") return makeV2(layout.mountPoint, path, spec) ?? none;
  return makeBesideV1(layout.unified, path, spec) ?? makeV1(layout, path, spec);
}

/**
 * Beside v1 a v2 tree has no controllers, but its groups guard devices and can be born in. Joining a v1 group takes some
 * ten milliseconds (all threads of the machine have to be held), being born in a v2 group nothing. So what needs no
 * controller, asks for no limit and no parent of the user's, which is most, goes there.
 */
function makeBesideV1(
  unified: string | undefined,
  path: string,
  spec: Pick<LinuxSpec, "resources">,
): Cgroup | undefined {
  const isOurs = basename(dirname(path)) === OUR_PARENT;
  if (unified === undefined || !isOurs || !existsSync("/sys/fs/bpf")) return undefined;
  if (v1Limits(spec.resources ?? {}).some((limit) => limit.asked)) return undefined;
  return makeV2(unified, path, spec);
}

/** Below the hierarchy's root, whatever it says. */
function safePath(cgroupsPath: string): string {
  return normalize(`/${cgroupsPath}`).replace(/\/$/, "");
}

function makeV1(
  layout: Extract<CgroupLayout, { kind: "v1" }>,
  path: string,
  spec: Pick<LinuxSpec, "resources">,
): Cgroup {
  const limits = v1Limits(spec.resources ?? {});
  const wanted = new Set([...alwaysControllers, ...limits.filter((l) => l.asked).map((l) => l.controller)]);
  const folders = new Map<string, string>();
  for (const { mountPoint, controllers } of layout.hierarchies) {
    if (!controllers.some((controller) => wanted.has(controller))) continue;
    const folder = join(mountPoint, path);
    const needed = limits.some((limit) => limit.asked && controllers.includes(limit.controller));
    if (!tryMakeFolder(folder, needed)) continue;
    if (controllers.includes("cpuset")) inheritCpuset(mountPoint, folder);
    for (const controller of controllers) folders.set(controller, folder);
  }
  const unique = [...new Set(folders.values())];
  orRemove(unique, () => writeLimits(limits, folders));
  return {
    procsFiles: unique.map((folder) => join(folder, "cgroup.procs")),
    bornIn: undefined,
    folders: unique,
    guardsDevices: folders.has("devices"),
    oomKilled: () => countOf(folders.get("memory"), "memory.oom_control") > 0,
    kill: () => killAll(unique[0]),
    remove: () => removeFolders(unique),
  };
}

/** Undefined: no group can be made here. */
function makeV2(mountPoint: string, path: string, spec: Pick<LinuxSpec, "resources">): Cgroup | undefined {
  const limits = v2Limits(spec.resources ?? {});
  const folder = join(mountPoint, path);
  const needed = limits.some((limit) => limit.asked);
  if (!tryMakeFolder(folder, needed)) return undefined;
  const wanted = new Set([...alwaysControllers, ...limits.map((limit) => limit.controller)]);
  delegate(mountPoint, dirname(folder), wanted);
  const available = new Set(readWords(join(folder, "cgroup.controllers")));
  orRemove([folder], () => writeLimits(limits, new Map([...available].map((controller) => [controller, folder]))));
  return {
    procsFiles: [],
    bornIn: folder,
    folders: [folder],
    guardsDevices: true,
    oomKilled: () => countOf(folder, "memory.events") > 0,
    kill: () => killAll(folder),
    remove: () => removeFolders([folder]),
  };
}

const KILL_ROUNDS = 100;

/** What is forked meanwhile is born in the group, so a round without any process is the last. */
function killAll(folder: string | undefined): void {
  if (folder === undefined) return;
  // v2, since 5.14.
  if (existsSync(join(folder, "cgroup.kill")) && tryWrite(join(folder, "cgroup.kill"), "1") === undefined) return;
  for (let round = 0; round < KILL_ROUNDS; round += 1) {
    const pids = readWords(join(folder, "cgroup.procs")).map(Number);
    if (pids.length === 0) return;
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended by itself.
      }
    }
  }
}

function orRemove(folders: readonly string[], fill: () => void): void {
  try {
    fill();
  } catch (error) {
    removeFolders(folders);
    throw error;
  }
}

function tryMakeFolder(folder: string, needed: boolean): boolean {
  try {
    cancelRemoval(folder);
    mkdirGroup(folder);
    return true;
  } catch (error) {
    // Read-only or not ours: without limits the container does as well without a group.
    if (needed) throw cgroupFailed("cannot make the control group that the limits need", folder, error);
    return false;
  }
}

const MKDIR_TRIES = 20;

/** The parent may be taken away by whoever ends the last of its children, between its making and the child's. */
function mkdirGroup(folder: string): void {
  for (let tries = 0; ; tries += 1) {
    try {
      mkdirSync(folder, { recursive: true });
      return;
    } catch (error) {
      if (errnoOf(error) !== "ENOENT" || tries === MKDIR_TRIES) throw error;
    }
  }
}

/** A controller is there for children only when each ancestor passes it on, from the top down. */
function delegate(mountPoint: string, parent: string, wanted: ReadonlySet<string>): void {
  const below = parent
    .slice(mountPoint.length)
    .split("/")
    .filter((part) => part !== "");
  for (let depth = 0; depth <= below.length; depth += 1) {
    const folder = join(mountPoint, ...below.slice(0, depth));
    const passed = new Set(readWords(join(folder, "cgroup.subtree_control")));
    for (const controller of readWords(join(folder, "cgroup.controllers"))) {
      if (!wanted.has(controller) || passed.has(controller)) continue;
      // EBUSY: processes in an inner node; then the limit's own file will be missing, and says so if asked for.
      tryWrite(join(folder, "cgroup.subtree_control"), `+${controller}`);
    }
  }
}

function readWords(path: string): string[] {
  try {
    return readFileSync(path, "utf8")
      .trim()
      .split(/\s+/)
      .filter((word) => word !== "");
  } catch {
    return []; // no such file: no controllers
  }
}

function tryWrite(path: string, text: string): unknown {
  try {
    writeFileSync(path, text);
    return undefined;
  } catch (error) {
    return error;
  }
}

/** v1: a group without cpus and mems lets nobody join (ENOSPC). Each level takes its parent's. */
function inheritCpuset(mountPoint: string, folder: string): void {
  const below = folder
    .slice(mountPoint.length)
    .split("/")
    .filter((part) => part !== "");
  for (let depth = 1; depth <= below.length; depth += 1) {
    const here = join(mountPoint, ...below.slice(0, depth));
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      if (readFileSync(join(here, file), "utf8").trim() !== "") continue;
      writeFileSync(join(here, file), readFileSync(join(dirname(here), file)));
    }
  }
}

function writeLimits(limits: readonly LimitFile[], folders: ReadonlyMap<string, string>): void {
  for (const limit of limits) {
    const folder = folders.get(limit.controller);
    if (folder === undefined) {
      if (limit.asked) {
        throw cgroupFailed(`cannot set ${limit.what}: no cgroup controller ${limit.controller} here`, "/sys/fs/cgroup");
      }
      continue;
    }
    const problem = tryWrite(join(folder, limit.file), limit.text);
    if (problem === undefined || !limit.asked) continue;
    // Swap accounting is often not compiled in; memory alone is limited then, as in the peers.
    if (limit.optional && errnoOf(problem) === "ENOENT") continue;
    throw cgroupFailed(
      `cannot set ${limit.what} to ${limit.text}: ${errnoOf(problem) ?? "it failed"}`,
      join(folder, limit.file),
      problem,
    );
  }
}

/** The `oom_kill` line of a file of counters. */
function countOf(folder: string | undefined, file: string): number {
  if (folder === undefined) return 0;
  try {
    return Number(/^oom_kill (\d+)$/m.exec(readFileSync(join(folder, file), "utf8"))?.[1] ?? 0);
  } catch {
    return 0; // the controller is not there
  }
}

const REMOVE_TRIES = 50;
const REMOVE_PAUSE_MS = 20;

/** Groups whose last process the kernel still counts, with the timer of the next try. */
const removals = new Map<string, NodeJS.Timeout>();

function removeFolders(folders: readonly string[], tries = REMOVE_TRIES): void {
  for (const folder of folders) removeSoon(folder, tries);
  removeParents(folders);
}

function removeSoon(folder: string, tries: number): void {
  removals.delete(folder);
  if (removeFolder(folder) !== "EBUSY" || tries === 0) return;
  const again = (): void => {
    removeSoon(folder, tries - 1);
    removeParents([folder]);
  };
  removals.set(folder, setTimeout(again, REMOVE_PAUSE_MS));
}

function removeParents(folders: readonly string[]): void {
  for (const parent of parentsToRemove(folders)) removeFolder(parent);
}

/** A container that starts again has the group of its former life: nobody may take it away under its feet. */
function cancelRemoval(folder: string): void {
  const timer = removals.get(folder);
  if (timer === undefined) return;
  clearTimeout(timer);
  removals.delete(folder);
  // Better a fresh one, with counters at zero, if the kernel has let go by now.
  removeFolder(folder);
}

function removeFolder(folder: string): string | undefined {
  try {
    rmdirSync(folder);
    return undefined;
  } catch (error) {
    return errnoOf(error);
  }
}

/** Ours, not a `--cgroup-parent` of the user's. While there are other children it refuses to go. */
export function parentsToRemove(folders: readonly string[]): readonly string[] {
  return [...new Set(folders.map((folder) => dirname(folder)))].filter((parent) => basename(parent) === OUR_PARENT);
}

/**
 * Where a container's group lies, for whoever joins it (exec) or looks at it (stats, pause). By controller; the v2
 * hierarchy is `""`, also where it stands beside v1.
 */
export function cgroupFolders(cgroupsPath: string): ReadonlyMap<string, string> {
  const layout = cgroupLayout();
  const path = safePath(cgroupsPath);
  if (layout.kind === "none") return new Map();
  if (layout.kind === "v2") return new Map([["", join(layout.mountPoint, path)]]);
  const folders = new Map(
    layout.hierarchies.flatMap(({ mountPoint, controllers }) =>
      controllers.map((controller) => [controller, join(mountPoint, path)] as const),
    ),
  );
  if (layout.unified !== undefined) folders.set("", join(layout.unified, path));
  return folders;
}

/** How many of its processes were killed for want of memory. */
export function oomKillsOf(cgroupsPath: string): number {
  const folders = cgroupFolders(cgroupsPath);
  return countOf(folders.get("memory"), "memory.oom_control") + countOf(folders.get(""), "memory.events");
}

/** The group of a container that runs, to be joined: what `makeCgroup` made. */
export function existingCgroup(cgroupsPath: string | undefined): Pick<Cgroup, "procsFiles" | "bornIn"> {
  if (cgroupsPath === undefined) return none;
  const folders = [...new Set(cgroupFolders(cgroupsPath).values())].filter((folder) => existsSync(folder));
  const unified = cgroupFolders(cgroupsPath).get("");
  const joined = folders.filter((folder) => folder !== unified);
  return {
    procsFiles: joined.map((folder) => join(folder, "cgroup.procs")),
    bornIn: folders.find((folder) => folder === unified),
  };
}

/**
 * Makes a group in every hierarchy for a runtime that will fill it: runtimes do not expect their parent to be taken away
 * under their hands, as it is with the last of its children.
 */
export function reserveCgroup(cgroupsPath: string): void {
  for (const folder of new Set(cgroupFolders(cgroupsPath).values())) tryMakeFolder(folder, false);
}

/** Removes what a container whose launcher and monitor died left behind. Nothing happens while processes are in it. */
export function removeCgroup(cgroupsPath: string): void {
  removeFolders([...new Set(cgroupFolders(cgroupsPath).values())]);
}

let swept = false;

/**
 * Removes groups below /tsbuild that nobody is in: what a kill of container, launcher and owner at once left behind.
 * Only those older than a minute: a younger one may be about to be joined.
 */
function sweepOnce(): void {
  if (swept) return;
  swept = true;
  for (const parent of new Set(cgroupFolders("/tsbuild").values())) {
    if (!existsSync(parent)) continue;
    for (const entry of readdirSync(parent, { withFileTypes: true })) {
      const folder = join(parent, entry.name);
      const age = Date.now() - (statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
      // rmdir refuses a group with processes in it.
      if (entry.isDirectory() && age > SWEEP_AGE_MS) removeFolders([folder], 0);
    }
  }
}

const SWEEP_AGE_MS = 60_000;
