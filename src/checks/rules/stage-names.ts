/** DuplicateStageName and ReservedStageName. */
import type { Check } from "../checked-file.ts";

const reserved: readonly string[] = ["context", "scratch"];

export const stageNames: Check = ({ stages }, report) => {
  const seen = new Set<string>();
  for (const { name, from } of stages) {
    if (name === undefined) continue;
    const range = from.stageNameRange ?? from.range;
    if (reserved.includes(name)) {
      const message = `Stage name should not use the same name as reserved stage ${JSON.stringify(name)}`;
      report("ReservedStageName", range, message);
    }
    if (seen.has(name))
      report("DuplicateStageName", range, `Duplicate stage name ${JSON.stringify(name)}, stage names should be unique`);
    seen.add(name);
  }
};
