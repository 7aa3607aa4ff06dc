/** A copy of many files in a thread of its own. */
import { Worker } from "node:worker_threads";
import { type ErrorFields, TsbuildError } from "../errors.ts";
import { programFile } from "../program-file.ts";
import type { CopyTask } from "./copy-tree.ts";

export type CopyAnswer = { readonly kind: "done" } | { readonly kind: "failed"; readonly error: ErrorFields };

/**
 * @throws {TsbuildError} what `copyTree` throws; the signal's reason on abort, with the thread ended
 */
export async function copyTreeInWorker(task: CopyTask, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<CopyAnswer>();
  const worker = new Worker(programFile("executor/copy-tree.worker.ts"), { workerData: task });
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  worker.once("message", resolve).once("error", reject);
  worker.once("exit", () => reject(new Error("the copying thread ended without an answer")));
  try {
    const answer = await promise;
    if (answer.kind === "failed") throw new TsbuildError(answer.error);
  } finally {
    signal.removeEventListener("abort", onAbort);
    await worker.terminate();
  }
}
