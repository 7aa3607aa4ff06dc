/**
 * Standard output or error as a stream that writes at once: for files, pipes and /dev/null, where Node's own stream does
 * the same after a millisecond or two of preparations.
 */
import { fstatSync, writeSync } from "node:fs";
import { Writable } from "node:stream";
import { errnoOf } from "../errors.ts";

/** The memory devices: null, zero, full. */
const MEMORY_MAJOR = 1;

/**
 * Undefined: a terminal or a socket, which needs Node's.
 * @param slow Node's stream, for a pipe that another process has made non-blocking and that is full.
 */
export function plainOutput(fd: 1 | 2, slow: () => NodeJS.WriteStream): NodeJS.WriteStream | undefined {
  const stat = fstatSync(fd);
  const isPlain = stat.isFile() || stat.isFIFO() || (stat.isCharacterDevice() && stat.rdev >> 8 === MEMORY_MAJOR);
  if (!isPlain) return undefined;
  const stream = new Writable({
    decodeStrings: true,
    write(chunk: Buffer, _encoding, done) {
      let at = 0;
      try {
        while (at < chunk.length) at += writeSync(fd, chunk, at);
        done();
      } catch (error) {
        if (errnoOf(error) === "EAGAIN") slow().write(chunk.subarray(at), done);
        else done(error instanceof Error ? error : new Error(String(error)));
      }
    },
  });
  // What is missing of Node's type is what terminals have; it is undefined there, too.
  return Object.assign(stream, { fd }) as Writable as NodeJS.WriteStream;
}
