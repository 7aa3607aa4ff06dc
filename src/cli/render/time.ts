/** Times and durations as people read and write them. Source: docker/go-units, Go's time package. */
import { TsbuildError } from "../../errors.ts";

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

/** `About a minute`, `3 weeks`: one unit, never two. */
export function formatDuration(durationMs: number): string {
  const seconds = Math.floor(durationMs / 1000);
  if (seconds < 1) return "Less than a second";
  if (seconds === 1) return "1 second";
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(durationMs / minuteMs);
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.round(durationMs / hourMs);
  if (hours === 1) return "About an hour";
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.floor(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.floor(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.floor(hours / 24 / 30)} months`;
  return `${Math.floor(durationMs / dayMs / 365)} years`;
}

/** `3 minutes ago`; `N/A` for a time that never was. */
export function formatAgo(time: Date | undefined, nowMs: number): string {
  if (time === undefined || time.getTime() <= 0) return "N/A";
  return `${formatDuration(nowMs - time.getTime())} ago`;
}

/** `2026-01-02 15:04:05 +0000 UTC` */
export function formatCreatedAt(time: Date | undefined): string {
  if (time === undefined) return "N/A";
  return `${time.toISOString().slice(0, 19).replace("T", " ")} +0000 UTC`;
}

/** What JSON says of a time that never was. */
export const neverTimestamp = "0001-01-01T00:00:00Z";

export function jsonTimestamp(time: Date | undefined): string {
  return time === undefined ? neverTimestamp : time.toISOString();
}

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: minuteMs,
  h: hourMs,
  d: dayMs,
};

/**
 * Milliseconds of `1h30m`, `300ms`, `7d`.
 * @throws {TsbuildError} `INVALID_ARGUMENT`
 */
export function parseDuration(text: string): number {
  const duration = readDuration(text);
  if (duration !== undefined) return duration;
  throw new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `invalid duration: '${text}'`,
    hint: "numbers with units, such as 90s, 10m or 1h30m",
  });
}

function readDuration(text: string): number | undefined {
  const match = /^([+-])?((?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h|d))+$/.exec(text);
  if (match === null) return text === "0" ? 0 : undefined;
  let total = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d)/g)) {
    total += Number(number) * (unitMs[unit ?? ""] ?? 0);
  }
  return match[1] === "-" ? -total : total;
}

/**
 * Epoch milliseconds of what `--since`, `--until` and `until=` take: unix seconds, a duration before now, RFC 3339, or
 * a date with less and less of its time, in the local zone.
 * @throws {TsbuildError} `INVALID_ARGUMENT`
 */
export function parseTime(text: string, nowMs: number): number {
  if (/^\d+(?:\.\d+)?$/.test(text)) return Number(text) * 1000;
  const duration = readDuration(text);
  if (duration !== undefined) return nowMs - duration;
  const match = /^(\d{4}-\d{2}-\d{2})(?:T(\d{2})(?::(\d{2}))?(?::(\d{2})(\.\d+)?)?)?(Z|[+-]\d{2}:\d{2})?$/.exec(text);
  if (match !== null) {
    const [, day, hour = "00", minute = "00", second = "00", fraction = "", zone = ""] = match;
    const time = Date.parse(`${day}T${hour}:${minute}:${second}${fraction.slice(0, 4)}${zone}`);
    if (!Number.isNaN(time)) return time;
  }
  throw new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `invalid time: '${text}'`,
    hint: "unix seconds, a duration before now (10m), or a date (2026-01-02, 2026-01-02T15:04:05Z)",
  });
}
