import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { variantOfBase } from "../inputs.ts";
import type { Scenario } from "../scenario.ts";

export const importBase: Scenario = {
  name: "import",
  title: "import of a Debian base",
  goals: [{ against: "GNU tar -x", ratio: 1.3 }],
  subjects(machine, builders) {
    const unpacked = join(machine.folder, "unpacked");
    let tar = machine.baseTar;
    return [
      ...builders
        .filter(({ name }) => name !== "docker legacy" && name !== "buildah")
        .map((builder) => ({
          name: builder.name,
          before: (run: number) => {
            tar = variantOfBase(machine, `${builder.name} ${run}`);
          },
          timed: (run: number) => builder.import(tar, `bench-import:${run}`),
        })),
      {
        name: "GNU tar -x",
        before: () => {
          rmSync(unpacked, { recursive: true, force: true });
          mkdirSync(unpacked);
        },
        timed: () => ({ argv: ["tar", "-x", "-f", tar, "-C", unpacked] }),
      },
    ];
  },
};
