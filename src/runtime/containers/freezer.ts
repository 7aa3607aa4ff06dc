/** Stopping all processes of a cgroup at once. Source: the kernel's cgroup-v2.rst and cgroup-v1/freezer-subsystem.rst. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { cgroupFolders } from "../cgroup/cgroup.ts";
import { freezerMissing, freezingFailed } from "../container-errors.ts";
import { type ContainerId, cgroupsPath } from "./container-id.ts";

interface Freezer {
  readonly file: string;
  readonly freeze: string;
  readonly thaw: string;
  readonly isFrozen: () => boolean;
}

const freezeMs = 10_000;

/** @throws {TsbuildError} `UNSUPPORTED` without a freezer, `RUNTIME_FAILED` when it does not stop within 10 s. */
export async function freeze(id: ContainerId): Promise<void> {
  const freezer = freezerOf(id);
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

export function thaw(id: ContainerId): void {
  const freezer = freezerOf(id);
  writeFileSync(freezer.file, freezer.thaw);
}

function freezerOf(id: ContainerId): Freezer {
  const folders = cgroupFolders(cgroupsPath(id));
  const v1 = folders.get("freezer");
  if (v1 !== undefined && existsSync(`${v1}/freezer.state`)) {
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
