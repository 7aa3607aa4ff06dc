/** The thread of `squash.ts`. */
import { parentPort, workerData } from "node:worker_threads";
import { type MergeTask, mergeLayers } from "./merge-layers.ts";
import { answerOf } from "./run-thread.ts";

// Safe: the only one who starts this thread gives it a task.
parentPort?.postMessage(answerOf(() => mergeLayers(workerData as MergeTask)));
