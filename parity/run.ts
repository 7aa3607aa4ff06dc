/**
 * `npm run parity [-- --only AREA|NAME] [--list]`: builds every case with tsbuild and, where its age allows, with a real
 * BuildKit, and compares the images as a user sees them. One line for each failure, then `N of N`; exit code 1 otherwise.
 * Without docker the cases hold against what they say themselves, and those that say nothing are counted as skipped.
 */
import { parseArgs } from "node:util";
import { areas } from "../fixtures/parity/areas.ts";
import type { ParityCase } from "../fixtures/parity/case.ts";
import { startMachine } from "./machine.ts";
import { asksReference, runCase } from "./run-case.ts";

interface Chosen {
  readonly area: string;
  readonly parityCase: ParityCase;
}

const ending = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => ending.abort(signal));
// Node announces node:sqlite as experimental.
process.removeAllListeners("warning");

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    list: { type: "boolean" },
    jobs: { type: "string", default: "4" },
    "no-reference": { type: "boolean" },
    random: { type: "string" },
    kind: { type: "string", default: "mixed" },
    seed: { type: "string", default: "1" },
    print: { type: "boolean" },
    edits: { type: "string" },
  },
});
const chosen = values.random === undefined ? choose(values.only) : await invented(Number(values.random));
if (values.list) for (const { area, parityCase } of chosen) console.log(`${area}: ${parityCase.name}`);
else process.exitCode = values.edits === undefined ? await main() : await edits(Number(values.edits));

/** Cases of an area of this name, or whose name has it. */
function choose(only: readonly string[] | undefined): readonly Chosen[] {
  const all = Object.entries(areas).flatMap(([area, cases]) => cases.map((parityCase) => ({ area, parityCase })));
  if (only === undefined) return all;
  return all.filter(({ area, parityCase }) =>
    only.some((word) => area === word || `${area}: ${parityCase.name}`.includes(word)),
  );
}

/** `--random N [--kind KIND] [--seed S]`: cases made by chance in place of the written ones. `--only` takes one again. */
async function invented(count: number): Promise<readonly Chosen[]> {
  const { randomCases } = await import("./random/random-cases.ts");
  return randomCases({ kind: values.kind, count, seed: Number(values.seed) })
    .map((parityCase) => ({ area: "random", parityCase }))
    .filter(({ parityCase }) => values.only?.includes(parityCase.name) ?? true);
}

/** `--edits N [--seed S]`: no cases, but N projects that are edited and built again; see `edits.ts`. */
async function edits(count: number): Promise<number> {
  const { runEdits } = await import("./edits.ts");
  const report = await runEdits({ count, seed: Number(values.seed), edits: 8, signal: ending.signal });
  for (const problem of report.problems) console.log(problem);
  console.log(`${report.builds} builds, ${report.images} of them made an image; ${report.problems.length} problems`);
  return report.problems.length === 0 ? 0 : 1;
}

async function main(): Promise<number> {
  if (chosen.length === 0) {
    console.error(`no case ${values.only?.join(", ")}; areas are ${Object.keys(areas).join(", ")}`);
    return 2;
  }
  const withReference = values["no-reference"] !== true;
  await using machine = await startMachine({ withReference, signal: ending.signal });
  const asked = chosen.filter(({ parityCase }) => asksReference(parityCase));
  const queue = [...chosen];
  let passed = 0;
  let images = 0;
  const bench = { ...machine.bench, onImage: () => (images += 1) };
  const work = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined && !ending.signal.aborted; next = queue.shift()) {
      const { area, parityCase } = next;
      const problems = await runCase(bench, area, parityCase).catch((error: unknown) => [String(error)]);
      if (values.print === true && (problems.length > 0 || values.only !== undefined)) console.log(printed(parityCase));
      if (problems.length === 0) passed += 1;
      else if (!ending.signal.aborted) console.log(`${area}: ${parityCase.name}\n${problems.map(indented).join("\n")}`);
    }
  };
  await Promise.all(Array.from({ length: Number(values.jobs) }, work));
  if (machine.version === undefined) {
    for (const { area, parityCase } of asked) console.log(`without a reference: ${area}: ${parityCase.name}`);
    console.log(`${asked.length} of ${chosen.length} cases were not compared with a reference`);
  } else console.log(`compared with BuildKit of docker ${machine.version}: ${asked.length} cases`);
  if (values.random !== undefined) console.log(`${images} made an image, the others were refused`);
  console.log(`${passed} of ${chosen.length}`);
  return passed === chosen.length ? 0 : 1;
}

function printed({ dockerfile, context, ignore }: ParityCase): string {
  return [
    String(dockerfile),
    JSON.stringify(context),
    ignore === undefined ? "" : `ignore ${JSON.stringify(ignore)}`,
  ].join("\n");
}

function indented(text: string): string {
  return text.trim().replaceAll(/^/gm, "    ");
}
