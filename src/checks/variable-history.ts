/**
 * The variables of a stage at every line of it. Each name keeps its values with the moment they came, so that a moment
 * costs nothing: a copy at each line would make long files slow.
 */
import type { Variables } from "../planner/expand-word.ts";

export interface Moment {
  readonly variables: Variables;
  /** Names that ARG declared, with a value or without. */
  readonly declared: DeclaredNames;
}

export interface DeclaredNames extends Iterable<string> {
  has(name: string): boolean;
}

interface Change {
  readonly at: number;
  readonly value: string;
}

export class VariableHistory {
  readonly #changes = new Map<string, Change[]>();
  readonly #declared = new Map<string, number>();
  #now = 0;

  set(name: string, value: string): void {
    this.#now++;
    const changes = this.#changes.get(name);
    if (changes === undefined) this.#changes.set(name, [{ at: this.#now, value }]);
    else changes.push({ at: this.#now, value });
  }

  declare(name: string): void {
    this.#now++;
    if (!this.#declared.has(name)) this.#declared.set(name, this.#now);
  }

  /** What is so far: later changes are not seen in it. */
  moment(): Moment {
    const at = this.#now;
    const declared = this.#declared;
    return {
      variables: new VariablesAt(this.#changes, at),
      declared: {
        has: (name) => (declared.get(name) ?? Number.POSITIVE_INFINITY) <= at,
        *[Symbol.iterator]() {
          for (const [name, since] of declared) if (since <= at) yield name;
        },
      },
    };
  }
}

class VariablesAt implements Variables {
  readonly #changes: ReadonlyMap<string, readonly Change[]>;
  readonly #at: number;

  constructor(changes: ReadonlyMap<string, readonly Change[]>, at: number) {
    this.#changes = changes;
    this.#at = at;
  }

  get(name: string): string | undefined {
    return this.#changes.get(name)?.findLast(({ at }) => at <= this.#at)?.value;
  }

  has(name: string): boolean {
    return (this.#changes.get(name)?.[0]?.at ?? Number.POSITIVE_INFINITY) <= this.#at;
  }

  get size(): number {
    return [...this.keys()].length;
  }

  forEach(callback: (value: string, name: string, map: Variables) => void): void {
    for (const [name, value] of this) callback(value, name, this);
  }

  *keys(): MapIterator<string> {
    for (const name of this.#changes.keys()) if (this.has(name)) yield name;
  }

  *values(): MapIterator<string> {
    for (const [, value] of this) yield value;
  }

  *entries(): MapIterator<[string, string]> {
    for (const name of this.keys()) yield [name, this.get(name) ?? ""];
  }

  [Symbol.iterator](): MapIterator<[string, string]> {
    return this.entries();
  }
}
