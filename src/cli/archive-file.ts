/** Where an archive goes on the disk: a file that has its name when it is complete, or a folder that may be a layout. */
import { closeSync, existsSync, openSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { noSpaceFor, notALayout } from "../archive/errors.ts";
import { errnoOf, TsbuildError } from "../errors.ts";

/** A pipe or a device. */
export function isSpecial(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === false;
}

/** The file gets its name when it is complete. */
export async function intoFile(path: string, write: (file: string, fd: number) => Promise<void>): Promise<void> {
  if (!existsSync(dirname(path)))
    throw new TsbuildError({
      code: "INVALID_ARGUMENT",
      what: `invalid output path: directory ${JSON.stringify(dirname(path))} does not exist`,
    });
  const staged = join(dirname(path), `.tsbuild-save-${process.pid}.tmp`);
  // Behind what is there: layers are written by others, through the file's name.
  const fd = openSync(staged, "ax", 0o600);
  try {
    await write(staged, fd);
    renameSync(staged, path);
  } catch (error) {
    rmSync(staged, { force: true });
    throw isAboutSpace(error, staged) ? noSpaceFor(path, error) : error;
  } finally {
    closeSync(fd);
  }
}

/** A layer's writer says so of the file it was given. */
function isAboutSpace(error: unknown, staged: string): boolean {
  if (!(error instanceof TsbuildError)) return errnoOf(error) === "ENOSPC" || errnoOf(error) === "EDQUOT";
  return error.code === "NO_SPACE" && error.where?.kind === "path" && error.where.path === staged;
}

/** New, empty, or a layout that is replaced entry by entry. */
export function checkLayoutFolder(path: string): void {
  let names: string[];
  try {
    names = readdirSync(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    throw error;
  }
  if (names.length > 0 && !names.includes("oci-layout")) throw notALayout(path);
}
