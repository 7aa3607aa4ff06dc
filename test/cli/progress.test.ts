import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { openProgress, type ProgressKind } from "../../src/cli/render/progress.ts";
import { secondsText, sizeText } from "../../src/cli/render/progress-text.ts";
import { clip } from "../../src/cli/render/progress-tty.ts";
import type { BuildEvent } from "../../src/executor/events.ts";
import type { CacheKey, ImageId } from "../../src/oci/digest.ts";
import type { StepId } from "../../src/planner/build-graph.ts";

const first = "0.0" as StepId;
const second = "0.1" as StepId;
const plan: BuildEvent = {
  kind: "plan",
  time: 0,
  steps: [
    { id: first, label: "build 1/2", text: "RUN one" },
    { id: second, label: "build 2/2", text: "RUN two" },
  ],
};
const output = (text: string, time: number, stream: "stdout" | "stderr" = "stdout"): BuildEvent => ({
  kind: "stepOutput",
  step: second,
  stream,
  bytes: Buffer.from(text),
  time,
});
const started: BuildEvent = { kind: "stepStarted", step: second, time: 1000 };

function rendered(kind: ProgressKind, events: readonly BuildEvent[], columns = 60): string {
  const stream = new PassThrough();
  // Safe: of a terminal's stream the renderers use `write` and `columns` only.
  const stderr = Object.assign(stream, { columns }) as unknown as NodeJS.WriteStream;
  {
    using progress = openProgress(kind, { stderr, environment: { NO_COLOR: "1" }, runName: "app" });
    for (const event of events) progress.onEvent(event);
  }
  return String(stream.read() ?? "");
}

test("plain: a line a fact, each with its step's place, output with seconds", () => {
  const text = rendered("plain", [
    plan,
    { kind: "stepHit", step: first, key: "sha256:k" as CacheKey, time: 10 },
    { kind: "stepMiss", step: second, reason: { code: "file-changed", paths: ["src/a.ts"], count: 1 }, time: 20 },
    started,
    output("hel", 1500),
    output("lo\nno newline", 2234),
    output("oops\n", 2300, "stderr"),
    { kind: "stepDone", step: second, sizeBytes: 3, time: 4200 },
  ]);
  expect(text.split("\n")).toEqual([
    "#1 [build 1/2] RUN one",
    "#1 [build 1/2] CACHED",
    "#2 [build 2/2] RUN two",
    "#2 [build 2/2] src/a.ts changed",
    "#2 [build 2/2] 1.234 hello",
    "#2 [build 2/2] 1.300 oops",
    "#2 [build 2/2] 3.200 no newline",
    "#2 [build 2/2] DONE 3.2s",
    "",
  ]);
});

test("plain: a line of two megabytes arrives whole", () => {
  const long = "x".repeat(2_000_000);
  expect(rendered("plain", [plan, started, output(`${long}\n`, 1000)])).toContain(` 0.000 ${long}\n`);
});

test("plain: the summary says what was built and how to run it", () => {
  const text = rendered("plain", [
    {
      kind: "done",
      images: [`sha256:${"a".repeat(64)}` as ImageId],
      summary: { steps: 3, hits: 2, sizeBytes: 12_345_678, layers: 3, durationMs: 1500 },
      time: 0,
    },
  ]);
  expect(text).toBe(
    "built aaaaaaaaaaaa as app: 3 steps, 2 cached, 3 layers, 12.3MB, in 1.5s\nrun it with: tsbuild run --rm app\n",
  );
});

test("json: one event a line, output as base64", () => {
  const lines = rendered("json", [plan, output("hi\n", 5)])
    .trim()
    .split("\n");
  expect(lines.map((line) => JSON.parse(line).kind)).toEqual(["plan", "stepOutput"]);
  expect(JSON.parse(lines[1] ?? "").bytes).toBe(Buffer.from("hi\n").toString("base64"));
});

test("quiet says nothing and keeps what a failing step said", () => {
  const stderr = Object.assign(new PassThrough(), { columns: 80 }) as unknown as NodeJS.WriteStream;
  using progress = openProgress("quiet", { stderr, environment: {}, runName: undefined });
  for (const event of [plan, started, output("why\n", 1)]) progress.onEvent(event);
  expect([String(stderr.read() ?? ""), progress.unseenOutput(second).toString()]).toEqual(["", "why\n"]);
});

test("tty: finished steps stay above, the cursor ends below everything, no line is wider than the terminal", () => {
  const text = rendered(
    "tty",
    [
      plan,
      { kind: "stepHit", step: first, key: "sha256:k" as CacheKey, time: 10 },
      started,
      output(`\u001b[31m${"long ".repeat(50)}\u0007\n`, 1100),
      { kind: "stepDone", step: second, sizeBytes: 1, time: 1500 },
    ],
    40,
  );
  const shown = text.replace(/\u001b\[[0-9;]*[A-Za-z]/g, "").replaceAll("\r", "");
  expect(shown).toContain("#1 [build 1/2] RUN one  cached\n");
  expect(shown).toContain("#2 [build 2/2] RUN two  0.50s\n");
  expect(Math.max(...shown.split("\n").map((line) => line.length))).toBeLessThanOrEqual(40);
  expect(text).not.toContain("\u0007");
});

test.for([
  [40, "0.04s"],
  [3210, "3.2s"],
  [75_000, "75s"],
  [125_000, "2m05s"],
] as const)("%d ms is %s", ([ms, text]) => {
  expect(secondsText(ms)).toBe(text);
});

test.for([
  [0, "0B"],
  [999, "999B"],
  [1000, "1kB"],
  [12_345_678, "12.3MB"],
  [999_999, "1MB"],
] as const)("%d bytes are %s", ([bytes, text]) => {
  expect(sizeText(bytes)).toBe(text);
});

test("a line that is too long loses its middle", () => {
  expect(clip("abcdefghij", 5)).toBe("ab…ij");
});
