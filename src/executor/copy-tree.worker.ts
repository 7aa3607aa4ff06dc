/** The thread of `copy-tree-thread.ts`. Errors cross as their fields: a class would not. */
import { parentPort, workerData } from "node:worker_threads";
import { errnoOf, TsbuildError } from "../errors.ts";
import { type CopyTask, copyTree } from "./copy-tree.ts";
import type { CopyAnswer } from "./copy-tree-thread.ts";

function answer(task: CopyTask): CopyAnswer {
  try {
    copyTree(task);
    return { kind: "done" };
  } catch (error) {
    if (error instanceof TsbuildError)
      return { kind: "failed", error: { code: error.code, what: error.message, where: error.where, hint: error.hint } };
    if (errnoOf(error) === "ENOSPC")
      return { kind: "failed", error: { code: "NO_SPACE", what: "no space left on the store's file system" } };
    throw error;
  }
}

// Safe: the only one who starts this thread gives it a task.
parentPort?.postMessage(answer(workerData as CopyTask));
