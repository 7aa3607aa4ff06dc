/** One case, built by tsbuild and, where it can be asked, by the reference. Returns what is wrong, a sentence each. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Outcome, ParityCase } from "../fixtures/parity/case.ts";
import type { Builder, BuildRun } from "./build-run.ts";
import { compareImages } from "./compare.ts";
import type { BuiltImage } from "./image.ts";
import { judgeImage, judgeRefusal, judgeRun } from "./judge.ts";
import type { KnownDifferences } from "./known-differences.ts";
import { isOldRefusal } from "./reference.ts";
import { buildsOf, prepare, serve } from "./workspace.ts";

export interface Bench {
  readonly folder: string;
  readonly tsbuild: Builder;
  readonly reference: Builder | undefined;
  /** Whether DIFFERENCES.md was written for it: a newer reference may have caught up. */
  readonly isKnownReference: boolean;
  readonly base: BuiltImage;
  readonly known: KnownDifferences;
  /** Seconds since 1970. */
  readonly started: number;
  /** Called for each random case of which both made an image: how many do says what the rest is worth. */
  readonly onImage?: () => void;
}

/** Whether the reference has a say in the case. */
export function asksReference({ outcome }: ParityCase): boolean {
  if (outcome.kind === "same" || outcome.kind === "agrees") return true;
  return outcome.kind !== "expected" && outcome.reference;
}

export async function runCase(bench: Bench, area: string, parityCase: ParityCase): Promise<readonly string[]> {
  const folder = join(bench.folder, `${area}-${parityCase.name.replaceAll(/[^a-zA-Z0-9]+/g, "-")}`.slice(0, 100));
  mkdirSync(folder);
  try {
    await using server = parityCase.server === undefined ? undefined : await serve(parityCase.server);
    const builders = [
      bench.tsbuild,
      ...(bench.reference !== undefined && asksReference(parityCase) ? [bench.reference] : []),
    ];
    const [ours, theirs] = await Promise.all(
      builders.map(async (builder) => await made(builder, join(folder, builder.name), parityCase, server?.address)),
    );
    if (ours === undefined) throw new Error("tsbuild was not called");
    return verdict(bench, `${area}: ${parityCase.name}`, parityCase.outcome, ours, theirs);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Made {
  readonly run: BuildRun;
  readonly image: BuiltImage | undefined;
  /** Why an earlier build of the case failed. */
  readonly failure: string | undefined;
}

async function made(
  builder: Builder,
  folder: string,
  parityCase: ParityCase,
  server: string | undefined,
): Promise<Made> {
  mkdirSync(folder);
  const builds = buildsOf(parityCase);
  for (const [index, build] of builds.entries()) {
    const run = await builder.build(prepare(folder, parityCase, build, server));
    if (index < builds.length - 1) {
      if (!run.ok) return { run, image: undefined, failure: `build ${index + 1} of the case fails: ${run.log}` };
      continue;
    }
    if (!run.ok || run.image === undefined) return { run, image: undefined, failure: undefined };
    return { run, image: await builder.read(run, folder), failure: undefined };
  }
  throw new Error("a case has a build");
}

function verdict(
  bench: Bench,
  name: string,
  outcome: Outcome,
  ours: Made,
  theirs: Made | undefined,
): readonly string[] {
  if (outcome.kind === "agrees") {
    if (ours.run.log.includes("a defect of tsbuild")) return [ours.run.log];
    if (theirs === undefined || (!ours.run.ok && !theirs.run.ok)) return [];
    if (ours.image === undefined) return [`the reference builds it: ${ours.run.log}`];
    if (theirs.image === undefined && isOldRefusal(theirs.run.log)) return [];
    if (theirs.image === undefined) return [`the reference refuses it: ${theirs.run.log.trim().split("\n").at(-1)}`];
    bench.onImage?.();
    return [...ours.image.problems, ...surprises(bench, name, ours.image, theirs.image)];
  }
  const failures = [ours.failure, theirs?.failure && `reference: ${theirs.failure}`].filter(
    (each) => each !== undefined,
  );
  if (failures.length > 0) return failures;
  if (outcome.kind === "rejected" || outcome.kind === "failed") {
    const succeeds = theirs?.run.ok === true ? ["the reference builds it"] : [];
    return [...judgeRefusal(outcome, ours.run), ...succeeds];
  }
  const problems = judgeMade(bench, outcome, ours, true);
  if (theirs === undefined) return problems;
  const all = [...problems, ...judgeMade(bench, outcome, theirs, false).map((text) => `reference: ${text}`)];
  if (ours.image === undefined || theirs.image === undefined) return all;
  return [...all, ...surprises(bench, name, ours.image, theirs.image)];
}

function judgeMade(
  bench: Bench,
  outcome: Extract<Outcome, { kind: "same" | "expected" }>,
  { run, image }: Made,
  isOurs: boolean,
): readonly string[] {
  if (image === undefined) return [`the build fails: ${run.log}`];
  return [...judgeRun(outcome.image, run, isOurs), ...judgeImage(outcome.image, image, { base: bench.base, isOurs })];
}

/** Differences without a reason, and reasons without a difference. */
function surprises(
  { known, started, isKnownReference }: Bench,
  name: string,
  ours: BuiltImage,
  theirs: BuiltImage,
): readonly string[] {
  const differences = compareImages(ours, theirs, started).filter(({ key }) => !known.isEverywhere(key));
  const reasons = known.cases.get(name) ?? new Set();
  const keys = new Set(differences.map(({ key }) => key));
  return [
    ...differences.filter(({ key }) => !reasons.has(key)).map(({ text }) => text),
    ...[...reasons]
      .filter((key) => isKnownReference && !keys.has(key))
      .map((key) => `DIFFERENCES.md says that ${key} differs, and it does not`),
  ];
}
