/**
 * Whether the cache tells the truth: a project is edited by chance and built again and again with one store, and each time
 * with a new one. What comes out must be the same but for times, and an edit of which no step sees anything runs none.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { makeBase } from "./base.ts";
import type { Builder, BuildRun } from "./build-run.ts";
import { compareImages } from "./compare.ts";
import { type Edit, edit, firstProject, type Project } from "./random/edits.ts";
import { startTsbuild } from "./tsbuild.ts";

export interface EditSettings {
  /** How many projects are edited. */
  readonly count: number;
  readonly seed: number;
  /** For each project. */
  readonly edits: number;
  readonly signal: AbortSignal;
}

export interface EditReport {
  readonly builds: number;
  /** Builds that succeeded. */
  readonly images: number;
  /** What went wrong, with the project and what was done to it. */
  readonly problems: readonly string[];
}

export async function runEdits({ count, seed, edits, signal }: EditSettings): Promise<EditReport> {
  const drafts = fc.sample(fc.tuple(firstProject, fc.array(edit, { minLength: edits, maxLength: edits })), {
    numRuns: count,
    seed,
  });
  const folder = mkdtempSync("/tmp/tsbuild-test-edits-");
  try {
    const archive = makeBase(folder);
    const reports: EditReport[] = [];
    for (const [index, [project, all]] of drafts.entries()) {
      if (signal.aborted) break;
      const own = join(folder, String(index));
      mkdirSync(own);
      reports.push(
        await editProject({ name: `seed ${seed}, project ${index}`, project, all }, { own, archive, signal }),
      );
      rmSync(own, { recursive: true });
    }
    return {
      builds: sum(reports.map(({ builds }) => builds)),
      images: sum(reports.map(({ images }) => images)),
      problems: reports.flatMap(({ problems }) => problems),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Sequence {
  readonly name: string;
  readonly project: Project;
  readonly all: readonly Edit[];
}

interface Place {
  readonly own: string;
  /** The image `b`. */
  readonly archive: string;
  readonly signal: AbortSignal;
}

async function editProject(
  { name, project: first, all }: Sequence,
  { own, archive, signal }: Place,
): Promise<EditReport> {
  const context = join(own, "context");
  for (const path of ["d/e", "s"]) mkdirSync(join(context, path), { recursive: true });
  for (const path of ["f", "g", "d/f", "d/g", "s/f"]) writeFileSync(join(context, path), path);
  const cached = await startTsbuild(join(own, "cached"), archive, signal);
  const problems: string[] = [];
  const done: string[] = [];
  let project = first;
  let last: BuildRun | undefined;
  let builds = 0;
  let images = 0;
  const build = async (harmless: boolean): Promise<void> => {
    builds += 1;
    const fresh = await startTsbuild(join(own, `fresh-${builds}`), archive, signal);
    const [ours, theirs] = [await builtBy(cached, own, project), await builtBy(fresh, own, project)];
    const found = await differences({ cached, fresh, ours, theirs, own });
    if (harmless && last?.ok === true && ours.misses.length > 0) found.push(`ran again: ${ours.misses.join(" | ")}`);
    if (ours.ok) images += 1;
    last = ours;
    rmSync(join(own, `fresh-${builds}`), { recursive: true });
    if (found.length === 0) return;
    problems.push(
      [`${name}, after ${done.join("; ")}`, ...project.lines, `args ${JSON.stringify(project.args)}`, ...found].join(
        "\n    ",
      ),
    );
  };
  await build(false);
  for (const each of all) {
    if (signal.aborted || problems.length > 0) break;
    project = each.apply(project, context);
    done.push(each.text);
    await build(each.harmless);
  }
  if (problems.length === 0 && last?.ok === true) {
    done.push("nothing");
    await build(true);
  }
  return { builds, images, problems };
}

async function builtBy(builder: Builder, own: string, project: Project): Promise<BuildRun> {
  const at = { cwd: own, environment: {}, input: undefined };
  writeFileSync(join(own, "Dockerfile.base"), `FROM b\nRUN echo ${project.base} > /base${project.base}\n`);
  mkdirSync(join(own, "empty"), { recursive: true });
  const base = await builder.build({ ...at, args: ["-f", "Dockerfile.base"], path: "empty", tag: "base" });
  if (!base.ok) throw new Error(base.log);
  writeFileSync(join(own, "Dockerfile"), `${project.lines.join("\n")}\n`);
  writeFileSync(join(own, "secret"), project.secret);
  writeFileSync(join(own, "context/.dockerignore"), project.ignore.join("\n"));
  const args = Object.entries(project.args).flatMap(([key, value]) => ["--build-arg", `${key}=${value}`]);
  return await builder.build({
    ...at,
    args: ["-f", "Dockerfile", "--secret", "id=s,src=secret", ...args],
    path: "context",
    tag: undefined,
  });
}

async function differences(made: {
  readonly cached: Builder;
  readonly fresh: Builder;
  readonly ours: BuildRun;
  readonly theirs: BuildRun;
  readonly own: string;
}): Promise<string[]> {
  const { ours, theirs, own } = made;
  if (!ours.ok && !theirs.ok) return ours.log.includes("a defect of tsbuild") ? [ours.log] : [];
  if (!ours.ok) return [`fails with the cache alone: ${ours.log}`];
  if (!theirs.ok) return [`fails without the cache alone: ${theirs.log}`];
  const [a, b] = [await made.cached.read(ours, own), await made.fresh.read(theirs, own)];
  // No time is compared: a step of the cache has that of the day it ran.
  return compareImages(a, b, Number.NEGATIVE_INFINITY).map(({ text }) => text);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
