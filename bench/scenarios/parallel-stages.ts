import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { base } from "../builders.ts";
import { makeContext } from "../inputs.ts";
import type { Scenario } from "../scenario.ts";

/** A third of the time of those that run one stage after the other: 2 s and not 6. */
export const parallelStages: Scenario = {
  name: "parallel-stages",
  title: "three stages that sleep 2 s each",
  runs: 3,
  goals: [{ against: "docker legacy", ratio: 1 / 2 }],
  subjects(machine, builders) {
    const context = makeContext(machine.folder, "parallel-stages", []);
    const stages = ["one", "two", "three"];
    const lines = stages.flatMap((stage) => [`FROM ${base} AS ${stage}`, `RUN sleep 2 && echo ${stage} > /${stage}`]);
    const copies = stages.map((stage) => `COPY --from=${stage} /${stage} /`);
    writeFileSync(join(context, "Dockerfile"), `${[...lines, `FROM ${base}`, ...copies].join("\n")}\n`);
    return builders.map((builder) => ({
      name: builder.name,
      timed: () => builder.build({ context, noCache: true }),
    }));
  },
};
