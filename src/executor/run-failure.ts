/** How a RUN that failed is told: BuildKit's sentence, and what is known beyond it. */
import { statfsSync } from "node:fs";
import { constants as os } from "node:os";
import type { TsbuildError } from "../errors.ts";
import type { RunInput } from "../planner/build-graph.ts";
import type { ExitStatus } from "../runtime/driver.ts";

const signalNames = new Map<number, string>(Object.entries(os.signals).map(([name, number]) => [number, name]));

/** `exit code: 7`, in BuildKit's words. */
export function failureSentence(argv: readonly string[], status: ExitStatus): string {
  return `process "${argv.join(" ")}" did not complete successfully: exit code: ${status.code}`;
}

/** What is known beyond the exit code: a phrase each. */
export function failureCauses(
  status: ExitStatus,
  { argv, network }: Pick<RunInput, "argv" | "network">,
  memoryBytes: number | undefined,
  storeRoot: string,
): readonly string[] {
  const causes: string[] = [];
  const isShell = argv.length > 1;
  if (status.oomKilled)
    causes.push(
      `killed: out of memory${memoryBytes === undefined ? "" : ` (limit ${Math.round(memoryBytes / MIB)} MiB)`}`,
    );
  else if (status.signal !== undefined)
    causes.push(`ended by ${signalNames.get(status.signal) ?? `signal ${status.signal}`}`);
  else if (status.code === 127 && isShell) causes.push("127 is a shell's word for: command not found");
  else if (status.code === 126 && isShell) causes.push("126 is a shell's word for: found, but not executable");
  else if (status.code > 128 && isShell && signalNames.has(status.code - 128))
    causes.push(`${status.code} is a shell's word for: ended by ${signalNames.get(status.code - 128)}`);
  const { bavail, bsize } = statfsSync(storeRoot);
  if (bavail * bsize < MIB) causes.push(`no space left for the store at ${storeRoot}`);
  if (network === "none") causes.push("the network was none");
  return causes;
}

const MIB = 1024 * 1024;

const shells: readonly string[] = ["/bin/sh", "/bin/bash", "/bin/ash", "/busybox/sh"];

/** What helps a command that never started. `has`: whether the image has something at a path. */
export function startHint(
  argv: readonly string[],
  error: TsbuildError,
  has: (path: string) => boolean,
): string | undefined {
  const [command = "", flag] = argv;
  if (error.hint !== undefined) return error.hint;
  if (error.code === "COMMAND_NOT_EXECUTABLE" && error.message.includes("permission denied"))
    return `make it executable: COPY --chmod=755, or RUN chmod +x ${command}`;
  if (error.code !== "COMMAND_NOT_FOUND" || flag !== "-c" || has(command)) return undefined;
  const shell = shells.find((path) => path !== command && has(path));
  return shell === undefined
    ? 'the image has no shell: name a program of its own, as in RUN ["/program", "argument"], or COPY one from a stage'
    : `the image has another shell: SHELL ["${shell}", "-c"]`;
}

/** The sentence for a command that never started. */
export function startFailureSentence(argv: readonly string[], error: TsbuildError): string {
  return `process "${argv.join(" ")}" did not start: ${error.message}`;
}
