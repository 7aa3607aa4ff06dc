/**
 * `--progress=plain`: one line a fact, no cursor movement, nothing clipped. Every line begins with the step's number and
 * its place in its stage, so that lines of steps that run side by side can be told apart and searched for.
 */
import type { BuildEvent } from "../../executor/events.ts";
import { warningLines } from "./checks/finding-lines.ts";
import { describeMiss, tellsNothingNew } from "./miss-reason.ts";
import type { Progress, ProgressPlace } from "./progress.ts";
import { secondsText, summaryLines, titlesOf } from "./progress-text.ts";

interface StepState {
  readonly prefix: string;
  readonly text: string;
  startedMs: number;
  announced: boolean;
  /** The unfinished line of each stream. */
  readonly rest: Map<string, Uint8Array[]>;
}

const newline = 0x0a;

export function plainProgress(place: ProgressPlace): Progress {
  const { stderr } = place;
  const steps = new Map<string, StepState>();
  const line = (text: string): void => void stderr.write(`${text}\n`);

  const announce = (state: StepState): void => {
    if (!state.announced) line(`${state.prefix} ${state.text}`);
    state.announced = true;
  };

  const printLine = (state: StepState, time: number, parts: readonly Uint8Array[]): void => {
    const elapsed = ((time - state.startedMs) / 1000).toFixed(3);
    stderr.write(Buffer.concat([Buffer.from(`${state.prefix} ${elapsed} `), ...parts, Buffer.of(newline)]));
  };

  const printOutput = (state: StepState, event: Extract<BuildEvent, { kind: "stepOutput" }>): void => {
    const rest = state.rest.get(event.stream) ?? [];
    let start = 0;
    for (let end = event.bytes.indexOf(newline); end >= 0; end = event.bytes.indexOf(newline, start)) {
      printLine(state, event.time, [...rest.splice(0), event.bytes.subarray(start, end)]);
      start = end + 1;
    }
    if (start < event.bytes.length) rest.push(event.bytes.subarray(start));
    state.rest.set(event.stream, rest);
  };

  const finish = (state: StepState, time: number, word: string): void => {
    for (const parts of state.rest.values()) if (parts.length > 0) printLine(state, time, parts);
    state.rest.clear();
    announce(state);
    line(`${state.prefix} ${word}`);
  };

  return {
    onEvent(event) {
      if ("step" in event) {
        const state = steps.get(event.step);
        if (state === undefined) return;
        switch (event.kind) {
          case "stepHit":
            finish(state, event.time, "CACHED");
            return;
          case "stepMiss": {
            announce(state);
            if (!tellsNothingNew(event.reason)) line(`${state.prefix} ${describeMiss(event.reason)}`);
            return;
          }
          case "stepStarted":
            state.startedMs = event.time;
            announce(state);
            return;
          case "stepOutput":
            printOutput(state, event);
            return;
          case "stepDone":
            finish(state, event.time, `DONE ${secondsText(event.time - state.startedMs)}`);
            return;
          case "stepFailed":
            finish(state, event.time, `ERROR: ${event.message}`);
            return;
          case "stepCanceled":
            finish(state, event.time, "CANCELED");
            return;
        }
      }
      switch (event.kind) {
        case "plan":
          for (const [id, title] of titlesOf(event))
            steps.set(id, { ...title, startedMs: event.time, announced: false, rest: new Map() });
          return;
        case "warning":
          line(`warning: ${event.diagnostic.message}`);
          return;
        case "checks":
          for (const text of warningLines(event.dockerfile, event.warnings, stderr)) line(text);
          return;
        case "note":
          line(event.text);
          return;
        case "done":
          for (const text of summaryLines(event, place.runName)) line(text);
      }
    },
    unseenOutput: () => Buffer.alloc(0),
    [Symbol.dispose]: () => undefined,
  };
}
