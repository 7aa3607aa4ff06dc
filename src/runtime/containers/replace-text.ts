/** The small files that say what a container does. */
import { closeSync, openSync, renameSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { isFull } from "../../store/errors.ts";

/**
 * Puts `text` in the place of what `file` holds, by rename. On a full disk, which may be the container's own doing, what
 * it does must still be told: the file keeps its block, so the text is written over the old one. A reader in between
 * sees one or the other; `text` must be of a kind that bears blanks at its end.
 */
export function replaceText(file: string, text: string): void {
  const staged = `${file}.${process.pid}`;
  try {
    writeFileSync(staged, text);
    renameSync(staged, file);
  } catch (error) {
    rmSync(staged, { force: true });
    if (!isFull(error)) throw error;
    overwrite(file, text, error);
  }
}

function overwrite(file: string, text: string, full: unknown): void {
  const size = statSync(file, { throwIfNoEntry: false })?.size;
  if (size === undefined) throw full;
  const bytes = Buffer.from(text);
  const fd = openSync(file, "r+");
  try {
    writeSync(fd, Buffer.concat([bytes, Buffer.alloc(Math.max(0, size - bytes.length), " ")]), 0, undefined, 0);
  } finally {
    closeSync(fd);
  }
}
