import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeFrame, type Frame, frameReader } from "../../../src/runtime/containers/connection.ts";

const data = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
const frame: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({ kind: fc.constantFrom("stdin", "stdout", "stderr"), data }),
  fc.constantFrom<Frame>({ kind: "stdinEnd" }, { kind: "started" }, { kind: "exited", code: 3 }),
  fc.record({ kind: fc.constant("resize" as const), size: fc.record({ columns: fc.nat(999), rows: fc.nat(999) }) }),
);

test("frames arrive whole and in order, however the bytes are cut", () => {
  fc.assert(
    fc.property(fc.array(frame), fc.infiniteStream(fc.integer({ min: 1, max: 50 })), (frames, sizes) => {
      const bytes = Buffer.concat(frames.map(encodeFrame));
      const seen: Frame[] = [];
      const read = frameReader((each) => seen.push("data" in each ? { ...each, data: Buffer.from(each.data) } : each));
      for (let at = 0; at < bytes.length; ) {
        const size = sizes.next().value as number;
        read(bytes.subarray(at, at + size));
        at += size;
      }
      expect(seen).toEqual(frames);
    }),
  );
});

test("what no peer of ours sends ends the connection", () => {
  const read = frameReader(() => undefined);
  expect(() => read(Buffer.from([99, 0, 0, 0, 0]))).toThrow("unknown frame");
  expect(() => frameReader(() => undefined)(Buffer.from([1, 255, 255, 255, 255]))).toThrow("bytes");
});
