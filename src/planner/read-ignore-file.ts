/** The text of an ignore file. */
import { readFileSync, statSync } from "node:fs";
import { errnoOf, TsbuildError } from "../errors.ts";

/**
 * Undefined where there is none. `shown`: for messages.
 * @throws {TsbuildError} `PERMISSION_DENIED`; `INVALID_ARGUMENT` for a folder, and for a pipe, which nobody waits for
 */
export function readIgnoreFile(path: string, shown: string): string | undefined {
  const unreadable = (why: string, cause?: unknown): TsbuildError =>
    new TsbuildError({
      code: why === "EACCES" ? "PERMISSION_DENIED" : "INVALID_ARGUMENT",
      what: `cannot read ${shown}: ${why}`,
      cause,
    });
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    if (stat.isFIFO()) throw unreadable("it is a pipe");
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof TsbuildError) throw error;
    const errno = errnoOf(error) ?? "failed";
    if (errno === "ENOENT") return undefined;
    throw unreadable(errno, error);
  }
}
