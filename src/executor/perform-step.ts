/** One step on a fresh snapshot: afterwards its upperdir is the layer. */
import { setImmediate } from "node:timers/promises";
import { assertNever, TsbuildError, type Where } from "../errors.ts";
import { bytePath } from "../kernel/byte-path.ts";
import type { CopyInput, RunInput, Step } from "../planner/build-graph.ts";
import type { Selection } from "../planner/selection.ts";
import type { Driver } from "../runtime/driver.ts";
import { lookupOwner } from "../runtime/user.ts";
import type { FoldedTar } from "../store/folded-layer.ts";
import { warmLayerWorker } from "../store/layer-work.ts";
import { type CopyTask, copySteps } from "./copy-tree.ts";
import { fileWorkFailed, noAccountsForName } from "./errors.ts";
import type { ReusableFiles } from "./reusable-files.ts";
import { failureCauses, failureSentence, startFailureSentence, startHint } from "./run-failure.ts";
import type { RunPlace } from "./run-step.ts";
import { StepFailed } from "./step-failed.ts";
import { UpperTree } from "./upper-tree.ts";
import { hasName, workdirStep } from "./workdir-step.ts";

export interface StepPlace extends Omit<RunPlace, "driver"> {
  readonly driver: () => Promise<Driver>;
  readonly where: Where;
  readonly selection: Selection | undefined;
  /** `COPY --link`: the layer is made on an empty root, whatever is below. */
  readonly standsAlone: boolean;
  readonly storeRoot: string;
  /** Nothing else of this build runs now. */
  readonly isAlone: boolean;
  /** What the same COPY made the last time, looked up only where there are files enough to gain by it. */
  readonly earlierFiles: () => ReusableFiles | undefined;
  /** Undefined: somebody wants the layer's tree at once. */
  readonly folding: Folding | undefined;
  readonly onNote: (text: string) => void;
}

interface Folding {
  /** Epoch ms. */
  readonly now: number;
  /** What the same COPY made the last time, if that is folded still. */
  readonly earlier: () => FoldedTar | undefined;
}

/**
 * @throws {StepFailed} with what is known of the failure; the snapshot's tree is kept apart when there was a command
 */
export async function performStep(step: Step, place: StepPlace): Promise<void> {
  const { input } = step;
  switch (input.kind) {
    case "run":
      return await run(step, input, place);
    case "copy":
      return await asStepFailure(step, place, () => copy(input, place));
    case "workdir":
      return await asStepFailure(step, place, async () => workdirStep(input, place.snapshot.upperdir, place.lowerdirs));
    default:
      return assertNever(input);
  }
}

async function run(step: Step, input: RunInput, place: StepPlace): Promise<void> {
  // Loaded here: a build of copies needs no container, no seccomp profile, no launcher.
  const { runStep } = await import("./run-step.ts");
  let status: Awaited<ReturnType<typeof runStep>>;
  try {
    status = await runStep(input, step.unkeyed, { ...place, driver: await place.driver() });
  } catch (error) {
    if (place.signal.aborted) throw error;
    const known = error instanceof TsbuildError ? error : fileWorkFailed(place.storeRoot, error);
    if (known === undefined) throw error;
    const hint = startHint(input.argv, known, (path) => isInImage(path, place));
    throw stepFailed(step, place, startFailureSentence(input.argv, known), [], known, undefined, hint);
  }
  if (status.code === 0) return;
  throw stepFailed(
    step,
    place,
    failureSentence(input.argv, status),
    failureCauses(status, input, step.unkeyed.limits.memoryBytes, place.storeRoot),
    undefined,
    keepTree(step, place),
  );
}

function isInImage(path: string, { snapshot, lowerdirs }: StepPlace): boolean {
  try {
    return new UpperTree(snapshot.upperdir, lowerdirs).resolve(bytePath(path)).node !== undefined;
  } catch {
    return false; // a loop of links, or a file where a folder should be
  }
}

/** Undefined when there is no room even for that: the step's own failure is what matters. */
function keepTree(step: Step, { snapshot }: StepPlace): string | undefined {
  try {
    return snapshot.keepAsFailed(`${step.label} ${step.text}`);
  } catch {
    return undefined;
  }
}

/** An error of ours, or of the disk, gets the step's place in the Dockerfile. */
async function asStepFailure(step: Step, place: StepPlace, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (place.signal.aborted) throw error;
    const known = error instanceof TsbuildError ? error : fileWorkFailed(place.storeRoot, error);
    if (known === undefined) throw error;
    throw stepFailed(step, place, known.message, [], known);
  }
}

function stepFailed(
  step: Step,
  place: StepPlace,
  sentence: string,
  causes: readonly string[],
  cause: TsbuildError | undefined,
  failedTree?: string,
  hint: string | undefined = cause?.hint,
): StepFailed {
  return new StepFailed({
    step: step.id,
    label: step.label,
    text: step.text,
    sentence,
    causes,
    where: place.where,
    hint,
    failedTree,
    cause,
  });
}

/** Of one file the kernel copies without a pause, so much of them goes to a thread; many files do not. */
const manyBytes = 32 * 1024 * 1024;
/** From so many files on the layer will be hashed in a worker, which starts meanwhile. */
const manyFiles = 500;

/** With so few files reading the earlier layer's index costs more than it saves. */
const someFiles = 50;

/** More is shared with the layer that the same step made before, file by file, rather than written again. */
const foldableBytes = 64 * 1024 * 1024;

async function copy(input: CopyInput, place: StepPlace): Promise<void> {
  const { snapshot, selection, signal } = place;
  const lowerdirs = place.standsAlone ? [] : place.lowerdirs;
  const sources = selection?.sources ?? [];
  const task: CopyTask = {
    upperdir: snapshot.upperdir,
    lowerdirs,
    destination: input.destination,
    sources,
    owner: input.chown === undefined ? undefined : ownerOf(input.chown, lowerdirs, place),
    chmod: input.chmod,
    parents: input.parents,
  };
  const mayUnpack = input.instruction === "ADD" && input.unpack !== false;
  if (mayUnpack && sources.some(({ entries: [top] }) => top.type === "file" && top.hostPath !== "")) {
    const { addTree } = await import("./add-archive.ts");
    await addTree(task, signal);
    return;
  }
  const { files, bytes } = weightOf(task);
  if (place.folding !== undefined && files > someFiles && bytes <= foldableBytes) {
    const { foldedCopy } = await import("./fold-copy.ts");
    const earlier = isAtHand(task) ? undefined : place.folding.earlier();
    const folded = foldedCopy(task, earlier, place.folding.now);
    if (folded !== undefined) return await inTurns(snapshot.fold(folded), signal);
  }
  if (files > manyFiles) warmLayerWorker();
  const reusing = files > someFiles ? { ...task, reusable: place.earlierFiles() } : task;
  if (bytes > manyBytes || (files > manyFiles && !place.isAlone)) {
    const { copyTreeInWorker } = await import("./copy-tree-thread.ts");
    await copyTreeInWorker(reusing, signal);
    return;
  }
  await inTurns(copySteps(reusing), signal);
}

/** Others have their turn between the steps: signals, the progress. */
async function inTurns(steps: Iterable<void>, signal: AbortSignal): Promise<void> {
  for (const _ of steps) {
    await setImmediate();
    signal.throwIfAborted();
  }
}

/** All that was read to be hashed: a first copy, mostly, for which no earlier layer has anything. */
function isAtHand({ sources }: CopyTask): boolean {
  return sources.every(({ entries }) =>
    entries.every(({ type, content, size }) => type !== "file" || size === 0 || content !== undefined),
  );
}

function weightOf({ sources }: CopyTask): { readonly files: number; readonly bytes: number } {
  let files = 0;
  let bytes = 0;
  for (const { entries } of sources) {
    files += entries.length;
    for (const entry of entries) bytes += entry.size;
  }
  return { files, bytes };
}

/**
 * `--chown`, looked up in the accounts of the stage that is written to.
 * Source: Dockerfile reference, "COPY --chown --chmod".
 */
function ownerOf(chown: string, lowerdirs: readonly string[], place: StepPlace): CopyTask["owner"] {
  if (hasName(chown) && lowerdirs.length === 0) {
    const why = place.standsAlone ? "--link looks at nothing below" : "the stage has no files yet";
    throw noAccountsForName(`--chown=${chown}`, why);
  }
  const tree = new UpperTree(place.snapshot.upperdir, lowerdirs);
  const owner = lookupOwner(chown, (path) => tree.readFile(bytePath(path)));
  for (const name of owner.unknown)
    place.onNote(`warning: --chown=${chown}: ${name} is not known in this stage and counts as 0`);
  return owner;
}
