/** The caller's terminal or pipes on one side, a container on the other, until one of them ends or lets go. */
import type { TerminalSize } from "../../runtime/containers/connection.ts";
import { detachKeys, rawTerminal } from "../../runtime/terminal.ts";
import type { CommandContext } from "../command.ts";

/** A container or an exec'ed process, however it is reached. */
export interface Attached {
  /** False: no room until `onRoom` fires. */
  input(data: Buffer): boolean;
  inputEnd(): void;
  onRoom(callback: () => void): void;
  resize(size: TerminalSize): void;
  readonly exited: Promise<number | undefined>;
  /** Undefined: signals to us end us. */
  readonly onSignal: ((signal: NodeJS.Signals) => void) | undefined;
}

export interface AttachStreamsOptions {
  readonly stdin: boolean;
  readonly tty: boolean;
  readonly detachKeys: string;
}

export type AttachEnd = { readonly kind: "exited"; readonly code: number | undefined } | { readonly kind: "detached" };

export async function attachStreams(
  attached: Attached,
  options: AttachStreamsOptions,
  context: CommandContext,
): Promise<AttachEnd> {
  using cleanup = new DisposableStack();
  const detached = Promise.withResolvers<AttachEnd>();
  if (attached.onSignal !== undefined) cleanup.use(context.interceptSignals(attached.onSignal));
  if (options.tty) cleanup.use(followSize(attached, context));
  if (options.stdin) {
    cleanup.use(forwardInput(attached, options, context.stdin, () => detached.resolve({ kind: "detached" })));
  }
  const exited = attached.exited.then((code): AttachEnd => ({ kind: "exited", code }));
  return await Promise.race([exited, detached.promise, aborted(context.signal, cleanup)]);
}

/** Raw mode, where both ends are terminals. Before anything runs: its first line would be cooked twice. */
export function rawMode(options: Pick<AttachStreamsOptions, "stdin" | "tty">, { stdin }: CommandContext): Disposable {
  return options.tty && options.stdin && stdin.isTTY ? rawTerminal(stdin) : { [Symbol.dispose]: () => undefined };
}

export function terminalSize(stdout: CommandContext["stdout"]): TerminalSize | undefined {
  return stdout.isTTY ? { columns: stdout.columns, rows: stdout.rows } : undefined;
}

function forwardInput(
  attached: Attached,
  options: AttachStreamsOptions,
  stdin: CommandContext["stdin"],
  onDetach: () => void,
): Disposable {
  const keys = options.tty ? detachKeys(options.detachKeys) : undefined;
  const onData = (data: Buffer): void => {
    const { pass, detached } = keys?.feed(data) ?? { pass: data, detached: false };
    if (pass.length > 0 && !attached.input(pass)) stdin.pause();
    if (detached) onDetach();
  };
  const onEnd = (): void => attached.inputEnd();
  attached.onRoom(() => stdin.resume());
  stdin.on("data", onData).on("end", onEnd);
  // A terminal that hangs up ends the input.
  stdin.on("error", onEnd);
  return {
    [Symbol.dispose]() {
      stdin.off("data", onData).off("end", onEnd);
      stdin.pause();
    },
  };
}

function followSize(attached: Attached, { stdout }: CommandContext): Disposable {
  const onResize = (): void => {
    const size = terminalSize(stdout);
    if (size !== undefined) attached.resize(size);
  };
  stdout.on("resize", onResize);
  return { [Symbol.dispose]: () => void stdout.off("resize", onResize) };
}

/** Rejects when we are asked to end. */
function aborted(signal: AbortSignal, cleanup: DisposableStack): Promise<never> {
  return new Promise((_, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort);
    cleanup.defer(() => signal.removeEventListener("abort", onAbort));
  });
}
