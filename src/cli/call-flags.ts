/** `--check`, `--call` and what goes with them: a build that only talks about its Dockerfile. */
import type { Command } from "commander";

export function defineCallFlags(command: Command): void {
  command
    .option("--check", "look for mistakes and build nothing; 1 when there are any")
    .option("--call <method>", "build, check, outline, targets; with ,format=… and ,ignorestatus=true");
  defineCheckFlags(command);
}

export function defineCheckFlags(command: Command): void {
  command
    .option("--format <format>", "of --check: text, json, sarif, gha; of --call: text, json")
    .option("--severity <severity>", "with --check: error leaves warnings out (default: warning)")
    .option("--fix", "with --check: rewrite in the Dockerfile what can be rewritten without changing what it means");
}

export interface CallFlags {
  readonly check?: boolean;
  readonly call?: string;
  readonly format?: string;
  readonly fix?: boolean;
  readonly severity?: string;
}

/** Whether one of them is given: an ordinary build need not load what reads them. */
export const isCall = (flags: CallFlags): boolean =>
  [flags.check, flags.call, flags.format, flags.fix, flags.severity].some((flag) => flag !== undefined);
