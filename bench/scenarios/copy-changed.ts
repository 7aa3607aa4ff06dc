import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeContext, slug, writeManyFiles } from "../inputs.ts";
import type { Scenario } from "../scenario.ts";

export const copyChanged: Scenario = {
  name: "copy-changed",
  title: "COPY of 10,000 files, one of them changed",
  goals: [{ against: "docker BuildKit", ratio: 1 / 4 }],
  subjects(machine, builders) {
    return builders.map((builder) => {
      const context = makeContext(machine.folder, `copy-changed-${slug(builder.name)}`, ["COPY files /files"]);
      writeManyFiles(context, "changed");
      return {
        name: builder.name,
        before: (run) => writeFileSync(join(context, "files/d50/f50"), `run ${run}\n`),
        timed: () => builder.build({ context }),
      };
    });
  },
};
