/** `--progress=json`: one BuildEvent a line, as the library reports it. Output bytes are base64. */
import type { Progress, ProgressPlace } from "./progress.ts";

export function jsonProgress({ stderr }: ProgressPlace): Progress {
  return {
    onEvent(event) {
      const printed =
        event.kind === "stepOutput" ? { ...event, bytes: Buffer.from(event.bytes).toString("base64") } : event;
      stderr.write(`${JSON.stringify(printed)}\n`);
    },
    unseenOutput: () => Buffer.alloc(0),
    [Symbol.dispose]: () => undefined,
  };
}
