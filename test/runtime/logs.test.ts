import { spawnSync } from "node:child_process";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fixedTimestamp, type LogRecord, logTimestamp, openLogWriter, readLogs } from "../../src/runtime/logs.ts";
import { needs } from "../support/needs.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tsbuild-test-logs-"));
  file = join(folder, "x-json.log");
});
afterEach(() => rmSync(folder, { recursive: true }));

const signal = new AbortController().signal;
const collect = async (options: Omit<Parameters<typeof readLogs>[1], "signal">): Promise<LogRecord[]> =>
  Array.fromAsync(readLogs(file, { ...options, signal }));
const texts = (records: readonly LogRecord[]): string[] => records.map((record) => record.log);

function write(
  lines: readonly string[],
  options: { maxSizeBytes?: number; maxFiles?: number; at?: number } = {},
): void {
  let now = options.at ?? 1_700_000_000_000;
  using log = openLogWriter(file, { maxFiles: 1, ...options, now: () => now++ });
  for (const line of lines) log.write("stdout", Buffer.from(line));
  log.end("stdout");
}

test("a line is one JSON object with docker's fields", () => {
  using log = openLogWriter(file, { maxFiles: 1, now: () => 1_700_000_000_123.5 });
  log.write("stderr", Buffer.from("hi\n"));
  expect(readFileSync(file, "utf8")).toMatch(
    /^\{"log":"hi\\n","stream":"stderr","time":"2023-11-14T22:13:20\.1235Z"\}\n$/,
  );
});

needs("root")("what does not fit on the disk is left out, said once, and tears no line", async () => {
  expect(spawnSync("mount", ["-t", "tmpfs", "-o", "size=16k", "tmpfs", folder]).status).toBe(0);
  using _mounted = { [Symbol.dispose]: () => void spawnSync("umount", [folder]) };
  const losses: unknown[] = [];
  {
    using log = openLogWriter(file, { maxFiles: 1, now: () => 0, onLoss: (error) => void losses.push(error) });
    log.write("stdout", Buffer.from("before\n"));
    for (let n = 0; n < 40; n += 1) log.write("stdout", Buffer.from(`${"x".repeat(1000)}\n`));
    log.write("stdout", Buffer.from("short\n"));
  }
  expect(losses).toMatchObject([{ code: "ENOSPC" }]);
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line).log.length)).toEqual([7, ...lines.slice(2).map(() => 1001), 6]);
});

test("a line that arrives in pieces is one record; an unfinished one is written at the end", async () => {
  write(["a", "b\nc", "d"]);
  expect(texts(await collect({}))).toEqual(["ab\n", "cd"]);
});

test("a long line becomes records of 16 KiB that join to the same text, characters whole", async () => {
  const line = `x${"é".repeat(20_000)}\n`;
  write([line]);
  const records = texts(await collect({}));
  expect(records.length).toBe(3);
  expect(records.join("")).toBe(line);
});

test("what was written is what is read, however it was cut into chunks", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.string({ unit: "grapheme", minLength: 1 })), async (chunks) => {
      rmSync(file, { force: true });
      const bytes = chunks.map((chunk) => Buffer.from(chunk));
      using log = openLogWriter(file, { maxFiles: 1, now: () => 0 });
      for (const chunk of bytes) log.write("stdout", chunk);
      log.end("stdout");
      expect(texts(await collect({})).join("")).toBe(Buffer.concat(bytes).toString());
    }),
    { numRuns: 50 },
  );
});

test.for([
  { tail: 0, expected: [] },
  { tail: 1, expected: ["4\n"] },
  { tail: 3, expected: ["2\n", "3\n", "4\n"] },
  { tail: 9, expected: ["1\n", "2\n", "3\n", "4\n"] },
])("--tail $tail", async ({ tail, expected }) => {
  write(["1\n2\n3\n4\n"]);
  expect(texts(await collect({ tail }))).toEqual(expected);
});

test("--tail over many blocks", async () => {
  const lines = Array.from({ length: 5000 }, (_, n) => `line ${n} ${"x".repeat(n % 100)}\n`);
  write(lines);
  expect(texts(await collect({ tail: 3000 }))).toEqual(lines.slice(2000));
});

test("--since and --until keep what lies between, both ends included", async () => {
  write(["1\n", "2\n", "3\n", "4\n"], { at: 1000 });
  expect(texts(await collect({ since: 1001, until: 1002 }))).toEqual(["2\n", "3\n"]);
});

test("rotation keeps the newest files, and reading joins them", async () => {
  const lines = Array.from({ length: 40 }, (_, n) => `${n}\n`);
  write(lines, { maxSizeBytes: 600, maxFiles: 3 });
  expect(readdirSync(folder).sort()).toEqual(["x-json.log", "x-json.log.1", "x-json.log.2"]);
  const read = texts(await collect({}));
  expect(read).toEqual(lines.slice(-read.length));
  expect(read.length).toBeGreaterThan(15);
  expect(texts(await collect({ tail: 12 }))).toEqual(lines.slice(-12));
});

test("following sees lines written later, also over a rotation, and ends when it is over", async () => {
  let over = false;
  using log = openLogWriter(file, { maxSizeBytes: 200, maxFiles: 2, now: () => 0 });
  log.write("stdout", Buffer.from("first\n"));
  const seen: string[] = [];
  for await (const record of readLogs(file, { follow: { isOver: () => over }, signal })) {
    seen.push(record.log);
    if (seen.length < 6) log.write("stdout", Buffer.from(`more ${seen.length}\n`));
    else over = true;
  }
  expect(seen).toEqual(["first\n", "more 1\n", "more 2\n", "more 3\n", "more 4\n", "more 5\n"]);
});

test("a line cut by a crash is left out", async () => {
  write(["1\n"]);
  appendFileSync(file, '{"log":"2\n{"log":"3\\n","stream":"stdout","time":"2023-01-01T00:00:00Z"}\n');
  expect(texts(await collect({}))).toEqual(["1\n", "3\n"]);
});

test("timestamps have nanoseconds; trailing zeros go, or stay for columns", () => {
  expect(logTimestamp(1_700_000_000_500)).toBe("2023-11-14T22:13:20.5Z");
  expect(logTimestamp(1_700_000_000_000)).toBe("2023-11-14T22:13:20Z");
  expect(fixedTimestamp("2023-11-14T22:13:20.5Z")).toBe("2023-11-14T22:13:20.500000000Z");
});
