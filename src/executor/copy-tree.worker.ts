/** The thread of `copy-tree-thread.ts`. */
import { parentPort, workerData } from "node:worker_threads";
import { type CopyTask, copyTree } from "./copy-tree.ts";
import { answerOf } from "./run-thread.ts";

// Safe: the only one who starts this thread gives it a task.
parentPort?.postMessage(answerOf(() => copyTree(workerData as CopyTask)));
