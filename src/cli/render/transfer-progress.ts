/**
 * Pulls and pushes as docker shows them. On a terminal each layer has a line that changes; elsewhere a line is printed
 * when a layer's state changes. What a script may want (digest, status, reference) goes to stdout, the rest to stderr.
 */
import { stripVTControlCharacters } from "node:util";
import { familiarName, familiarReference, type Reference } from "../../oci/reference.ts";
import type { LayerState, TransferEvent } from "../../registry/transfer-event.ts";

export interface TransferProgress extends Disposable {
  onEvent(event: TransferEvent): void;
}

export interface TransferPlace {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** Milliseconds. */
  readonly now: () => number;
}

const redrawMs = 80;

export function transferProgress({ stdout, stderr, now }: TransferPlace): TransferProgress {
  const live = stderr.isTTY === true ? liveLayers(stderr, now) : plainLayers(stderr);
  const fact = (text: string): void => {
    live.finish();
    stdout.write(`${text}\n`);
  };
  return {
    onEvent(event) {
      switch (event.kind) {
        case "pullStarted":
          live.finish();
          stderr.write(`${event.reference.digest ?? event.reference.tag}: Pulling from ${pathOf(event.reference)}\n`);
          return;
        case "pushStarted":
          fact(`The push refers to repository [${event.reference.domain}/${event.reference.path}]`);
          return;
        case "layerState":
          live.state(event.layer, event.state);
          return;
        case "layerProgress":
          live.progress(event.layer, event);
          return;
        case "pulled":
          fact(`Digest: ${event.digest}`);
          fact(
            `Status: ${event.newer ? "Downloaded newer image" : "Image is up to date"} for ${familiarReference(event.reference)}`,
          );
          return;
        case "pushed":
          fact(`${event.reference.tag}: digest: ${event.digest} size: ${event.sizeBytes}`);
          return;
      }
    },
    [Symbol.dispose]: () => live.finish(),
  };
}

/** `library/debian`: docker prints the path without the domain here. */
function pathOf(reference: Reference): string {
  return reference.domain === "docker.io" ? reference.path : familiarName(reference).slice(reference.domain.length + 1);
}

type Progressed = Extract<TransferEvent, { kind: "layerProgress" }>;

interface Layers {
  state(layer: string, state: LayerState): void;
  progress(layer: string, progress: Progressed): void;
  /** What stands there stays; what comes next starts below. */
  finish(): void;
}

const stateTexts: Readonly<Record<Exclude<LayerState["kind"], "mounted">, string>> = {
  pullingFsLayer: "Pulling fs layer",
  waiting: "Waiting",
  alreadyExists: "Already exists",
  downloadComplete: "Download complete",
  extracting: "Extracting",
  pullComplete: "Pull complete",
  preparing: "Preparing",
  layerAlreadyExists: "Layer already exists",
  pushed: "Pushed",
};

function textOf(state: LayerState): string {
  return state.kind === "mounted" ? `Mounted from ${state.from}` : stateTexts[state.kind];
}

function plainLayers(stderr: NodeJS.WriteStream): Layers {
  return {
    state(layer, state) {
      if (state.kind !== "extracting") stderr.write(`${layer}: ${textOf(state)}\n`);
    },
    progress: () => undefined,
    finish: () => undefined,
  };
}

function liveLayers(stderr: NodeJS.WriteStream, now: () => number): Layers {
  const lines = new Map<string, string>();
  let drawn = 0;
  let drawnAt = 0;
  const draw = (): void => {
    const width = Math.max(20, stderr.columns || 80);
    // More layers than lines: a cursor cannot go above the window's top.
    const shown = [...lines].slice(-Math.max(1, (stderr.rows || 24) - 1));
    const text = shown.map(([layer, line]) => `\x1b[2K${cut(`${layer}: ${line}`, width - 1)}\n`).join("");
    stderr.write(`${drawn > 0 ? `\x1b[${drawn}A` : ""}${text}`);
    drawn = shown.length;
    drawnAt = now();
  };
  return {
    state(layer, state) {
      lines.set(layer, textOf(state));
      draw();
    },
    progress(layer, { doing, doneBytes, totalBytes }) {
      const word = doing === "downloading" ? "Downloading" : "Pushing";
      lines.set(layer, `${word}  ${bar(doneBytes, totalBytes)}  ${sizeText(doneBytes)}/${sizeText(totalBytes)}`);
      if (now() - drawnAt >= redrawMs) draw();
    },
    finish() {
      if (lines.size > 0) draw();
      lines.clear();
      drawn = 0;
    },
  };
}

function bar(done: number, total: number): string {
  const width = 50;
  const filled = total === 0 ? width : Math.min(width, Math.floor((done / total) * width));
  return `[${"=".repeat(Math.max(0, filled - 1))}${filled > 0 && filled < width ? ">" : filled > 0 ? "=" : ""}${" ".repeat(width - filled)}]`;
}

/** Decimal units, three digits: `1.23kB`. */
function sizeText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = bytes;
  let unit = 0;
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit++;
  }
  return `${Number(size.toPrecision(3))}${units[unit]}`;
}

function cut(text: string, width: number): string {
  const plain = stripVTControlCharacters(text);
  return plain.length > width ? plain.slice(0, width) : plain;
}
