import { base } from "../builders.ts";
import { run } from "../commands.ts";
import { slug } from "../inputs.ts";
import type { Scenario } from "../scenario.ts";

/** Each push goes to a repository that has nothing yet. */
export const pushBase: Scenario = {
  name: "push",
  title: "push of a Debian base to a registry on loopback",
  runs: 3,
  goals: [],
  subjects({ registry }, builders) {
    if (registry === undefined) return [];
    return builders
      .filter(({ name }) => name !== "docker legacy")
      .map((builder) => {
        const name = (round: number): string => `${registry}/push-${slug(builder.name)}-${round}:1`;
        return {
          name: builder.name,
          before: (round) => {
            const { argv, env } = builder.tag(base, name(round));
            run(argv, env);
          },
          timed: (round) => builder.push(name(round)),
        };
      });
  },
};
