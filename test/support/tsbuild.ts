/** Runs the program as a user does: the bundle in dist/, which the global setup keeps up to date. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The shipped program. */
export const program: string = fileURLToPath(new URL("../../dist/tsbuild.cjs", import.meta.url));
/** The same from its sources. */
export const sourceProgram: string = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

export interface TsbuildOptions {
  readonly cwd?: string;
  /** Over the environment of the tests. Undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** For stdin, which is empty without it. */
  readonly input?: string | Uint8Array;
  /** Ends the program with SIGKILL and fails: a command that hangs says so here. */
  readonly timeoutMs?: number;
  readonly program?: string;
  /** A command that runs it: `nsenter`, with its words. */
  readonly wrapper?: readonly string[];
}

export interface TsbuildResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs to the end. Never rejects for an exit code. */
export async function tsbuild(args: readonly string[], options: TsbuildOptions = {}): Promise<TsbuildResult> {
  const result = await tsbuildBytes(args, options);
  return { code: result.code, stdout: result.stdout.toString("utf8"), stderr: result.stderr.toString("utf8") };
}

/** The same, for output that is no text. */
export async function tsbuildBytes(
  args: readonly string[],
  options: TsbuildOptions = {},
): Promise<{ readonly code: number; readonly stdout: Buffer; readonly stderr: Buffer }> {
  const child = startTsbuild(args, options);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on("data", (bytes: Buffer) => stdout.push(bytes));
  child.stderr?.on("data", (bytes: Buffer) => stderr.push(bytes));
  // A program that does not read its stdin is no failure of the test.
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(options.input ?? "");
  const timeoutMs = options.timeoutMs ?? 50_000;
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  const started = Date.now();
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (...end) => resolve(end));
  });
  clearTimeout(timer);
  if (code === null) {
    const said = Buffer.concat([...stdout, ...stderr]).toString("utf8");
    throw new Error(`tsbuild ${args.join(" ")}: ended by ${signal} after ${Date.now() - started} ms\n${said}`);
  }
  return { code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) };
}

/** Starts it and hands the process over: for signals, and for what runs beside it. Streams are pipes. */
export function startTsbuild(args: readonly string[], options: TsbuildOptions = {}): ChildProcess {
  const [command = "", ...words] = [...(options.wrapper ?? []), process.execPath, options.program ?? program, ...args];
  return spawn(command, words, {
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    env: { ...process.env, NO_COLOR: "1", ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
}
