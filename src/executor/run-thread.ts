/** File work of the executor in a thread of its own, which ends with it. */
import { Worker } from "node:worker_threads";
import { type ErrorFields, errnoOf, TsbuildError } from "../errors.ts";
import { programFile } from "../program-file.ts";

/** Errors cross as their fields: a class would not. */
export type ThreadAnswer = { readonly kind: "done" } | { readonly kind: "failed"; readonly error: ErrorFields };

export interface AskToStop {
  /** The thread is asked to end by itself, and has so long for it. */
  readonly ask: () => void;
  readonly graceMs: number;
}

/**
 * `source`: of the thread, below `src`.
 * @throws {TsbuildError} what the work throws; the signal's reason on abort, with the thread ended
 */
export async function runThread(
  source: Parameters<typeof programFile>[0],
  task: unknown,
  signal: AbortSignal,
  stopping: AskToStop = { ask: () => undefined, graceMs: 0 },
): Promise<void> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<ThreadAnswer>();
  const worker = new Worker(programFile(source), { workerData: task });
  let timer: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    stopping.ask();
    timer = setTimeout(() => reject(signal.reason), stopping.graceMs);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  worker.once("message", resolve).once("error", reject);
  worker.once("exit", () => reject(new Error("a thread ended without an answer")));
  try {
    const answer = await promise;
    if (answer.kind === "failed") throw new TsbuildError(answer.error);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    await worker.terminate();
  }
}

/** On the thread's side. */
export function answerOf(work: () => void): ThreadAnswer {
  try {
    work();
    return { kind: "done" };
  } catch (error) {
    if (error instanceof TsbuildError)
      return { kind: "failed", error: { code: error.code, what: error.message, where: error.where, hint: error.hint } };
    if (errnoOf(error) === "ENOSPC")
      return { kind: "failed", error: { code: "NO_SPACE", what: "no space left on the store's file system" } };
    throw error;
  }
}
