import { describe, expect, test } from "vitest";
import { type HealthRecord, judged, probeCommand } from "../../../src/runtime/containers/health.ts";

const result = (ExitCode: number) => ({ Start: "", End: "", ExitCode, Output: "" });
const fold = (codes: readonly number[], options: { retries: number; excused: boolean }): HealthRecord =>
  codes.reduce<HealthRecord>((health, code) => judged(health, result(code), options), {
    Status: "starting",
    FailingStreak: 0,
    Log: [],
  });

describe("what checks make of a container", () => {
  test.for([
    { codes: [], excused: false, status: "starting", streak: 0 },
    { codes: [0], excused: false, status: "healthy", streak: 0 },
    { codes: [1, 1], excused: false, status: "starting", streak: 2 },
    { codes: [1, 1, 1], excused: false, status: "unhealthy", streak: 3 },
    { codes: [0, 1, 1], excused: false, status: "healthy", streak: 2 },
    { codes: [0, 1, 1, -1], excused: false, status: "unhealthy", streak: 3 },
    { codes: [1, 1, 1, 0], excused: false, status: "healthy", streak: 0 },
    { codes: [1, 1, 1, 1], excused: true, status: "starting", streak: 0 },
    { codes: [0, 1, 1, 1], excused: true, status: "unhealthy", streak: 3 },
  ])("$codes with the start period $excused: $status", ({ codes, excused, status, streak }) => {
    expect(fold(codes, { retries: 3, excused })).toMatchObject({ Status: status, FailingStreak: streak });
  });

  test("the newest five results are kept", () => {
    expect(fold([1, 2, 3, 4, 5, 6, 7], { retries: 99, excused: false }).Log.map((each) => each.ExitCode)).toEqual([
      3, 4, 5, 6, 7,
    ]);
  });
});

test.for([
  { Test: undefined, command: undefined },
  { Test: [], command: undefined },
  { Test: ["NONE"], command: undefined },
  { Test: ["CMD", "true"], command: ["true"] },
  { Test: ["CMD-SHELL", "a b"], command: ["/bin/sh", "-c", "a b"] },
])("$Test executes $command", ({ Test, command }) => {
  expect(probeCommand(Test === undefined ? undefined : { Test })).toEqual(command);
});
