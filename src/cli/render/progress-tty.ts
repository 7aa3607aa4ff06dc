/**
 * The live view: finished steps scroll away above, one line for each running step stays at the bottom with its time and
 * the last thing it said. Drawn at most twenty times a second, and only when something has changed.
 */

import { styleText } from "node:util";
import { warningLines } from "./checks/finding-lines.ts";
import { describeMiss, tellsNothingNew } from "./miss-reason.ts";
import { printable } from "./printable.ts";
import { type Progress, type ProgressPlace, remember, type StepOutput } from "./progress.ts";
import { secondsText, summaryLines, titlesOf } from "./progress-text.ts";

interface StepState {
  readonly prefix: string;
  readonly text: string;
  startedMs: number;
  why: string;
  lastLine: string;
}

const frameMs = 50;

export function ttyProgress(place: ProgressPlace): Progress {
  const { stderr } = place;
  const steps = new Map<string, StepState>();
  const running = new Map<string, StepState>();
  const output = new Map<string, StepOutput>();
  let drawn = 0;
  let above: string[] = [];
  let timer: NodeJS.Timeout | undefined;

  const columns = (): number => stderr.columns || 80;

  const draw = (): void => {
    const now = Date.now();
    const width = columns();
    const live = [...running.values()].map((state) => liveLine(state, now, width));
    stderr.write(
      `${drawn > 0 ? `\u001b[${drawn}A` : ""}\r\u001b[J${[...above, ...live].map((line) => `${line}\n`).join("")}`,
    );
    above = [];
    drawn = live.length;
  };

  const print = (line: string): void => {
    above.push(line);
    if (timer === undefined) draw();
  };

  const setRunning = (): void => {
    if (running.size > 0 && timer === undefined) timer = setInterval(draw, frameMs).unref();
    if (running.size === 0 && timer !== undefined) {
      clearInterval(timer);
      timer = undefined;
      draw();
    }
  };

  const finished = (state: StepState, right: string, color?: "cyan" | "red" | "yellow"): string => {
    const shown = clip(right, Math.max(10, columns() - 30));
    const title = clip(`${state.prefix} ${state.text}`, Math.max(20, columns() - shown.length - 3));
    return `${title}  ${color === undefined ? shown : styleText(color, shown, { stream: stderr })}`;
  };

  return {
    onEvent(event) {
      if ("step" in event) {
        const state = steps.get(event.step);
        if (state === undefined) return;
        switch (event.kind) {
          case "stepHit":
            print(finished(state, "cached", "cyan"));
            return;
          case "stepMiss":
            state.why = tellsNothingNew(event.reason) ? "" : describeMiss(event.reason);
            return;
          case "stepStarted":
            state.startedMs = event.time;
            running.set(event.step, state);
            break;
          case "stepOutput":
            remember(output, event.step, event.bytes);
            state.lastLine = lastLineOf(event.bytes) || state.lastLine;
            return;
          case "stepDone": {
            const why = state.why === "" ? "" : `  ${state.why}`;
            running.delete(event.step);
            output.delete(event.step);
            print(finished(state, `${secondsText(event.time - state.startedMs)}${why}`));
            break;
          }
          case "stepFailed":
            running.delete(event.step);
            print(finished(state, "failed", "red"));
            break;
          case "stepCanceled":
            running.delete(event.step);
            print(finished(state, "canceled", "yellow"));
            break;
        }
        setRunning();
        return;
      }
      switch (event.kind) {
        case "plan":
          for (const [id, title] of titlesOf(event)) steps.set(id, { ...title, startedMs: 0, why: "", lastLine: "" });
          return;
        case "warning":
          print(`${styleText("yellow", "warning:", { stream: stderr })} ${printable(event.diagnostic.message)}`);
          return;
        case "checks":
          for (const line of warningLines(event.dockerfile, event.warnings, stderr)) print(line);
          return;
        case "note":
          print(printable(event.text));
          return;
        case "done":
          for (const line of summaryLines(event, place.runName)) print(line);
      }
    },
    unseenOutput: (step) => output.get(step)?.bytes() ?? Buffer.alloc(0),
    [Symbol.dispose]: () => {
      if (timer !== undefined) clearInterval(timer);
      timer = undefined;
      running.clear();
      if (drawn > 0 || above.length > 0) draw();
    },
  };
}

function liveLine(state: StepState, now: number, width: number): string {
  const time = secondsText(now - state.startedMs);
  const title = `${state.prefix} ${state.text}`;
  const room = width - time.length - 3;
  if (state.lastLine === "") return `${clip(title, room)}  ${time}`;
  const head = clip(title, Math.max(20, Math.floor(room / 2)));
  const rest = room - head.length - 3;
  return rest < 10 ? `${head}  ${time}` : `${head}  ${time}  ${clip(state.lastLine, rest)}`;
}

/** The last line with something in it: what follows the last carriage return of it, as a terminal would show. */
function lastLineOf(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.subarray(Math.max(0, bytes.length - 4096))).toString("utf8");
  const line = text.split(/[\r\n]+/).findLast((each) => each.trim() !== "") ?? "";
  return printable(line.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, "").replaceAll("\t", " ")).trim();
}

/** A narrow terminal loses the middle of a line, never wraps. */
export function clip(text: string, width: number): string {
  const line = printable(text.replace(/\s*\n\s*/g, " "));
  if (line.length <= width) return line;
  const head = Math.ceil((width - 1) / 2);
  return `${line.slice(0, head)}…${line.slice(line.length - (width - 1 - head))}`;
}
