/**
 * `npm run bench [-- --only NAME] [--runs N] [--base TAR]`: measures tsbuild beside every peer that is installed, in
 * turns within one run, and prints medians and ratios. Ratios are what counts; absolute times depend on the machine.
 */
import { execFileSync } from "node:child_process";
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { availableBuilders, type Builder } from "./builders.ts";
import { CommandFailed, time } from "./commands.ts";
import { type Machine, startMachine } from "./machine.ts";
import type { Scenario } from "./scenario.ts";
import { aptInstall } from "./scenarios/apt-install.ts";
import { copyCached } from "./scenarios/copy-cached.ts";
import { copyChanged } from "./scenarios/copy-changed.ts";
import { copyCold } from "./scenarios/copy-cold.ts";
import { ignoreMany } from "./scenarios/ignore-many.ts";
import { importBase } from "./scenarios/import-base.ts";
import { parallelStages } from "./scenarios/parallel-stages.ts";
import { parseLarge } from "./scenarios/parse-large.ts";
import { planStages } from "./scenarios/plan-stages.ts";
import { pullBase } from "./scenarios/pull-base.ts";
import { pushBase } from "./scenarios/push-base.ts";
import { runEcho } from "./scenarios/run-echo.ts";
import { runEchoCached } from "./scenarios/run-echo-cached.ts";
import { runTrue } from "./scenarios/run-true.ts";
import { saveBase } from "./scenarios/save-base.ts";

const scenarios: readonly Scenario[] = [
  runEcho,
  runEchoCached,
  copyCold,
  copyCached,
  copyChanged,
  parallelStages,
  runTrue,
  importBase,
  saveBase,
  pushBase,
  pullBase,
  aptInstall,
  parseLarge,
  planStages,
  ignoreMany,
];

/** After a signal the machine is taken down in order: it has a dockerd. */
let interrupted = false;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    interrupted = true;
  });
}

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    runs: { type: "string", default: "5" },
    base: { type: "string" },
    list: { type: "boolean" },
  },
});
if (values.list) {
  for (const { name, title } of scenarios) console.log(`${name.padEnd(16)}  ${title}`);
} else {
  process.exitCode = await main();
}

async function main(): Promise<number> {
  const chosen = scenarios.filter(({ name }) => values.only === undefined || values.only.includes(name));
  if (chosen.length === 0) {
    console.error(`no scenario ${values.only?.join(", ")}; there are ${scenarios.map(({ name }) => name).join(", ")}`);
    return 2;
  }
  execFileSync(process.execPath, [new URL("../scripts/build.mjs", import.meta.url).pathname, "--fast"], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  await using machine = await startMachine({ baseTar: values.base });
  const builders = availableBuilders(machine);
  let missed = 0;
  for (const scenario of chosen) {
    if (interrupted) break;
    missed += await measure(scenario, machine, builders);
  }
  return missed === 0 && !interrupted ? 0 : 1;
}

interface Result {
  readonly name: string;
  readonly timesMs: number[];
  failure: string | undefined;
}

/** Prints one table. Returns the number of goals that were not reached. */
async function measure(scenario: Scenario, machine: Machine, builders: readonly Builder[]): Promise<number> {
  const runs = Math.min(Number(values.runs), scenario.runs ?? Number.POSITIVE_INFINITY);
  const subjects = scenario.subjects(machine, builders);
  const results = subjects.map((subject): Result => ({ name: subject.name, timesMs: [], failure: undefined }));
  // Run 0 warms up and is not counted.
  for (let run = 0; run <= runs; run += 1) {
    for (const [index, subject] of subjects.entries()) {
      const result = results[index];
      // Lets a signal in: the commands themselves are waited for without looking up.
      await new Promise(setImmediate);
      if (result === undefined || result.failure !== undefined || interrupted) continue;
      try {
        subject.before?.(run);
        const elapsed = time(subject.timed(run));
        if (run > 0 || runs === 0) result.timesMs.push(elapsed);
        subject.after?.(run);
      } catch (error) {
        if (!(error instanceof CommandFailed)) throw error;
        result.failure = error.message;
      }
    }
  }
  return print(scenario, runs, results);
}

function print(scenario: Scenario, runs: number, results: readonly Result[]): number {
  const ours = median(results.find(({ name }) => name === "tsbuild")?.timesMs ?? []);
  console.log(`\n${scenario.title} (${scenario.name}; ${runs} runs, load ${(loadavg()[0] ?? 0).toFixed(1)})`);
  for (const { name, timesMs, failure } of results) {
    const middle = median(timesMs);
    const figures =
      failure === undefined
        ? `${formatMs(middle)}  ${formatMs(Math.min(...timesMs))} – ${formatMs(Math.max(...timesMs))}  ×${(middle / ours).toFixed(2)}`
        : `failed: ${failure.slice(0, 300)}`;
    console.log(`  ${name.padEnd(16)}  ${figures}`);
  }
  let missed = 0;
  for (const goal of scenario.goals) {
    const theirs = median(results.find(({ name }) => name === goal.against)?.timesMs ?? []);
    if (Number.isNaN(theirs) || Number.isNaN(ours)) continue;
    const isReached = ours <= theirs * goal.ratio;
    if (!isReached) missed += 1;
    const limit = goal.ratio < 1 ? `1/${Math.round(1 / goal.ratio)}` : String(goal.ratio);
    console.log(
      `  goal: ${limit} of ${goal.against}: ${isReached ? "reached" : "MISSED"} (${(ours / theirs).toFixed(3)})`,
    );
  }
  return missed;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

function formatMs(ms: number): string {
  return (ms >= 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${ms.toFixed(0)} ms`).padStart(8);
}
