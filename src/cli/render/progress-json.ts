/** `--progress=json`: one BuildEvent a line, as the library reports it. Output bytes are base64. */
import type { BuildEvent } from "../../executor/events.ts";
import type { Progress, ProgressPlace } from "./progress.ts";

export function jsonProgress({ stderr }: ProgressPlace): Progress {
  return {
    onEvent(event) {
      stderr.write(`${JSON.stringify(printed(event))}\n`);
    },
    unseenOutput: () => Buffer.alloc(0),
    [Symbol.dispose]: () => undefined,
  };
}

function printed(event: BuildEvent): unknown {
  switch (event.kind) {
    case "stepOutput":
      return { ...event, bytes: Buffer.from(event.bytes).toString("base64") };
    case "checks":
      // Whoever reads this has the file.
      return { ...event, dockerfile: { file: event.dockerfile.file } };
    default:
      return event;
  }
}
