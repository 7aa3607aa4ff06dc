/** Stopping all processes of a cgroup at once. Source: the kernel's cgroup-v2.rst and cgroup-v1/freezer-subsystem.rst. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { errnoOf } from "../../errors.ts";
import { cgroupFolders, removeCgroup } from "../cgroup/cgroup.ts";
import { freezerMissing, freezingFailed } from "../container-errors.ts";
import type { Container } from "./container-folder.ts";
import { containerProcesses, groupOf } from "./container-processes.ts";

interface Freezer {
  readonly file: string;
  readonly freeze: string;
  readonly thaw: string;
  readonly isFrozen: () => boolean;
}

const freezeMs = 10_000;

/** @throws {TsbuildError} `UNSUPPORTED` without a freezer, `RUNTIME_FAILED` when it does not stop within 10 s. */
export async function freeze(container: Container): Promise<void> {
  joinV1Freezer(container);
  const freezer = freezerOf(groupOf(container));
  writeFileSync(freezer.file, freezer.freeze);
  const deadline = performance.now() + freezeMs;
  while (!freezer.isFrozen()) {
    if (performance.now() > deadline) {
      writeFileSync(freezer.file, freezer.thaw);
      throw freezingFailed();
    }
    await sleep(2);
  }
}

/**
 * v1: containers are born without a group of this hierarchy, most are never paused. All processes of it go in, until
 * none is left outside: what is forked meanwhile is born where its parent is.
 */
function joinV1Freezer(container: Container): void {
  const group = cgroupFolders(groupOf(container)).get("freezer");
  if (group === undefined) return;
  try {
    mkdirSync(group, { recursive: true });
  } catch (error) {
    // A recursive mkdir answers ENOENT on a read-only file system.
    if (/^(?:EROFS|EACCES|EPERM|ENOENT)$/.test(errnoOf(error) ?? "")) throw freezerMissing();
    throw error;
  }
  for (;;) {
    const inside = new Set(readFileSync(`${group}/cgroup.procs`, "latin1").split("\n"));
    const outside = containerProcesses(container).filter((pid) => !inside.has(String(pid)));
    if (outside.length === 0) return;
    for (const pid of outside) {
      try {
        writeFileSync(`${group}/cgroup.procs`, String(pid));
      } catch (error) {
        // It has ended.
        if (errnoOf(error) !== "ESRCH") throw error;
      }
    }
  }
}

/** The group of a container that was paused once. */
export function removeFreezer(cgroupsPath: string): void {
  const group = cgroupFolders(cgroupsPath).get("freezer");
  if (group !== undefined && existsSync(group)) removeCgroup(cgroupsPath);
}

export function thaw(container: Container): void {
  const freezer = freezerOf(groupOf(container));
  writeFileSync(freezer.file, freezer.thaw);
}

function freezerOf(cgroupsPath: string): Freezer {
  const folders = cgroupFolders(cgroupsPath);
  const v1 = folders.get("freezer");
  if (v1 !== undefined) {
    const file = `${v1}/freezer.state`;
    return {
      file,
      freeze: "FROZEN",
      thaw: "THAWED",
      isFrozen: () => readFileSync(file, "latin1").trim() === "FROZEN",
    };
  }
  const v2 = folders.get("");
  if (v2 !== undefined && existsSync(`${v2}/cgroup.freeze`)) return v2Freezer(v2);
  throw freezerMissing();
}

function v2Freezer(folder: string): Freezer {
  return {
    file: `${folder}/cgroup.freeze`,
    freeze: "1",
    thaw: "0",
    isFrozen: () => readFileSync(`${folder}/cgroup.events`, "latin1").includes("frozen 1"),
  };
}
