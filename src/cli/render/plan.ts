/** A plan for people: a line a step, and under a miss every reason. */
import { hexOf } from "../../oci/digest.ts";
import type { Plan, PlannedStep } from "../../planner/plan.ts";
import type { CacheRecord } from "../../store/store.ts";
import { displayWidth, padCell } from "./display-width.ts";
import { describeMiss } from "./miss-reason.ts";
import { printable } from "./printable.ts";
import { formatAgo } from "./time.ts";

export interface PlanView {
  readonly file: string;
  readonly nowMs: number;
  /** Names the record that a miss was compared with. */
  readonly showNearest: boolean;
}

const maxTextWidth = 60;

export function renderPlan({ steps }: Plan, view: PlanView): string {
  if (steps.length === 0) return "no step makes a layer\n";
  const place = (step: PlannedStep): string => `${view.file}:${step.line}`;
  const text = (step: PlannedStep): string => clipped(printable(step.text).replace(/\s+/g, " "));
  const placeWidth = Math.max(...steps.map((step) => displayWidth(place(step)))) + 2;
  const textWidth = Math.max(...steps.map((step) => displayWidth(text(step)))) + 2;
  const byId = new Map(steps.map((step) => [step.id as string, step]));
  const lines: string[] = [];
  for (const step of steps) {
    const start = `${padCell(place(step), placeWidth)}${padCell(text(step), textWidth)}`;
    const { outcome } = step;
    switch (outcome.kind) {
      case "hit":
        lines.push(`${start}hit   ${shortKey(outcome.key)}`);
        break;
      case "offered":
        lines.push(`${start}hit   ${shortKey(outcome.key)}  in ${printable(outcome.from)}`);
        break;
      case "miss":
        lines.push(`${start}MISS${outcome.key === undefined ? "" : `  ${shortKey(outcome.key)}`}`);
        for (const reason of outcome.reasons) lines.push(`  ${describeMiss(reason)}`);
        if (view.showNearest && outcome.nearest !== undefined)
          lines.push(`  ${nearestText(outcome.nearest, view.nowMs)}`);
        break;
      case "unknown": {
        const until = byId.get(outcome.until);
        const done = until?.outcome.kind === "offered" ? "has been fetched" : "has run";
        lines.push(`${start}unknown until ${until === undefined ? outcome.until : place(until)} ${done}`);
        break;
      }
    }
  }
  return `${lines.join("\n")}\n`;
}

function clipped(text: string): string {
  return displayWidth(text) <= maxTextWidth ? text : `${[...text].slice(0, maxTextWidth - 1).join("")}…`;
}

export function shortKey(key: Parameters<typeof hexOf>[0]): string {
  return hexOf(key).slice(0, 12);
}

function nearestText(record: CacheRecord, nowMs: number): string {
  const uses = record.uses === 0 ? "not used since" : record.uses === 1 ? "used once" : `used ${record.uses} times`;
  return `nearest record: ${shortKey(record.key)}, made ${formatAgo(record.created, nowMs)}, ${uses}`;
}
