/** One build at a time runs a step: another that comes to the same step waits, and then finds the result in the cache. */
import { mkdirSync, readdirSync } from "node:fs";
import { lockFile, tryLockFile } from "../kernel/file-lock.ts";
import { type Digest, hexOf } from "../oci/digest.ts";

/** `lineage` names what the step makes; `root` is the store's. Rejects with the signal's reason. */
export async function lockStep(root: string, lineage: Digest, signal: AbortSignal): Promise<Disposable> {
  const folder = `${root}/locks`;
  sweep(folder);
  return await lockFile(`${folder}/step-${hexOf(lineage).slice(0, 32)}`, signal);
}

const swept = new Set<string>();

/** Files of builds that were killed: nobody holds them. Once a process. */
function sweep(folder: string): void {
  if (swept.has(folder)) return;
  swept.add(folder);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(folder)) tryLockFile(`${folder}/${name}`)?.[Symbol.dispose]();
}
