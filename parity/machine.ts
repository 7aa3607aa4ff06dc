/** The folder of a run, its builders and their base. All of it goes when it is disposed; what a killed run left, too. */

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { makeBase } from "./base.ts";
import { readImage } from "./image.ts";
import { knownDifferences } from "./known-differences.ts";
import { startReference } from "./reference.ts";
import type { Bench } from "./run-case.ts";
import { startTsbuild } from "./tsbuild.ts";

export interface Machine extends AsyncDisposable {
  readonly bench: Bench;
  /** Of the reference. */
  readonly version: string | undefined;
}

export interface MachineSettings {
  readonly withReference: boolean;
  readonly signal: AbortSignal;
}

const parent = "/tmp";
const prefix = "tsbuild-test-parity-";

export async function startMachine({ withReference, signal }: MachineSettings): Promise<Machine> {
  sweep();
  const folder = mkdtempSync(join(parent, `${prefix}${process.pid}-`));
  const started = Math.floor(Date.now() / 1000);
  const letGo = (): void => remove(folder);
  try {
    const base = makeBase(folder);
    for (const name of ["docker", "cases"]) mkdirSync(join(folder, name));
    const reference = withReference ? await startReference(join(folder, "docker"), base) : undefined;
    const dispose = async (): Promise<void> => {
      await reference?.[Symbol.asyncDispose]();
      letGo();
    };
    try {
      const bench: Bench = {
        folder: join(folder, "cases"),
        tsbuild: await startTsbuild(join(folder, "store"), base, signal),
        reference: reference?.builder,
        isKnownReference: reference?.version.startsWith("20.10.") ?? false,
        base: await readImage(base),
        known: knownDifferences(),
        started,
      };
      return { bench, version: reference?.version, [Symbol.asyncDispose]: dispose };
    } catch (error) {
      await dispose();
      throw error;
    }
  } catch (error) {
    letGo();
    throw error;
  }
}

/** Folders of runs whose process is gone. */
function sweep(): void {
  for (const name of readdirSync(parent)) {
    const pid = name.startsWith(prefix) ? Number.parseInt(name.slice(prefix.length), 10) : Number.NaN;
    if (!Number.isNaN(pid) && !isAlive(pid)) remove(join(parent, name));
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** dockerd leaves its network namespaces mounted. */
function remove(folder: string): void {
  const points = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .flatMap((line) => line.split(" ")[4] ?? [])
    .filter((path) => path.startsWith(`${folder}/`));
  for (const point of points.toReversed()) spawnSync("umount", ["-l", point], { stdio: "ignore" });
  rmSync(folder, { recursive: true, force: true });
}
