import { describe, expect, test } from "vitest";
import { detachKeys } from "../../src/runtime/terminal.ts";
import { caught } from "../support/caught.ts";

describe("detach keys", () => {
  test.for([
    { name: "pass what is no key of the sequence", typed: ["abc"], passed: "abc", detached: false },
    { name: "in one piece", typed: ["ab\x10\x11cd"], passed: "ab", detached: true },
    { name: "in two pieces", typed: ["ab\x10", "\x11cd"], passed: "ab", detached: true },
    { name: "hold the first key back until the second", typed: ["\x10"], passed: "", detached: false },
    { name: "give it up when another key follows", typed: ["\x10", "x"], passed: "\x10x", detached: false },
    { name: "begin anew after a false start", typed: ["\x10\x10\x11"], passed: "\x10", detached: true },
  ])("$name", ({ typed, passed, detached }) => {
    const keys = detachKeys("ctrl-p,ctrl-q");
    const results = typed.map((text) => keys.feed(Buffer.from(text)));
    expect(Buffer.concat(results.map((result) => result.pass)).toString()).toBe(passed);
    expect(results.some((result) => result.detached)).toBe(detached);
  });

  test("an empty sequence never detaches", () => {
    expect(detachKeys("").feed(Buffer.from("\x10\x11"))).toEqual({ pass: Buffer.from("\x10\x11"), detached: false });
  });

  test.for([
    { keys: "a,b", typed: "ab" },
    { keys: "ctrl-@", typed: "\0" },
    { keys: "ctrl-_", typed: "\x1f" },
    { keys: "ctrl-A", typed: "\x01" },
  ])("$keys", ({ keys, typed }) => {
    expect(detachKeys(keys).feed(Buffer.from(typed)).detached).toBe(true);
  });

  test.for(["ctrl-", "ctrl-1", "ab", "ctrl-p,,"])("%j is refused", (keys) => {
    expect(caught(() => detachKeys(keys))).toMatchObject({
      code: "INVALID_ARGUMENT",
      message: `invalid detach keys (${keys}) provided`,
    });
  });
});
