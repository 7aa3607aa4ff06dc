/**
 * A COPY of many files whose files nobody has touched since it was defined the last time. To see that takes one lstat for
 * each name that was looked at, a tenth of what it takes to walk, select and hash them again: so the digest of the
 * definition is remembered with the names, and believed where all of them are what they were.
 *
 * A folder's times say whether names came or went, a file's inode, size and times whether it is the same: what the digests
 * of single files trust in, too. See file-digests.ts.
 */
import { type BigIntStats, lstatSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { type BytePath, bytePathOfLatin1, fsPathBelow } from "../kernel/byte-path.ts";
import { canonicalJson } from "../oci/canonical-json.ts";
import { type Digest, hexOf, sha256 } from "../oci/digest.ts";
import { whereOf } from "../parser/position.ts";
import type { CopyInput, Step } from "./build-graph.ts";
import type { Observe } from "./context-origin.ts";
import { isOldEnough } from "./file-digests.ts";
import type { OriginStat } from "./origin.ts";
import { type DefinitionContext, defineStep, KEY_FORMAT, needsParent, type StepDefinition } from "./step-definition.ts";

/** What a lookup in the cache needs to know of a definition. */
export interface KnownDefinition extends Pick<StepDefinition, "digest" | "needsParent"> {
  /** All of it; computed by the first call. Files that changed since make it another one. */
  readonly whole: () => Promise<StepDefinition>;
}

/** With fewer names it costs little to look at all of it again. */
const someNames = 200;
const namesAtOnce = 2000;

/** @throws {TsbuildError} as `defineStep` */
export async function knownDefinition(step: Step, context: DefinitionContext): Promise<KnownDefinition> {
  const folder = step.noCache ? undefined : contextFolder(step, context);
  if (folder === undefined || step.input.kind !== "copy") return known(await defineStep(step, context));
  const name = memoName(step.input, folder, context);
  // Before the first look: what changes later has a later ctime.
  const started = BigInt(Date.now()) * 1_000_000n;
  const memo = context.store.memo.get(name);
  const remembered = memo === undefined ? undefined : await lookAgain(memo, folder, context.signal);
  let whole: Promise<StepDefinition> | undefined;
  const define = (): Promise<StepDefinition> => {
    whole ??= defineObserved(step, context, { name, started });
    return whole;
  };
  if (remembered?.digest !== undefined)
    return { digest: remembered.digest, needsParent: needsParent(step.input), whole: define };
  // What was just looked at is not looked at again.
  const origin = await context.contexts.open(undefined, whereOf(context.graph, step.range), context.signal);
  if (remembered !== undefined) origin?.believe(remembered.stats);
  return known(await define());
}

function known(definition: StepDefinition): KnownDefinition {
  return { digest: definition.digest, needsParent: definition.needsParent, whole: async () => definition };
}

/** Of the main context, if nothing but files of it decide about the step. */
function contextFolder({ input }: Step, { contexts }: DefinitionContext): string | undefined {
  if (input.kind !== "copy" || input.from.kind !== "context" || input.from.name !== undefined) return undefined;
  return input.sources.every(({ kind }) => kind === "path") ? contexts.lastingFolder() : undefined;
}

/** Equal for equal instructions over the same folder with the same ignore rules. */
function memoName(input: CopyInput, folder: string, { contexts }: DefinitionContext): string {
  const { from: _, ...rest } = input;
  const what = canonicalJson({
    ...rest,
    sources: rest.sources.map((source) => JSON.stringify(source)),
    format: KEY_FORMAT,
  });
  return `context-definitions/1/${hexOf(sha256(`${folder}\n${contexts.ignoreText}\n${what}`)).slice(0, 32)}`;
}

async function defineObserved(
  step: Step,
  context: DefinitionContext,
  { name, started }: { readonly name: string; readonly started: bigint },
): Promise<StepDefinition> {
  const seen = new Map<BytePath, OriginStat | undefined>();
  const observe: Observe = (path, stat) => void seen.set(path, stat);
  const definition = await defineStep(step, { ...context, observe });
  const isSettled = [...seen.values()].every((stat) => stat === undefined || isOldEnough(stat, started));
  if (seen.size >= someNames && isSettled) context.store.memo.set(name, encode(definition.digest, seen));
  return definition;
}

// The memo: the definition's digest, that of all stats, and the names with a NUL between them ---------------------------

const digestLength = "sha256:".length + 64;
const headLength = 2 * digestLength;

/** What was looked at, in the order of the names. */
class StatTable {
  readonly #numbers: BigInt64Array;
  #at = 0;

  constructor(count: number) {
    this.#numbers = new BigInt64Array(count * 6);
  }

  /** What is not there leaves zeros: no inode has that number. */
  add(stat: OriginStat | undefined): void {
    const numbers = this.#numbers;
    const at = this.#at;
    this.#at += 6;
    if (stat === undefined) return;
    numbers[at] = stat.ino;
    numbers[at + 1] = stat.mtimeNs;
    numbers[at + 2] = stat.ctimeNs;
    numbers[at + 3] = stat.size;
    numbers[at + 4] = stat.dev;
    numbers[at + 5] = stat.mode;
  }

  digest(): Digest {
    return sha256(new Uint8Array(this.#numbers.buffer));
  }
}

function encode(definition: Digest, seen: ReadonlyMap<BytePath, OriginStat | undefined>): Buffer {
  const table = new StatTable(seen.size);
  for (const stat of seen.values()) table.add(stat);
  return Buffer.from(`${definition}${table.digest()}${[...seen.keys()].join("\0")}`, "latin1");
}

interface Remembered {
  /** Undefined: some name is another thing than it was. */
  readonly digest: Digest | undefined;
  readonly stats: ReadonlyMap<BytePath, BigIntStats>;
}

/** A memo that cannot be read is that of other files. */
async function lookAgain(memo: Buffer, folder: string, signal: AbortSignal): Promise<Remembered> {
  const names = memo.toString("latin1", headLength).split("\0").map(bytePathOfLatin1);
  const table = new StatTable(names.length);
  const stats = new Map<BytePath, BigIntStats>();
  for (const [index, name] of names.entries()) {
    if (index % namesAtOnce === namesAtOnce - 1) {
      await setImmediate();
      signal.throwIfAborted();
    }
    const stat = statOf(fsPathBelow(folder, name));
    table.add(stat);
    if (stat !== undefined) stats.set(name, stat);
  }
  const isSame = memo.toString("latin1", digestLength, headLength) === table.digest();
  return { digest: isSame ? (memo.toString("latin1", 0, digestLength) as string as Digest) : undefined, stats };
}

function statOf(path: string | Buffer): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true, throwIfNoEntry: false });
  } catch {
    // Below a file, or unreadable: the whole definition says what is wrong.
    return undefined;
  }
}
