/** Names in archives, which are hostile until proven otherwise. */
import { type BytePath, bytePathOfLatin1, textOfBytePath } from "../kernel/byte-path.ts";
import { archiveInvalid } from "./errors.ts";

/** PATH_MAX and NAME_MAX of Linux. */
export const maxPathBytes = 4096;
const maxNameBytes = 255;

/** Without `.`, empty components and a leading slash. @throws {TsbuildError} `ARCHIVE_INVALID` */
export function cleanName(name: BytePath): BytePath {
  if (name.length > maxPathBytes)
    throw archiveInvalid(`a name of ${name.length} bytes is too long: ${printable(name).slice(0, 60)}…`);
  if (name.includes("\0")) throw archiveInvalid("a name holds a NUL");
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") throw archiveInvalid(`the archive holds a name with ..: ${printable(name)}`);
    if (part.length > maxNameBytes)
      throw archiveInvalid(`a component of a name is too long: ${printable(name).slice(0, 60)}…`);
    parts.push(part);
  }
  return bytePathOfLatin1(parts.join("/"));
}

/** For messages: no byte of it can move a cursor. */
export function printable(path: BytePath): string {
  return textOfBytePath(path).replace(/[\x00-\x1f\x7f]/g, "?");
}
