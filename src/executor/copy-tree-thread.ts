/** A copy of many files in a thread of its own. */
import type { CopyTask } from "./copy-tree.ts";
import { runThread } from "./run-thread.ts";

/**
 * @throws {TsbuildError} what `copyTree` throws; the signal's reason on abort, with the thread ended
 */
export async function copyTreeInWorker(task: CopyTask, signal: AbortSignal): Promise<void> {
  await runThread("executor/copy-tree.worker.ts", task, signal);
}
