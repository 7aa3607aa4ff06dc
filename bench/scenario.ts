/** One thing that is measured: the same input for every peer, whole commands, start-up included. */
import type { Builder } from "./builders.ts";
import type { Machine } from "./machine.ts";

/** One timed command. */
export interface Timed {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface Subject {
  readonly name: string;
  /** Not timed: makes the input of one run. */
  before?(run: number): void;
  timed(run: number): Timed;
  /** Not timed. */
  after?(run: number): void;
}

export interface Goal {
  /** Name of the subject that tsbuild is held against. */
  readonly against: string;
  /** tsbuild's time divided by its time is at most this. */
  readonly ratio: number;
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** Upper bound of runs, for what takes long. */
  readonly runs?: number;
  readonly goals: readonly Goal[];
  /** Makes inputs; returns what is to be measured, in turns. */
  subjects(machine: Machine, builders: readonly Builder[]): readonly Subject[];
}
