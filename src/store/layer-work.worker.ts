import { parentPort } from "node:worker_threads";
import { assertNever, TsbuildError } from "../errors.ts";
import { writeEstargz } from "./estargz.ts";
import type { LayerReply, LayerTask } from "./layer-work.ts";
import { sealLayer } from "./seal-layer.ts";
import { unpackBlob } from "./unpack-blob.ts";
import { verifyBlob, verifyLayer } from "./verify-layer.ts";
import { writeLayer } from "./write-layer.ts";

parentPort?.on("message", async (task: LayerTask) => {
  parentPort?.postMessage(await replyTo(task));
});

async function replyTo(task: LayerTask): Promise<LayerReply> {
  try {
    return { kind: "done", result: await perform(task) };
  } catch (error) {
    if (error instanceof TsbuildError) {
      const { code, message: what, where, hint } = error;
      return { kind: "failed", error: { code, what, where, hint } };
    }
    if (error instanceof Error && "code" in error && "syscall" in error) {
      const path = "path" in error ? String(error.path) : undefined;
      return {
        kind: "refused",
        message: error.message,
        fields: { code: String(error.code), syscall: String(error.syscall), path },
      };
    }
    return { kind: "crashed", message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

async function perform(task: LayerTask): Promise<unknown> {
  switch (task.kind) {
    case "seal":
      return sealLayer(task);
    case "unpack":
      return unpackBlob(task);
    case "estargz":
      return writeEstargz(task);
    case "write":
      return writeLayer(task);
    case "verify-layer":
      return verifyLayer(task);
    case "verify-blob":
      return verifyBlob(task);
    default:
      return assertNever(task);
  }
}
