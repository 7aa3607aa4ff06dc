/**
 * A container's log in docker's json-file format: one object a line, `{"log":"hi\n","stream":"stdout","time":…}`. There
 * is one writer, the container's supervisor; any number of readers follow the file, also over rotations and restarts.
 */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
  watch,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { errnoOf } from "../errors.ts";

export type LogStream = "stdout" | "stderr";

export interface LogRecord {
  /** With its newline; without one it is continued by the next record of the same stream. */
  readonly log: string;
  readonly stream: LogStream;
  /** RFC 3339, UTC, nanoseconds. */
  readonly time: string;
}

// Writing --------------------------------------------------------------------------------------------------------

export interface LogWriter extends Disposable {
  write(stream: LogStream, data: Buffer): void;
  /** Writes what has no newline yet: the stream has ended. */
  end(stream: LogStream): void;
}

export interface LogWriterOptions {
  readonly maxSizeBytes?: number | undefined;
  readonly maxFiles: number;
  /** Milliseconds since 1970, with a fraction. */
  readonly now: () => number;
  /** Once, with why: a record could not be written, and is left out. The container goes on, and so do later records. */
  readonly onLoss?: ((error: unknown) => void) | undefined;
}

/** docker's size of one record; a longer line is continued by the next. */
const maxPieceBytes = 16 * 1024;

export function openLogWriter(file: string, options: LogWriterOptions): LogWriter {
  let fd: number | undefined = openSync(file, "a", 0o640);
  let size = fstatSync(fd).size;
  let hasLost = false;
  const pending: Record<LogStream, Buffer> = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };

  const append = (lines: string): void => {
    const bytes = Buffer.from(lines);
    try {
      if (fd !== undefined && options.maxSizeBytes !== undefined && size > 0) {
        if (size + bytes.length > options.maxSizeBytes) {
          closeSync(fd);
          fd = undefined;
          rotate(file, options.maxFiles);
        }
      }
      if (fd === undefined) {
        fd = openSync(file, "a", 0o640);
        size = fstatSync(fd).size;
      }
      writeWhole(fd, bytes, size);
      size += bytes.length;
    } catch (error) {
      if (!hasLost) options.onLoss?.(error);
      hasLost = true;
    }
  };
  const record = (stream: LogStream, piece: Buffer, time: string): string =>
    `${JSON.stringify({ log: piece.toString("utf8"), stream, time } satisfies LogRecord)}\n`;

  return {
    write(stream, data) {
      const held = pending[stream];
      const all = held.length === 0 ? data : Buffer.concat([held, data]);
      const time = logTimestamp(options.now());
      let lines = "";
      let start = 0;
      while (start < all.length) {
        const newline = all.indexOf(10, start);
        let end: number;
        if (newline >= 0 && newline - start < maxPieceBytes) end = newline + 1;
        else if (all.length - start >= maxPieceBytes) end = characterBoundary(all, start, start + maxPieceBytes);
        else break;
        lines += record(stream, all.subarray(start, end), time);
        start = end;
      }
      pending[stream] = Buffer.from(all.subarray(start));
      if (lines !== "") append(lines);
    },
    end(stream) {
      const rest = pending[stream];
      if (rest.length > 0) append(record(stream, rest, logTimestamp(options.now())));
      pending[stream] = Buffer.alloc(0);
    },
    [Symbol.dispose]() {
      if (fd !== undefined) closeSync(fd);
    },
  };
}

/** All of it at the end of the file, or nothing: on a full disk the kernel takes a part. */
function writeWhole(fd: number, bytes: Buffer, size: number): void {
  let written = 0;
  try {
    while (written < bytes.length) written += writeSync(fd, bytes, written);
  } catch (error) {
    if (written > 0) ftruncateSync(fd, size);
    throw error;
  }
}

/** The last place at or before `end` that does not cut a UTF-8 sequence in two. */
function characterBoundary(bytes: Buffer, start: number, end: number): number {
  for (let at = end; at > end - 4 && at > start; at -= 1) {
    if (((bytes[at] ?? 0) & 0xc0) !== 0x80) return at;
  }
  return end;
}

/** `.2` becomes `.3`, `.1` becomes `.2`, the file becomes `.1`; the oldest goes by being renamed over. */
function rotate(file: string, maxFiles: number): void {
  if (maxFiles < 2) {
    // Not truncated: a reader may be in the middle of it.
    unlinkSync(file);
    return;
  }
  for (let n = maxFiles - 1; n >= 1; n -= 1) {
    try {
      renameSync(n === 1 ? file : `${file}.${n - 1}`, `${file}.${n}`);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }
}

/** RFC 3339 with nanoseconds, trailing zeros cut, as Go's RFC3339Nano. */
export function logTimestamp(milliseconds: number): string {
  const whole = Math.floor(milliseconds);
  const micros = Math.floor((milliseconds - whole) * 1e6);
  const fraction = `${String(((whole % 1000) + 1000) % 1000).padStart(3, "0")}${String(micros).padStart(6, "0")}`;
  const seconds = new Date(whole).toISOString().slice(0, 19);
  const trimmed = fraction.replace(/0+$/, "");
  return trimmed === "" ? `${seconds}Z` : `${seconds}.${trimmed}Z`;
}

/** The same with all nine digits, as `logs -t` prints it: columns line up. */
export function fixedTimestamp(timestamp: string): string {
  const match = /^(.{19})(?:\.(\d+))?Z$/.exec(timestamp);
  return match === null ? timestamp : `${match[1]}.${(match[2] ?? "").padEnd(9, "0")}Z`;
}

// Reading --------------------------------------------------------------------------------------------------------

export interface ReadLogsOptions {
  /** Lines from the end; undefined for all. */
  readonly tail?: number | undefined;
  /** Milliseconds since 1970. */
  readonly since?: number | undefined;
  readonly until?: number | undefined;
  /** Goes on until this says that nothing more will be written. */
  readonly follow?: { readonly isOver: () => boolean } | undefined;
  readonly signal: AbortSignal;
}

/** Records in the order they were written, older files first. A reader that is behind blocks nobody. */
export async function* readLogs(file: string, options: ReadLogsOptions): AsyncGenerator<LogRecord> {
  const parts = rotatedFiles(file);
  const wanted = (record: LogRecord): boolean => isWithin(record, options);
  let position: Position = { fd: undefined, inode: 0, offset: 0 };
  try {
    const starts =
      options.tail === undefined ? parts.map((path) => ({ path, offset: 0 })) : tailOf(parts, options.tail);
    for (const { path, offset } of starts) {
      position = reopen(position, path, offset);
      for (const record of drain(position)) if (wanted(record)) yield record;
    }
    if (options.follow === undefined) return;
    if (position.fd === undefined || starts.at(-1)?.path !== file) position = reopen(position, file, 0);
    using changes = watchFolder(dirname(file));
    for (;;) {
      options.signal.throwIfAborted();
      // Asked before reading: what is written before the end is then read for certain.
      const over = options.follow.isOver();
      for (const record of drain(position)) if (wanted(record)) yield record;
      const inode = inodeOf(file);
      if (inode !== undefined && inode !== position.inode) {
        // Rotated: the old file is read to its end, the new one from its start.
        for (const record of drain(position)) if (wanted(record)) yield record;
        position = reopen(position, file, 0);
        continue;
      }
      if (over || (options.until !== undefined && Date.now() > options.until)) return;
      await changes.next(options.signal);
    }
  } finally {
    if (position.fd !== undefined) closeSync(position.fd);
  }
}

interface Position {
  fd: number | undefined;
  inode: number;
  offset: number;
}

function reopen(position: Position, path: string, offset: number): Position {
  if (position.fd !== undefined) closeSync(position.fd);
  try {
    const fd = openSync(path, "r");
    return { fd, inode: fstatSync(fd).ino, offset };
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    return { fd: undefined, inode: 0, offset: 0 };
  }
}

const blockBytes = 64 * 1024;

/** Complete lines from the position on; a line that is still being written stays for the next call. */
function* drain(position: Position): Generator<LogRecord> {
  if (position.fd === undefined) return;
  let rest = Buffer.alloc(0);
  const block = Buffer.alloc(blockBytes);
  for (let at = position.offset; ; ) {
    const count = readSync(position.fd, block, 0, blockBytes, at);
    if (count === 0) return;
    at += count;
    rest = Buffer.concat([rest, block.subarray(0, count)]);
    let start = 0;
    for (let newline = rest.indexOf(10); newline >= 0; newline = rest.indexOf(10, start)) {
      const record = parseRecord(rest.subarray(start, newline));
      position.offset += newline + 1 - start;
      start = newline + 1;
      if (record !== undefined) yield record;
    }
    rest = rest.subarray(start);
  }
}

/** A line that does not parse was cut by a crash of the machine: it is left out, the log goes on. */
function parseRecord(line: Buffer): LogRecord | undefined {
  try {
    const { log, stream, time } = JSON.parse(line.toString("utf8")) as Partial<LogRecord>;
    if (typeof log !== "string" || typeof time !== "string") return undefined;
    return { log, stream: stream === "stderr" ? "stderr" : "stdout", time };
  } catch {
    return undefined;
  }
}

function isWithin(record: LogRecord, { since, until }: ReadLogsOptions): boolean {
  if (since === undefined && until === undefined) return true;
  const time = Date.parse(record.time);
  return (since === undefined || time >= since) && (until === undefined || time <= until);
}

/** Oldest first. */
function rotatedFiles(file: string): readonly string[] {
  const older: string[] = [];
  for (let n = 1; inodeOf(`${file}.${n}`) !== undefined; n += 1) older.unshift(`${file}.${n}`);
  return [...older, file];
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

/** Where the last `lines` records begin, found by reading backwards from the end. */
function tailOf(parts: readonly string[], lines: number): readonly { path: string; offset: number }[] {
  const starts: { path: string; offset: number }[] = [];
  let missing = lines;
  for (const path of parts.toReversed()) {
    const found = lastLines(path, missing);
    starts.unshift({ path, offset: found.offset });
    missing -= found.count;
    if (missing <= 0) break;
  }
  return starts;
}

function lastLines(path: string, lines: number): { offset: number; count: number } {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    return { offset: 0, count: 0 };
  }
  try {
    const size = fstatSync(fd).size;
    if (lines <= 0) return { offset: size, count: 0 };
    const block = Buffer.alloc(blockBytes);
    let count = 0;
    for (let end = size; end > 0; ) {
      const start = Math.max(0, end - blockBytes);
      readSync(fd, block, 0, end - start, start);
      for (let at = end - start - 1; at >= 0; at -= 1) {
        if (block[at] !== 10 || start + at + 1 === size) continue;
        count += 1;
        if (count === lines) return { offset: start + at + 1, count };
      }
      end = start;
    }
    return { offset: 0, count: size === 0 ? 0 : count + 1 };
  } finally {
    closeSync(fd);
  }
}

/** Wakes on any change in a folder, and once a second: a supervisor that was killed changes no file. */
export function watchFolder(path: string): Disposable & { next(signal: AbortSignal): Promise<void> } {
  let changed = false;
  let wake: (() => void) | undefined;
  const notify = (): void => {
    changed = true;
    wake?.();
  };
  const watcher = watch(path, { persistent: true }, notify);
  // The folder went away: whoever waits looks again, and finds that it did.
  watcher.on("error", notify);
  return {
    async next(signal) {
      if (!changed) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, 1000);
          const done = (): void => {
            clearTimeout(timer);
            signal.removeEventListener("abort", done);
            wake = undefined;
            resolve();
          };
          wake = done;
          signal.addEventListener("abort", done, { once: true });
        });
      }
      changed = false;
      signal.throwIfAborted();
    },
    [Symbol.dispose]() {
      watcher.close();
    },
  };
}
