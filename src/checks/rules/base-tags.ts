/** LatestTagInFrom: images that mean something else after their next release. */

import { parseReferenceAsWritten } from "../../oci/reference.ts";
import type { Range } from "../../parser/ast.ts";
import { findNamedContext } from "../../planner/named-contexts.ts";
import type { Check } from "../checked-file.ts";
import { suggester } from "../suggestions.ts";
import { unreadBase } from "../unread-stages.ts";
import { originIndexOf } from "../walk-stages.ts";

export const baseTags: Check = ({ stages, options, targetPlatform }, report) => {
  const look = (name: string, range: Range): void => {
    if (
      name === "scratch" ||
      name === unreadBase ||
      findNamedContext(options.namedContexts, name, targetPlatform) !== undefined
    )
      return;
    try {
      const { tag, digest } = parseReferenceAsWritten(name);
      if (digest !== undefined || (tag !== undefined && tag !== "latest")) return;
      const what = tag === undefined ? "has no tag, which means latest" : "is another one after each release";
      report("LatestTagInFrom", range, `Image ${name} ${what}`, "name the version that was tried, or a digest");
    } catch {
      // the planner rejects it
    }
  };
  const nearest = suggester();
  const names = stages.flatMap(({ name }) => name ?? []);
  const above = new Set<string>();
  for (const { name, from, image, body } of stages) {
    if (image !== "" && !above.has(image)) look(image, from.image.range);
    if (name !== undefined) above.add(name);
    for (const line of body) {
      const value = line.kind === "copy" ? line.from?.value : undefined;
      if (
        line.kind === "copy" &&
        line.from &&
        value &&
        originIndexOf(value, stages) === undefined &&
        nearest(value, names) === undefined
      )
        look(value, line.from.range);
    }
  }
};
