import { expect, test } from "vitest";
import { formatAgo, formatCreatedAt, formatDuration, parseDuration, parseTime } from "../../../src/cli/render/time.ts";
import { caught } from "../../support/caught.ts";

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

test.for([
  [999, "Less than a second"],
  [1 * second, "1 second"],
  [59 * second, "59 seconds"],
  [60 * second, "About a minute"],
  [119 * second, "About a minute"],
  [2 * minute, "2 minutes"],
  [59 * minute, "59 minutes"],
  [60 * minute, "About an hour"],
  [89 * minute, "About an hour"],
  [90 * minute, "2 hours"],
  [47 * hour, "47 hours"],
  [48 * hour, "2 days"],
  [13 * day, "13 days"],
  [14 * day, "2 weeks"],
  [59 * day, "8 weeks"],
  [60 * day, "2 months"],
  [729 * day, "24 months"],
  [730 * day, "2 years"],
] as const)("%d ms are '%s'", ([durationMs, text]) => {
  expect(formatDuration(durationMs)).toBe(text);
});

test("a time that never was is N/A", () => {
  expect(formatAgo(undefined, 0)).toBe("N/A");
  expect(formatAgo(new Date(0), 5 * day)).toBe("N/A");
  expect(formatAgo(new Date(10 * day), 12 * day)).toBe("2 days ago");
});

test("CreatedAt is Go's layout in UTC", () => {
  expect(formatCreatedAt(new Date("2026-01-02T15:04:05.678Z"))).toBe("2026-01-02 15:04:05 +0000 UTC");
});

test.for([
  ["300ms", 300],
  ["1.5h", 90 * minute],
  ["2h45m", 165 * minute],
  ["7d", 7 * day],
  ["-3s", -3 * second],
  ["1us", 0.001],
  ["0", 0],
] as const)("%s is a duration of %d ms", ([text, durationMs]) => {
  expect(parseDuration(text)).toBeCloseTo(durationMs, 9);
});

test.for(["", "5", "h", "1x", "1h 2m", "1..5h"])("%j is no duration", (text) => {
  expect(caught(() => parseDuration(text))).toMatchObject({ code: "INVALID_ARGUMENT" });
});

const now = Date.parse("2026-01-02T00:00:00Z");
test.for([
  ["1136073845", 1136073845000],
  ["1136073845.5", 1136073845500],
  ["10m", now - 10 * minute],
  ["2026-01-02T15:04:05Z", Date.parse("2026-01-02T15:04:05Z")],
  ["2026-01-02T15:04:05.123456789Z", Date.parse("2026-01-02T15:04:05.123Z")],
  ["2026-01-02T15:04:05+01:00", Date.parse("2026-01-02T14:04:05Z")],
  ["2026-01-02T15:04", new Date(2026, 0, 2, 15, 4).getTime()],
  ["2026-01-02T15", new Date(2026, 0, 2, 15).getTime()],
  ["2026-01-02", new Date(2026, 0, 2).getTime()],
] as const)("%s is a time", ([text, timeMs]) => {
  expect(parseTime(text, now)).toBe(timeMs);
});

test.for(["", "yesterday", "2026-13-02", "2026-01-02T25", "2026-01"])("%j is no time", (text) => {
  expect(caught(() => parseTime(text, now))).toMatchObject({ code: "INVALID_ARGUMENT" });
});
