/** CopyIgnoredFile: a source that the ignore file hides. */
import { cleanPath } from "../../planner/clean-path.ts";
import type { Check } from "../checked-file.ts";
import { wordValue } from "../walk-stages.ts";

/** Patterns that hide all there is. */
const everything: readonly string[] = ["*", "**", "**/*"];

export const ignoredFiles: Check = ({ walked, dockerfile, ignore }, report) => {
  // What an exception brings back cannot be told without looking at the files.
  if (ignore === undefined || ignore.isEmpty || ignore.hasNegations) return;
  for (const { lines } of walked) {
    for (const { instruction, before, rangeOf } of lines) {
      const copies = instruction.kind === "copy" && instruction.from === undefined;
      if (!copies && instruction.kind !== "add") continue;
      for (const source of instruction.sources) {
        const written = wordValue(source, before.variables, dockerfile);
        if (written === undefined || /^(?:[a-z]+:\/\/|git@)/.test(written)) continue;
        const path = cleanPath(written).replace(/^\/+/, "");
        const root = path === "" || path === ".";
        const culprit = ignore.culprit(root ? "any name" : path);
        if (culprit === undefined || (root && !everything.includes(culprit.text))) continue;
        report(
          "CopyIgnoredFile",
          rangeOf(source.range),
          `Attempting to ${copies ? "Copy" : "Add"} file ${JSON.stringify(cleanPath(written))} that is excluded by .dockerignore`,
          `line ${culprit.line} of ${culprit.file} excludes it: ${culprit.text}`,
        );
      }
    }
  }
};
