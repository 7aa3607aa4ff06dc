/** Runs a command of a benchmark: quietly, with its last words when it fails. */
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import type { Timed } from "./scenario.ts";

export class CommandFailed extends Error {}

/** Milliseconds from start to exit. @throws {CommandFailed} */
export function time(command: Timed): number {
  const started = performance.now();
  const result = call(command);
  const elapsed = performance.now() - started;
  if (result.status !== 0) throw failure(command, result);
  return elapsed;
}

/** Standard output. @throws {CommandFailed} */
export function run(argv: readonly string[], env: Readonly<Record<string, string>> = {}): string {
  const result = call({ argv, env });
  if (result.status !== 0) throw failure({ argv }, result);
  return result.stdout.toString("utf8");
}

function call({ argv, env }: Timed): SpawnSyncReturns<Buffer> {
  const [program = "", ...args] = argv;
  return spawnSync(program, args, {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 2 ** 28,
  });
}

function failure({ argv }: Timed, result: SpawnSyncReturns<Buffer>): CommandFailed {
  const words = result.stderr?.toString("utf8").trim().split("\n").slice(-3).join(" | ");
  return new CommandFailed(
    `${argv.join(" ")}: ${result.error?.message ?? `exit ${result.status ?? result.signal}`}: ${words}`,
  );
}
