/**
 * The socket for attachers of a container in the foreground. Most of these live shorter than it takes anybody to
 * attach: it is made when one has run for a while.
 */
import type { AttachmentServer } from "./attachments.ts";
import type { ContainerFolder } from "./container-folder.ts";
import type { StdioHub } from "./stdio-hub.ts";

export interface LaterAttachments extends AttachmentServer {
  /** From when the time counts. */
  start(): void;
}

/** Whoever attaches tries for longer than this. */
const delayMs = 100;

export function attachmentsLater(folder: ContainerFolder, hub: StdioHub): LaterAttachments {
  let timer: NodeJS.Timeout | undefined;
  let serving: Promise<AttachmentServer> | undefined;
  return {
    start() {
      timer = setTimeout(() => {
        serving = import("./attachments.ts").then(({ serveAttachments }) => serveAttachments(folder, hub));
      }, delayMs);
    },
    async exited(code) {
      clearTimeout(timer);
      await (await serving)?.exited(code);
    },
    async [Symbol.asyncDispose]() {
      clearTimeout(timer);
      await (await serving)?.[Symbol.asyncDispose]();
    },
  };
}
