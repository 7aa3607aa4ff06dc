import { base } from "../builders.ts";
import type { Scenario } from "../scenario.ts";

export const runTrue: Scenario = {
  name: "run-true",
  title: "run --rm --network none true",
  goals: [{ against: "docker BuildKit", ratio: 1 / 5 }],
  subjects(_machine, builders) {
    return builders.flatMap((builder) => {
      const { runTrue: run } = builder;
      return run === undefined ? [] : [{ name: builder.name, timed: () => run(base) }];
    });
  },
};
