import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeContext } from "../inputs.ts";
import type { Scenario } from "../scenario.ts";

export const ignoreMany: Scenario = {
  name: "ignore-many",
  title: "COPY of what .dockerignore leaves of 100,000 files, cached",
  runs: 5,
  goals: [{ against: "docker BuildKit", ratio: 1 }],
  subjects(machine, builders) {
    const context = makeContext(machine.folder, "ignore-many", ["COPY . /files/"]);
    writeFileSync(join(context, ".dockerignore"), "**/*.o\n**/.cache\nd1?\n!d1?/f7*.c\n*.md\n");
    for (let outer = 0; outer < 100; outer += 1) {
      mkdirSync(join(context, `d${outer}`));
      for (let file = 0; file < 1000; file += 1)
        writeFileSync(join(context, `d${outer}`, `f${file}.${file % 10 === 0 ? "c" : "o"}`), "");
    }
    return builders.map((builder) => ({ name: builder.name, timed: () => builder.build({ context }) }));
  },
};
