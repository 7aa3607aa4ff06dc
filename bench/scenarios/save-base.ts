import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { base } from "../builders.ts";
import { run } from "../commands.ts";
import { slug } from "../inputs.ts";
import type { Scenario } from "../scenario.ts";

export const saveBase: Scenario = {
  name: "save",
  title: "save of a Debian base",
  runs: 5,
  goals: [{ against: "GNU tar -c", ratio: 1.3 }],
  subjects(machine, builders) {
    const tree = join(machine.folder, "save-tree");
    mkdirSync(tree);
    run(["tar", "-x", "-f", machine.baseTar, "-C", tree]);
    const file = (name: string): string => join(machine.folder, `saved-${slug(name)}.tar`);
    return [
      ...builders
        .filter(({ name }) => name !== "docker legacy" && name !== "buildah")
        .map((builder) => ({
          name: builder.name,
          before: () => rmSync(file(builder.name), { force: true }),
          timed: () => builder.save(base, file(builder.name)),
        })),
      {
        name: "GNU tar -c",
        timed: () => ({ argv: ["tar", "-c", "-f", file("tar"), "-C", tree, "."] }),
      },
    ];
  },
};
