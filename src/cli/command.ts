/**
 * What a command is to `main`: a name, options, and a function from arguments to an exit code. A command never touches
 * `process`; what it needs of the world is in the context. Its module is loaded only when it is called.
 */
import type { Command } from "commander";
import type { Store } from "../store/store.ts";

export interface CommandModule {
  /**
   * Declares arguments, options, examples. Called for `--help` and before `run`. An option with a value in brackets
   * (`--pull [policy]`) takes it only as `--pull=always`; alone it means its preset. A list is an option with an
   * `argParser` that collects, not a variadic one, which would swallow the words after it.
   */
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
  /** Absolute path of the store's folder, whether it exists or not. */
  readonly root: string;
  /** Folder of the client configuration: `~/.docker`. */
  readonly configDir: string;
  /** Aborted by SIGINT, SIGTERM and SIGHUP; the reason is the signal's name. `main` then exits with 128 + n. */
  readonly signal: AbortSignal;
  /**
   * Until disposed, every signal that can be passed on (not CHLD, PIPE, WINCH, URG) goes to `handler` and no longer
   * aborts: for an attached container, whose process is meant.
   */
  interceptSignals(handler: (signal: NodeJS.Signals) => void): Disposable;
  now(): number;
  /** Opened on first use, closed by `main`. */
  openStore(): Store;
}
