import { rmSync } from "node:fs";
import { join } from "node:path";
import { makeContext, slug, writeManyFiles } from "../inputs.ts";
import type { Scenario } from "../scenario.ts";

/** Every run has a new context with new contents: nothing of it was ever sent, hashed or stored. */
export const copyCold: Scenario = {
  name: "copy-cold",
  title: "COPY of 10,000 files, cold",
  runs: 5,
  goals: [{ against: "docker BuildKit", ratio: 1 / 4 }],
  subjects(machine, builders) {
    return builders.map((builder) => {
      const name = (run: number): string => `copy-cold-${slug(builder.name)}-${run}`;
      const folder = (run: number): string => join(machine.folder, name(run));
      return {
        name: builder.name,
        before: (run) => writeManyFiles(makeContext(machine.folder, name(run), ["COPY files /files"]), name(run)),
        timed: (run) => builder.build({ context: folder(run) }),
        after: (run) => rmSync(folder(run), { recursive: true }),
      };
    });
  },
};
