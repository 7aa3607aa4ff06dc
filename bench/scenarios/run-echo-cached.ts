import { makeContext } from "../inputs.ts";
import type { Scenario } from "../scenario.ts";
import { tenEchoes } from "./run-echo.ts";

export const runEchoCached: Scenario = {
  name: "run-echo-cached",
  title: "10 × RUN echo, all cached",
  goals: [
    { against: "docker BuildKit", ratio: 1 },
    { against: "docker legacy", ratio: 1 },
  ],
  subjects(machine, builders) {
    const context = makeContext(machine.folder, "run-echo-cached", tenEchoes);
    return builders.map((builder) => ({
      name: builder.name,
      timed: () => builder.build({ context, network: "default" }),
    }));
  },
};
