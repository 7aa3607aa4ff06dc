import { makeContext, writeManyFiles } from "../inputs.ts";
import type { Scenario } from "../scenario.ts";

export const copyCached: Scenario = {
  name: "copy-cached",
  title: "COPY of 10,000 files, cached",
  goals: [{ against: "docker BuildKit", ratio: 1 / 3 }],
  subjects(machine, builders) {
    const context = makeContext(machine.folder, "copy-cached", ["COPY files /files"]);
    writeManyFiles(context, "cached");
    return builders.map((builder) => ({ name: builder.name, timed: () => builder.build({ context }) }));
  },
};
