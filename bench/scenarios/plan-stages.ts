import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tsbuildProgram } from "../builders.ts";
import type { Scenario } from "../scenario.ts";

export const planStages: Scenario = {
  name: "plan-stages",
  title: "plan of 1,000 stages, each on the one before",
  goals: [],
  subjects(machine) {
    const folder = join(machine.folder, "plan-stages");
    mkdirSync(folder);
    const stages = Array.from({ length: 1000 }, (_, at) => [
      `FROM ${at === 0 ? "scratch" : `stage${at - 1}`} AS stage${at}`,
      `ENV NAME${at}=$TARGETARCH`,
      `COPY Dockerfile /${at}/`,
    ]);
    writeFileSync(join(folder, "Dockerfile"), `${stages.flat().join("\n")}\n`);
    const env = { TSBUILD_ROOT: join(machine.folder, "tsbuild") };
    return [
      { name: "tsbuild", timed: () => ({ argv: [process.execPath, tsbuildProgram, "plan", "--json", folder], env }) },
    ];
  },
};
