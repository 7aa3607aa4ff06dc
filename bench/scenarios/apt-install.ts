import { makeContext } from "../inputs.ts";
import type { Scenario } from "../scenario.ts";

/** Mostly the mirror, dpkg and the disk: shows what isolation and the overlay cost on top. */
export const aptInstall: Scenario = {
  name: "apt-install",
  title: "apt-get install gcc",
  runs: 1,
  goals: [{ against: "docker BuildKit", ratio: 1.1 }],
  subjects(machine, builders) {
    const context = makeContext(machine.folder, "apt-install", [
      "RUN apt-get -q update && apt-get -q install -y --no-install-recommends gcc",
    ]);
    return builders.map((builder) => ({
      name: builder.name,
      timed: () => builder.build({ context, noCache: true }),
    }));
  },
};
