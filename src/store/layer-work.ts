/**
 * Work on many files, in worker threads: packing, unpacking and writing layers. A worker that has nothing to do is kept
 * for the next task and does not keep the process alive. Abort ends the worker, wherever it stands; what it leaves in
 * `tmp/` belongs to the caller.
 */

import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { type ErrorFields, errnoOf, TsbuildError } from "../errors.ts";
import { programFile } from "../program-file.ts";
import { tooManyFiles } from "./errors.ts";
import type { EstargzTask, WrittenEstargz } from "./estargz.ts";
import type { Sealed, SealTask } from "./seal-layer.ts";
import type { UnpackedBlob, UnpackTask } from "./unpack-blob.ts";
import type { Faults, VerifyBlobTask, VerifyLayerTask } from "./verify-layer.ts";
import type { WriteTask, Written } from "./write-layer.ts";

export type LayerTask = SealTask | UnpackTask | WriteTask | EstargzTask | VerifyLayerTask | VerifyBlobTask;
export type LayerTaskResult<Task extends LayerTask> = Task extends SealTask
  ? Sealed
  : Task extends UnpackTask
    ? UnpackedBlob
    : Task extends WriteTask
      ? Written
      : Task extends EstargzTask
        ? WrittenEstargz
        : Task extends VerifyLayerTask | VerifyBlobTask
          ? Faults
          : never;

export type LayerReply =
  | { readonly kind: "done"; readonly result: unknown }
  | { readonly kind: "failed"; readonly error: ErrorFields }
  /** What Node's functions throw when the system refuses. */
  | { readonly kind: "refused"; readonly message: string; readonly fields: SystemErrorFields }
  /** A defect: not the user's, the disk's or the network's doing. */
  | { readonly kind: "crashed"; readonly message: string };

export interface SystemErrorFields {
  readonly code: string;
  readonly syscall: string;
  readonly path: string | undefined;
}

const idle: Worker[] = [];
let running = 0;
const waiting: (() => void)[] = [];

/** @throws what the task throws, or the signal's reason */
export async function runLayerTask<Task extends LayerTask>(
  task: Task,
  signal: AbortSignal,
): Promise<LayerTaskResult<Task>> {
  signal.throwIfAborted();
  while (running >= Math.max(2, availableParallelism())) await new Promise<void>((resolve) => waiting.push(resolve));
  if (signal.aborted) {
    // Woken for nothing: the place is the next one's.
    waiting.shift()?.();
    throw signal.reason;
  }
  running += 1;
  const worker = idle.pop() ?? startWorker();
  worker.ref();
  let reusable = false;
  try {
    const result = await replyOf(worker, task, signal);
    reusable = true;
    // The worker answers each task with the result of its kind.
    return result as LayerTaskResult<Task>;
  } catch (error) {
    reusable = error instanceof TsbuildError || (error instanceof Error && "syscall" in error);
    throw error;
  } finally {
    running -= 1;
    if (reusable && !signal.aborted) {
      worker.unref();
      idle.push(worker);
    } else await worker.terminate();
    waiting.shift()?.();
  }
}

/** Starts a worker before there is work for it, unless one waits already. */
export function warmLayerWorker(): void {
  if (idle.length > 0) return;
  const worker = startWorker();
  worker.unref();
  idle.push(worker);
}

function startWorker(): Worker {
  // Flags of the process are its own: with --input-type, for one, a worker would not start.
  return new Worker(programFile("store/layer-work.worker.ts"), { execArgv: [] });
}

/** An archive may hold more names than any memory does. */
function outOfMemory(error: Error): TsbuildError | undefined {
  return errnoOf(error) === "ERR_WORKER_OUT_OF_MEMORY" ? tooManyFiles(error) : undefined;
}

function replyOf(worker: Worker, task: LayerTask, signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const settle = (action: () => void): void => {
      worker.off("message", onMessage).off("error", onError).off("exit", onExit);
      signal.removeEventListener("abort", onAbort);
      action();
    };
    const onMessage = (reply: LayerReply): void =>
      settle(() => {
        if (reply.kind === "done") resolve(reply.result);
        else if (reply.kind === "failed") reject(new TsbuildError(reply.error));
        else if (reply.kind === "refused") reject(Object.assign(new Error(reply.message), reply.fields));
        else reject(new Error(reply.message));
      });
    const onError = (error: Error): void => settle(() => reject(outOfMemory(error) ?? error));
    const onExit = (code: number): void => settle(() => reject(new Error(`a worker ended with code ${code}`)));
    const onAbort = (): void => settle(() => reject(signal.reason));
    worker.on("message", onMessage).on("error", onError).on("exit", onExit);
    signal.addEventListener("abort", onAbort, { once: true });
    worker.postMessage(task);
  });
}
