import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  isContainerId,
  newContainerId,
  parseContainerName,
  randomContainerName,
  shortId,
} from "../../../src/runtime/containers/container-id.ts";
import { mergeEnv } from "../../../src/runtime/containers/create-container.ts";
import { signalNumber } from "../../../src/runtime/containers/signal-name.ts";
import { caught } from "../../support/caught.ts";

test("an ID has 64 hex digits, and its short form is never a number", () => {
  for (let n = 0; n < 200; n += 1) {
    const id = newContainerId();
    expect(isContainerId(id)).toBe(true);
    expect(shortId(id)).toMatch(/^(?=.*[a-f])[0-9a-f]{12}$/);
  }
});

test("random names are names", () => {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const name = randomContainerName(attempt);
    expect(parseContainerName(name)).toBe(name);
    expect(name).toMatch(attempt === 0 ? /^[a-z]+_[a-z]+$/ : /^[a-z]+_[a-z]+\d$/);
  }
});

test.for(["/web", "a.b-c_d", "0x", "A1"])("%j is a name", (text) => {
  expect(parseContainerName(text)).toBe(text.replace(/^\//, ""));
});

test.for(["", "x", "-x", "a/b", "x!", "a b", "é1"])("%j is none", (text) => {
  expect(caught(() => parseContainerName(text))).toMatchObject({
    code: "INVALID_ARGUMENT",
    message: `Invalid container name (${text}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
  });
});

describe("signals", () => {
  test.for([
    ["KILL", 9],
    ["SIGKILL", 9],
    ["sigterm", 15],
    ["hup", 1],
    ["9", 9],
    ["64", 64],
    ["RTMIN", 34],
    ["SIGRTMIN+3", 37],
    ["RTMAX-1", 63],
    ["WINCH", 28],
  ] as const)("%s is %d", ([text, number]) => {
    expect(signalNumber(text)).toBe(number);
  });

  test.for(["FOO", "0", "65", "-1", "", "RTMIN+31", "RTMAX+1", "SIG", "constructor"])("%j is none", (text) => {
    expect(caught(() => signalNumber(text))).toMatchObject({
      code: "INVALID_ARGUMENT",
      message: `invalid signal: ${text}`,
    });
  });
});

describe("merging environments", () => {
  test("what overrides keeps its place, new names come last", () => {
    expect(mergeEnv(["A=1", "B=2", "C=3"], ["B=x", "D=4"])).toEqual(["A=1", "B=x", "C=3", "D=4"]);
    expect(mergeEnv(["A=a=b"], ["A="])).toEqual(["A="]);
  });

  test("every name once, and the last value wins", () => {
    const entry = fc.tuple(fc.constantFrom("A", "B", "C"), fc.string()).map(([name, value]) => `${name}=${value}`);
    fc.assert(
      fc.property(fc.array(entry), fc.array(entry), (base, overrides) => {
        const merged = mergeEnv(base, overrides);
        const last = new Map([...base, ...overrides].map((each) => [each[0], each]));
        expect(new Set(merged)).toEqual(new Set(last.values()));
        expect(merged.length).toBe(last.size);
      }),
    );
  });
});
