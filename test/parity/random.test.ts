/**
 * Some cases made by chance, built beside a real BuildKit of the age that they are made for, and some projects that are
 * edited between builds. `npm run parity -- --random` and `--edits` make any number of them.
 */
import { afterAll, beforeAll, describe, expect } from "vitest";
import { runEdits } from "../../parity/edits.ts";
import { type Machine, startMachine } from "../../parity/machine.ts";
import { kinds, randomCases } from "../../parity/random/random-cases.ts";
import { runCase } from "../../parity/run-case.ts";
import { lacks, needs } from "../support/needs.ts";

const never = new AbortController().signal;
/** The same cases each time: what others find is for who looks for it. */
const seed = 20_781;

describe("beside a reference", () => {
  let machine: Machine | undefined;

  beforeAll(async () => {
    if (lacks("root", "busybox-static", "docker", "dockerd")) return;
    machine = await startMachine({ withReference: true, signal: never });
  });

  afterAll(async () => {
    await machine?.[Symbol.asyncDispose]();
  });

  for (const kind of Object.keys(kinds))
    needs(
      "root",
      "busybox-static",
      "docker",
      "dockerd",
    )(`both builders make the same of random cases: ${kind}, seed ${seed}`, async ({ skip }) => {
      if (machine === undefined) throw new Error("no machine");
      if (machine.bench.reference === undefined) return skip("dockerd does not start");
      if (!machine.bench.isKnownReference) return skip("the cases are made for docker 20.10");
      for (const parityCase of randomCases({ kind, count: 6, seed }))
        expect({ case: parityCase, problems: await runCase(machine.bench, "random", parityCase) }).toEqual({
          case: parityCase,
          problems: [],
        });
    });
});

needs("root", "busybox-static")(
  `a project that is edited builds to the same with the cache and without it: seed ${seed}`,
  { timeout: 120_000 },
  async () => {
    const report = await runEdits({ count: 2, seed, edits: 5, signal: never });
    expect(report.problems).toEqual([]);
    expect(report.images).toBeGreaterThan(0);
  },
);
