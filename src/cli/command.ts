/**
 * What a command is to `main`: a name, options, and a function from arguments to an exit code. A command never touches
 * `process`; what it needs of the world is in the context. Its module is loaded only when it is called.
 */
import type { Command } from "commander";
import type { Store } from "../store/store.ts";

export interface CommandModule {
  /** Declares arguments, options, examples. Called for `--help` and before `run`. */
  define(command: Command): void;
  /** `command.processedArgs`/`args` and `command.opts()` hold what was typed. Results go to `context.stdout`. */
  run(command: Command, context: CommandContext): Promise<number>;
}

export interface CommandContext {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly debug: boolean;
  /** `native`, `crun`, `runc`, a path. */
  readonly runtime: string;
  /** Folder of the client configuration: `~/.docker`. */
  readonly configDir: string;
  /** Aborted by SIGINT, SIGTERM and SIGHUP; the reason is the signal's name. `main` then exits with 128 + n. */
  readonly signal: AbortSignal;
  now(): number;
  /** Opened on first use, closed by `main`. */
  openStore(): Store;
}
