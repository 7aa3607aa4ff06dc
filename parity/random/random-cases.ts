/**
 * Cases that nobody thought of: Dockerfiles, contexts and ignore files made of the language's pieces by chance, the same for
 * the same seed. Both builders must make the same image of one, or both refuse it. What the reference is known to be too
 * old for is not generated. Each kind looks at one corner of the language with its own pieces.
 */
import fc from "fast-check";
import type { Entry, ParityCase, Tree } from "../../fixtures/parity/case.ts";
import { archives } from "./archives.ts";
import { changes } from "./changes.ts";
import { damagedFiles } from "./damaged.ts";
import type { Draft } from "./draft.ts";
import { inherited } from "./inherited.ts";
import { mixed } from "./mixed.ts";
import { paths } from "./paths.ts";
import { stages } from "./stages.ts";
import { words } from "./words.ts";

export const kinds: { readonly [name: string]: fc.Arbitrary<Draft> } = {
  mixed,
  archives,
  changes,
  damaged: damagedFiles,
  inherited,
  paths,
  stages,
  words,
};

export interface RandomSettings {
  readonly kind: string;
  readonly count: number;
  readonly seed: number;
}

/** @throws for a kind that is not in the table */
export function randomCases({ kind, count, seed }: RandomSettings): readonly ParityCase[] {
  const draft = kinds[kind];
  if (draft === undefined) throw new Error(`no kind ${kind}; there are ${Object.keys(kinds).join(", ")}`);
  return fc.sample(draft, { numRuns: count, seed }).map((each, index) => ({
    ...each,
    name: `${kind}-${seed}-${index}`,
    context: marked(each.context ?? {}, `${kind} ${index}`),
    ...(each.before !== undefined && {
      before: each.before.map((build) => ({
        ...build,
        ...(build.context !== undefined && { context: marked(build.context, `${kind} ${index}`) }),
      })),
    }),
    outcome: { kind: "agrees" },
  }));
}

/** Files of two cases never have the same bytes: a layer of one is none of the other's. */
function marked(tree: Tree, mark: string): Tree {
  return Object.fromEntries(
    Object.entries(tree).map(([path, entry]): [string, string | Entry] => [
      path,
      typeof entry === "string" || entry.text !== undefined
        ? { ...(typeof entry === "string" ? {} : entry), text: `${path} ${mark}` }
        : entry,
    ]),
  );
}
