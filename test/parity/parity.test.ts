/**
 * Every parity case without the reference: what a case itself says of its image, or of the refusal, holds of ours.
 * `npm run parity` compares with a real BuildKit.
 */
import { afterAll, beforeAll, describe, expect } from "vitest";
import { areas } from "../../fixtures/parity/areas.ts";
import { type Machine, startMachine } from "../../parity/machine.ts";
import { runCase } from "../../parity/run-case.ts";
import { lacks, needs } from "../support/needs.ts";

let machine: Machine | undefined;

beforeAll(async () => {
  if (lacks("root", "busybox-static")) return;
  machine = await startMachine({ withReference: false, signal: new AbortController().signal });
});

afterAll(async () => {
  await machine?.[Symbol.asyncDispose]();
});

describe.each(Object.entries(areas))("%s", (area, cases) => {
  for (const parityCase of cases)
    needs("root", "busybox-static")(parityCase.name, async () => {
      if (machine === undefined) throw new Error("no machine");
      expect(await runCase(machine.bench, area, parityCase)).toEqual([]);
    });
});
