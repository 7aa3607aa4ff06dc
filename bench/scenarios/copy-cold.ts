import { join } from "node:path";
import { run } from "../commands.ts";
import { makeContext, slug, writeManyFiles } from "../inputs.ts";
import type { Scenario } from "../scenario.ts";

/**
 * Every run has a new context with new contents: nothing of it was ever sent, hashed or stored. Contexts stay until the
 * end and reach the disk before the clock starts: ext4 makes files slowly for half a minute after many were removed, and
 * a builder that syncs what it made would pay for writing the context too.
 */
export const copyCold: Scenario = {
  name: "copy-cold",
  title: "COPY of 10,000 files, cold",
  runs: 5,
  goals: [{ against: "docker BuildKit", ratio: 1 / 4 }],
  subjects(machine, builders) {
    return builders.map((builder) => {
      const name = (run: number): string => `copy-cold-${slug(builder.name)}-${run}`;
      return {
        name: builder.name,
        before: (number) => {
          writeManyFiles(makeContext(machine.folder, name(number), ["COPY files /files"]), name(number));
          run(["sync"]);
        },
        timed: (number) => builder.build({ context: join(machine.folder, name(number)) }),
      };
    });
  },
};
