/** How a build looks while it runs. The library reports events; a renderer turns each into what one reader wants. */
import type { BuildEvent } from "../../executor/events.ts";
import { jsonProgress } from "./progress-json.ts";
import { plainProgress } from "./progress-plain.ts";
import { ttyProgress } from "./progress-tty.ts";

export interface Progress extends Disposable {
  onEvent(event: BuildEvent): void;
  /** The last output of a step, whole lines first to last, for the report of its failure; those it has shown itself are not in it. */
  unseenOutput(step: string): Buffer;
}

export type ProgressKind = "auto" | "tty" | "plain" | "quiet" | "json";

export interface ProgressPlace {
  readonly stderr: NodeJS.WriteStream;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** How to run what was built: the first tag, or the short ID. */
  readonly runName: string | undefined;
}

/** Disposing it ends the live view and leaves the cursor where it was. */
export function openProgress(kind: ProgressKind, place: ProgressPlace): Progress {
  switch (kind) {
    case "auto":
      return isLive(place) ? ttyProgress(place) : plainProgress(place);
    case "tty":
      return ttyProgress(place);
    case "plain":
      return plainProgress(place);
    case "json":
      return jsonProgress(place);
    case "quiet":
      return quietProgress();
  }
}

function isLive({ stderr, environment }: ProgressPlace): boolean {
  return stderr.isTTY === true && environment["TERM"] !== "dumb" && !environment["CI"];
}

/** Says nothing, and remembers what a failing step said. */
function quietProgress(): Progress {
  const output = new Map<string, StepOutput>();
  return {
    onEvent(event) {
      if (event.kind === "stepOutput") remember(output, event.step, event.bytes);
      else if (event.kind === "stepDone") output.delete(event.step);
    },
    unseenOutput: (step) => output.get(step)?.bytes() ?? Buffer.alloc(0),
    [Symbol.dispose]: () => undefined,
  };
}

// Output that is kept ---------------------------------------------------------------------------------------------

const keptBytes = 1024 * 1024;

/** The newest MiB of what a step printed. */
export class StepOutput {
  #chunks: Uint8Array[] = [];
  #length = 0;

  add(bytes: Uint8Array): void {
    this.#chunks.push(bytes);
    this.#length += bytes.length;
    while (this.#chunks.length > 1 && this.#length - (this.#chunks[0]?.length ?? 0) > keptBytes) {
      this.#length -= this.#chunks.shift()?.length ?? 0;
    }
  }

  bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}

export function remember(output: Map<string, StepOutput>, step: string, bytes: Uint8Array): void {
  let kept = output.get(step);
  if (kept === undefined) {
    kept = new StepOutput();
    output.set(step, kept);
  }
  kept.add(bytes);
}
