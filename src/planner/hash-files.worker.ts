/** The thread of `hash-files.ts`. */
import { parentPort, workerData } from "node:worker_threads";
import { type FileToHash, hashFilesSync } from "./hash-files.ts";

// What is sent are the FileToHash of the caller; Buffers arrive as plain Uint8Arrays.
const files = (workerData as readonly FileToHash[]).map(({ hostPath, size }) => ({
  hostPath: typeof hostPath === "string" ? hostPath : Buffer.from(hostPath),
  size,
}));
parentPort?.postMessage(hashFilesSync(files));
