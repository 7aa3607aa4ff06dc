/**
 * The program: gives the world of this process to the command line and leaves with its exit code. The first signal
 * asks for an orderly end, the second ends at once. A reader that goes away ends us quietly.
 */
import { constants } from "node:os";
import { signalExitCode } from "./exit-code.ts";
import { plainOutput } from "./plain-output.ts";
import { runCommandLine, type World } from "./run-command-line.ts";

const endingSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** How long an ended command may take to let go after its reader has gone. */
const unwindMs = 5000;

type SignalHandler = (signal: NodeJS.Signals) => void;

const ending = new AbortController();
let interceptor: SignalHandler | undefined;

function onSignal(signal: NodeJS.Signals): void {
  if (interceptor !== undefined) interceptor(signal);
  else if (ending.signal.aborted) process.exit(signalExitCode(signal));
  else ending.abort(signal);
}

/** Signals that Node can hear and that mean something to a container's process. */
function passableSignals(): readonly NodeJS.Signals[] {
  const deaf = ["SIGKILL", "SIGSTOP", "SIGCHLD", "SIGPIPE", "SIGWINCH", "SIGURG", "SIGPROF", "SIGTRAP", "SIGTTIN"];
  const faults = ["SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGIOT", "SIGSYS", "SIGSTKFLT", "SIGUNUSED"];
  const listened: readonly string[] = [...endingSignals, ...deaf, ...faults, "SIGTTOU", "SIGPOLL"];
  const names = Object.keys(constants.signals).filter((name) => !listened.includes(name));
  // Keys of Node's own table of signals.
  return names as NodeJS.Signals[];
}

const interceptSignals: World["interceptSignals"] = (handler) => {
  const before = interceptor;
  const further = passableSignals();
  interceptor = handler;
  for (const name of further) process.on(name, onSignal);
  return {
    [Symbol.dispose]: () => {
      interceptor = before;
      for (const name of further) process.off(name, onSignal);
    },
  };
};

/** Why results could not be written; a reader that went away is no failure worth a word. */
let outputFailure: string | undefined;

function onOutputError(error: NodeJS.ErrnoException): void {
  if (error.code !== "EPIPE") outputFailure ??= error.message;
  if (!ending.signal.aborted) ending.abort("SIGPIPE");
  setTimeout(() => process.exit(signalExitCode("SIGPIPE")), unwindMs).unref();
}

function onProgressError(): void {
  // Nobody reads the way there: that is no reason to stop.
}

let stdout: NodeJS.WriteStream | undefined;
let stderr: NodeJS.WriteStream | undefined;
const written: NodeJS.WriteStream[] = [];

function watched(stream: NodeJS.WriteStream, onError: (error: NodeJS.ErrnoException) => void): NodeJS.WriteStream {
  stream.on("error", onError);
  written.push(stream);
  return stream;
}

/** What was written has reached its reader, or is known not to. */
async function flush(): Promise<void> {
  for (const stream of written) await new Promise<void>((resolve) => stream.write("", () => resolve()));
}

function setColor(color: "always" | "never"): void {
  delete process.env["NO_COLOR"];
  delete process.env["FORCE_COLOR"];
  process.env[color === "always" ? "FORCE_COLOR" : "NO_COLOR"] = "1";
}

/** Its old name where somebody has removed it: relative paths are not found then, and all else works. */
function currentFolder(): string {
  try {
    return process.cwd();
  } catch {
    return process.env["PWD"] ?? "/";
  }
}

async function main(): Promise<void> {
  for (const name of endingSignals) process.on(name, onSignal);
  // Node announces node:sqlite as experimental on stderr, which is ours.
  if (process.env["TSBUILD_DEBUG"] === undefined) process.removeAllListeners("warning");
  const code = await runCommandLine(process.argv.slice(2), {
    stdin: () => process.stdin,
    stdout: () => (stdout ??= watched(plainOutput(1, () => process.stdout) ?? process.stdout, onOutputError)),
    stderr: () => (stderr ??= watched(plainOutput(2, () => process.stderr) ?? process.stderr, onProgressError)),
    environment: process.env,
    cwd: currentFolder(),
    uid: process.getuid?.() ?? 0,
    signal: ending.signal,
    interceptSignals,
    setColor,
  });
  await flush();
  if (outputFailure !== undefined) {
    process.stderr.write(`error: standard output: ${outputFailure}\n`);
    process.exit(1);
  }
  process.exit(ending.signal.aborted ? signalExitCode(String(ending.signal.reason)) : code);
}

// No top-level await: the bundle is CommonJS, which starts faster. What is thrown here ends the process.
void main();
