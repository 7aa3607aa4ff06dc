/** Words that all renderers of a build share. */
import type { BuildEvent } from "../../executor/events.ts";

/** `#3 [build 2/7]` and the instruction, by step. */
export function titlesOf(
  plan: Extract<BuildEvent, { kind: "plan" }>,
): ReadonlyMap<string, { readonly prefix: string; readonly text: string }> {
  return new Map(plan.steps.map(({ id, label, text }, n) => [id, { prefix: `#${n + 1} [${label}]`, text }]));
}

/** `0.04s`, `3.2s`, `75s`, `2m05s`. */
export function secondsText(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 1) return `${seconds.toFixed(2)}s`;
  if (seconds < 10) return `${seconds.toFixed(1)}s`;
  if (seconds < 100) return `${Math.round(seconds)}s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}m${String(whole % 60).padStart(2, "0")}s`;
}

/** Powers of 1000 and three digits, as `images` prints sizes: `12.3MB`. */
export function sizeText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : Number(value.toPrecision(3))}${units[unit] ?? ""}`;
}

/** What was built, what it cost, and how to run it. */
export function summaryLines(
  done: Extract<BuildEvent, { kind: "done" }>,
  runName: string | undefined,
): readonly string[] {
  const { steps, hits, sizeBytes, layers, durationMs } = done.summary;
  const short = done.images[0]?.slice("sha256:".length).slice(0, 12);
  const name = runName === undefined || short === undefined ? short : `${short} as ${runName}`;
  const cached = hits === 0 ? "" : hits === steps ? ", all cached" : `, ${hits} cached`;
  return [
    `built${name === undefined ? "" : ` ${name}`}: ${steps} ${steps === 1 ? "step" : "steps"}${cached}, ${layers} ${layers === 1 ? "layer" : "layers"}, ` +
      `${sizeText(sizeBytes)}, in ${secondsText(durationMs)}`,
    ...(short === undefined ? [] : [`run it with: tsbuild run --rm ${runName ?? short}`]),
  ];
}
