/** An export into a folder, in a thread: progress goes on, and an abort leaves no half file. */
import { rmSync } from "node:fs";
import { type BytePath, bytePathOfLatin1, fsPath } from "../kernel/byte-path.ts";
import type { FolderExport, FolderExportWatch } from "./export-folder.ts";
import { runThread } from "./run-thread.ts";

export interface FolderExportTask extends FolderExport {
  readonly shared: SharedArrayBuffer;
}

/** A file of many gigabytes is copied in few calls, which nobody interrupts. */
const graceMs = 500;

/** @throws {TsbuildError} what `exportToFolder` throws; the signal's reason on abort */
export async function exportToFolderInThread(options: FolderExport, signal: AbortSignal): Promise<void> {
  const shared = new SharedArrayBuffer(headBytes + pathBytes);
  const task: FolderExportTask = { ...options, shared };
  const ask = (): void => void Atomics.store(new Int32Array(shared, 0, 2), 0, 1);
  try {
    await runThread("executor/export-folder.worker.ts", task, signal, { ask, graceMs });
  } finally {
    // Of a thread that was ended in the middle.
    const staged = stagedIn(shared);
    if (staged !== undefined) rmSync(fsPath(staged), { force: true });
  }
}

// What both sides see: is it to stop, and the length and bytes of the file that is being written. -----------------------

const headBytes = 8;
/** As long as a path can be. */
const pathBytes = 4096;

function stagedIn(shared: SharedArrayBuffer): BytePath | undefined {
  const length = Atomics.load(new Int32Array(shared, 0, 2), 1);
  if (length === 0) return undefined;
  return bytePathOfLatin1(Buffer.from(new Uint8Array(shared, headBytes, length)).toString("latin1"));
}

/** On the thread's side. */
export function watchOf(shared: SharedArrayBuffer): FolderExportWatch {
  const head = new Int32Array(shared, 0, 2);
  const path = new Uint8Array(shared, headBytes);
  return {
    checkAbort(): void {
      if (Atomics.load(head, 0) !== 0) throw new Error("nobody waits for the rest");
    },
    onStaged(staged): void {
      const bytes = staged === undefined ? undefined : Buffer.from(staged, "latin1");
      if (bytes !== undefined && bytes.length <= pathBytes) path.set(bytes);
      Atomics.store(head, 1, bytes === undefined || bytes.length > pathBytes ? 0 : bytes.length);
    },
  };
}
