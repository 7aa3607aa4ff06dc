/** The thread of `export-folder-thread.ts`. */
import { parentPort, workerData } from "node:worker_threads";
import { exportToFolder } from "./export-folder.ts";
import { type FolderExportTask, watchOf } from "./export-folder-thread.ts";
import { answerOf } from "./run-thread.ts";

// Safe: the only one who starts this thread gives it a task.
const { shared, ...options } = workerData as FolderExportTask;
parentPort?.postMessage(answerOf(() => exportToFolder(options, watchOf(shared))));
