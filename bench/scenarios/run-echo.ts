import { makeContext } from "../inputs.ts";
import type { Scenario } from "../scenario.ts";

export const tenEchoes: readonly string[] = Array.from({ length: 10 }, (_, index) => `RUN echo ${index}`);

export const runEcho: Scenario = {
  name: "run-echo",
  title: "10 × RUN echo, without cache",
  goals: [{ against: "docker BuildKit", ratio: 1 / 12 }],
  subjects(machine, builders) {
    const context = makeContext(machine.folder, "run-echo", tenEchoes);
    return builders.map((builder) => ({
      name: builder.name,
      timed: () => builder.build({ context, noCache: true, network: "default" }),
    }));
  },
};
