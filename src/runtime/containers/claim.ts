/**
 * Who may start a container and write its state: one process at a time, which leaves its identity in the folder for as
 * long as it does so. That of a dead process binds nobody.
 */
import { linkSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { errnoOf } from "../../errors.ts";
import { containerIsRunning } from "../container-errors.ts";
import type { ContainerFolder } from "./container-folder.ts";
import { isAlive, ownIdentity, type ProcessIdentity } from "./process-identity.ts";

/**
 * Makes this process the container's supervisor. Taking it over from a dead one is no conflict.
 * @throws {TsbuildError} `CONTAINER_STATE` when another process has it.
 */
export function claim(folder: ContainerFolder): Disposable {
  // Linked into place, so that nobody reads it half written.
  const staged = `${folder.claimFile}.${process.pid}`;
  writeFileSync(staged, JSON.stringify(ownIdentity()));
  using _ = { [Symbol.dispose]: () => unlinkSync(staged) };
  for (;;) {
    try {
      linkSync(staged, folder.claimFile);
      return {
        [Symbol.dispose]() {
          rmSync(folder.claimFile, { force: true });
        },
      };
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
    }
    const holder = readClaim(folder);
    if (holder !== undefined && isAlive(holder)) throw containerIsRunning(folder.id);
    try {
      unlinkSync(folder.claimFile);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }
}

function readClaim(folder: ContainerFolder): ProcessIdentity | undefined {
  try {
    return JSON.parse(readFileSync(folder.claimFile, "utf8")) as ProcessIdentity;
  } catch {
    return undefined;
  }
}

export function isClaimed(folder: ContainerFolder): boolean {
  const holder = readClaim(folder);
  return holder !== undefined && isAlive(holder);
}

/** True when nobody has it, at once or within the time: a supervisor whose container has ended lets go soon after. */
export async function released(folder: ContainerFolder, withinMs: number): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (isClaimed(folder)) {
    if (performance.now() > deadline) return false;
    await sleep(10);
  }
  return true;
}
