/** Why a source is not there: hidden, mistyped, or somewhere else. */
import { lstatSync } from "node:fs";
import { dirname, posix, resolve } from "node:path";
import { TsbuildError, type Where } from "../errors.ts";
import { bytePath, textOfBytePath } from "../kernel/byte-path.ts";
import { nearestWord } from "../nearest-word.ts";
import type { ContextOrigin } from "./context-origin.ts";
import type { Origin } from "./origin.ts";

const countLimit = 10_000;

/** `path` is absolute within the origin, as the step has it. */
export function missingInContext(
  origin: ContextOrigin,
  path: string,
  where: Where,
  name: string | undefined,
): TsbuildError {
  const shown = path.replace("/./", "/");
  const files = origin.count(countLimit);
  const place = name === undefined ? "the context" : `the build context ${name}`;
  const count = files >= countLimit ? `more than ${countLimit} files` : files === 1 ? "1 file" : `${files} files`;
  return new TsbuildError({
    code: "SOURCE_NOT_FOUND",
    what: `${JSON.stringify(shown)} not found in ${place} (${count})`,
    where,
    hint: contextHint(origin, shown),
  });
}

function contextHint(origin: ContextOrigin, path: string): string | undefined {
  const inside = path.replace(/^\/+/, "");
  if (origin.lookup(bytePath(inside))?.type === "socket") return `${JSON.stringify(inside)} is a socket: leave it out`;
  if (exists(resolve(origin.folder, inside))) {
    const culprit = origin.rules.culprit(inside);
    if (culprit !== undefined)
      return `${JSON.stringify(inside)} is excluded by line ${culprit.line} of ${culprit.file}: ${culprit.text}`;
  }
  if (origin.folder !== "/" && exists(resolve(dirname(origin.folder), inside)))
    return `it exists outside the context, at ../${inside}: build with the folder above as context`;
  return similar(origin, inside);
}

export function missingInTree(origin: Origin, path: string, from: string, where: Where): TsbuildError {
  const shown = path.replace("/./", "/");
  return new TsbuildError({
    code: "SOURCE_NOT_FOUND",
    what: `${JSON.stringify(shown)} not found in ${from}`,
    where,
    hint: similar(origin, shown.replace(/^\/+/, "")),
  });
}

function exists(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return false; // below a file, or not ours to look at
  }
}

/** The nearest name in the deepest folder of the path that is there. */
function similar(origin: Origin, path: string): string | undefined {
  const parts = path.split("/");
  for (let known = parts.length - 1; known >= 0; known--) {
    const folder = origin.lookup(bytePath(parts.slice(0, known).join("/")));
    if (folder === undefined || folder.type !== "dir") continue;
    const names = origin.readdir(folder).map((node) => posix.basename(textOfBytePath(node.path)));
    const name = nearestWord(parts[known] ?? "", names);
    if (name === undefined) return undefined;
    return `did you mean ${JSON.stringify([...parts.slice(0, known), name, ...parts.slice(known + 1)].join("/"))}?`;
  }
  return undefined;
}
