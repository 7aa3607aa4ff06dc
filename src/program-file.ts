/**
 * Where the program's own files lie: in a working copy where their sources are, in the bundle side by side. Open to
 * all rooms, for those that start a thread or a process with a program of its own.
 */
import { basename, join } from "node:path";

/** Written by scripts/build.mjs. */
declare const TSBUILD_BUNDLED: true | undefined;

/** Absolute path of an entry point, named by its source below `src`: `store/layer-work.worker.ts`. */
export function programFile(source: `${string}.ts`): string {
  if (typeof TSBUILD_BUNDLED === "undefined") return join(import.meta.dirname, source);
  return join(import.meta.dirname, `${basename(source, ".ts")}.cjs`);
}

/** The folder with what the build made: the launcher, and the bundle. */
export function programFolder(): string {
  return typeof TSBUILD_BUNDLED === "undefined" ? join(import.meta.dirname, "../dist") : import.meta.dirname;
}
