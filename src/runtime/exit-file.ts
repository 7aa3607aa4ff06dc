/**
 * The `exit` file of a container's state folder: the launcher writes it at the end, so that the exit code outlives
 * everyone who could have been told. The file is there, and empty, from the start.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../errors.ts";

export interface ExitFile {
  /** The exit code, or 128 + the signal. */
  readonly code: number;
  readonly signal: number | undefined;
  readonly exitedAtMs: number;
}

/** `CODE SIGNAL SECONDS NANOSECONDS`. Undefined: it runs, or everything died before it could be written. */
export function readExitFile(stateDir: string): ExitFile | undefined {
  let text: string;
  try {
    text = readFileSync(join(stateDir, "exit"), "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  const match = /^(\d+) (\d+) (\d+) (\d+)\n$/.exec(text);
  if (match === null) return undefined;
  const [code = 0, signal = 0, seconds = 0, nanoseconds = 0] = match.slice(1).map(Number);
  return {
    code,
    signal: signal === 0 ? undefined : signal,
    exitedAtMs: seconds * 1000 + Math.floor(nanoseconds / 1e6),
  };
}
