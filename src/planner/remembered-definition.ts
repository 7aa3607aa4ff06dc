/**
 * A COPY of many files whose files nobody has touched since it was defined the last time. To see that takes one lstat for
 * each name that was looked at, a tenth of what it takes to walk, select and hash them again: so the digest of the
 * definition is remembered with what every name was, and that of the whole list where nothing differs.
 *
 * A folder's times say whether names came or went, a file's inode, size and times whether it is the same: what the digests
 * of single files trust in, too. See file-digests.ts.
 */
import { type BigIntStats, lstatSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { bytePathOfLatin1, fsPathBelow } from "../kernel/byte-path.ts";
import { canonicalJson } from "../oci/canonical-json.ts";
import { type Digest, hexOf, sha256 } from "../oci/digest.ts";
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
  const memo = context.store.memo.get(name);
  const digest = memo === undefined ? undefined : await unchangedDefinition(memo, folder, context.signal);
  let whole: Promise<StepDefinition> | undefined;
  const define = (): Promise<StepDefinition> => {
    whole ??= defineObserved(step, context, name);
    return whole;
  };
  if (digest === undefined) return known(await define());
  return { digest, needsParent: needsParent(step.input), whole: define };
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

async function defineObserved(step: Step, context: DefinitionContext, name: string): Promise<StepDefinition> {
  // Before the first look: what changes later has a later ctime.
  const started = BigInt(Date.now()) * 1_000_000n;
  const seen = new Map<string, OriginStat | undefined>();
  const observe: Observe = (path, stat) => void seen.set(path, stat);
  const definition = await defineStep(step, { ...context, observe });
  const isSettled = [...seen.values()].every((stat) => stat === undefined || isOldEnough(stat, started));
  if (seen.size >= someNames && isSettled) context.store.memo.set(name, encode(definition.digest, seen));
  return definition;
}

// The memo: digest, count, numbers of each name, the names with a NUL behind each --------------------------------------

const digestBytes = 72;
const headBytes = digestBytes + 8;
const numbersPerName = 6;
/** No inode has this number. */
const absent = 0n;

/** Exact to the last bit, and comparable one by one without an object. */
function numbersOf(stat: OriginStat | BigIntStats | undefined, into: BigInt64Array, at: number): void {
  if (stat === undefined) {
    into[at] = absent;
    return;
  }
  into[at] = stat.ino;
  into[at + 1] = stat.mtimeNs;
  into[at + 2] = stat.ctimeNs;
  into[at + 3] = stat.size;
  into[at + 4] = stat.dev;
  into[at + 5] = stat.mode;
}

function encode(digest: Digest, seen: ReadonlyMap<string, OriginStat | undefined>): Buffer {
  const numbers = new BigInt64Array(seen.size * numbersPerName);
  let at = 0;
  for (const stat of seen.values()) {
    numbersOf(stat, numbers, at);
    at += numbersPerName;
  }
  const head = Buffer.alloc(headBytes);
  head.write(digest, 0, "latin1");
  head.writeUInt32LE(seen.size, digestBytes);
  return Buffer.concat([head, new Uint8Array(numbers.buffer), Buffer.from([...seen.keys(), ""].join("\0"), "latin1")]);
}

/** The remembered digest, if no name is another thing than it was. A memo that cannot be read is none. */
async function unchangedDefinition(memo: Buffer, folder: string, signal: AbortSignal): Promise<Digest | undefined> {
  if (memo.length < headBytes) return undefined;
  const count = memo.readUInt32LE(digestBytes);
  const end = headBytes + count * numbersPerName * 8;
  if (memo.length < end) return undefined;
  // A copy: aligned to eight bytes.
  const expected = new BigInt64Array(Uint8Array.from(memo.subarray(headBytes, end)).buffer);
  const names = memo.toString("latin1", end).split("\0");
  if (names.length !== count + 1) return undefined;
  const found = new BigInt64Array(numbersPerName);
  for (let index = 0; index < count; index += 1) {
    if (index % namesAtOnce === namesAtOnce - 1) {
      await setImmediate();
      signal.throwIfAborted();
    }
    numbersOf(statOf(fsPathBelow(folder, bytePathOfLatin1(names[index] ?? ""))), found, 0);
    const at = index * numbersPerName;
    if (found[0] === absent && expected[at] === absent) continue;
    for (let number = 0; number < numbersPerName; number += 1)
      if (found[number] !== expected[at + number]) return undefined;
  }
  return memo.toString("latin1", 0, digestBytes).replace(/\0+$/, "") as string as Digest;
}

function statOf(path: string | Buffer): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true, throwIfNoEntry: false });
  } catch {
    // Below a file, or unreadable: the whole definition says what is wrong.
    return undefined;
  }
}
