/** LatestTagInFrom: images that mean something else after their next release. */

import { nearestWord } from "../../nearest-word.ts";
import { parseReferenceAsWritten } from "../../oci/reference.ts";
import type { Range } from "../../parser/ast.ts";
import { findNamedContext } from "../../planner/named-contexts.ts";
import type { Check } from "../checked-file.ts";
import { originIndexOf } from "../walk-stages.ts";

export const baseTags: Check = ({ stages, options, targetPlatform }, report) => {
  const look = (name: string, range: Range): void => {
    if (name === "scratch" || findNamedContext(options.namedContexts, name, targetPlatform) !== undefined) return;
    try {
      const { tag, digest } = parseReferenceAsWritten(name);
      if (digest !== undefined || (tag !== undefined && tag !== "latest")) return;
      const what = tag === undefined ? "has no tag, which means latest" : "is whatever is the latest";
      report("LatestTagInFrom", range, `Image ${name} ${what}`, "name the version that was tried, or a digest");
    } catch {
      // the planner rejects it
    }
  };
  const names = stages.flatMap(({ name }) => name ?? []);
  for (const [index, { from, image, body }] of stages.entries()) {
    const isStage = stages.slice(0, index).some(({ name }) => name === image);
    if (image !== "" && !isStage) look(image, from.image.range);
    for (const line of body) {
      const value = line.kind === "copy" ? line.from?.value : undefined;
      if (
        line.kind === "copy" &&
        line.from &&
        value &&
        originIndexOf(value, stages) === undefined &&
        nearestWord(value, names) === undefined
      )
        look(value, line.from.range);
    }
  }
};
