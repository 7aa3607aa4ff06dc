import { run } from "../commands.ts";
import { slug, variantOfBase } from "../inputs.ts";
import type { Scenario, Timed } from "../scenario.ts";

/** An image of its own for each: its layer goes with it, so that the next pull is a whole one. */
export const pullBase: Scenario = {
  name: "pull",
  title: "pull of a Debian base from a registry on loopback",
  runs: 3,
  goals: [],
  subjects(machine, builders) {
    const { registry } = machine;
    if (registry === undefined) return [];
    const call = ({ argv, env }: Timed): string => run(argv, env);
    return builders
      .filter(({ name }) => name !== "docker legacy")
      .map((builder) => {
        const name = `${registry}/pull-${slug(builder.name)}:1`;
        let isPushed = false;
        return {
          name: builder.name,
          before: () => {
            if (isPushed) return;
            call(builder.import(variantOfBase(machine, builder.name), name));
            call(builder.push(name));
            call(builder.remove(name));
            isPushed = true;
          },
          timed: () => builder.pull(name),
          after: () => call(builder.remove(name)),
        };
      });
  },
};
