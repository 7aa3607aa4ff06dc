/** A person's own file in another wording: whole or not at all, with the mode and owner it had. */
import { readFileSync, realpathSync, statSync } from "node:fs";
import { TsbuildError } from "../errors.ts";
import { replaceFile } from "./replace-file.ts";

/** @throws {TsbuildError} `USAGE` where there is no file, or one that is not what was read */
export function rewriteFile(file: string | undefined, before: string, after: string): void {
  if (file === undefined)
    throw new TsbuildError({
      code: "USAGE",
      what: "--fix needs a Dockerfile in a folder here: it is written in place",
    });
  // The file behind a link, so that the link stays one.
  const path = realpathSync(file);
  if (!readFileSync(path).equals(Buffer.from(before)))
    throw new TsbuildError({
      code: "INVALID_ARGUMENT",
      what: `${file} has changed since it was read, or is not UTF-8: it was not written`,
      where: { kind: "path", path: file },
    });
  replaceFile(path, after, statSync(path));
}
