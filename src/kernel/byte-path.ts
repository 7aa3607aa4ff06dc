/**
 * Names inside an image are bytes, not text. A BytePath is a string with one character (0–255) a byte ("latin1"), so it
 * compares, sorts and keys maps by bytes, and an ASCII name is simply itself. Decode only to print.
 */
import type { Brand } from "../oci/digest.ts";

export type BytePath = Brand<"BytePath">;

const ascii = /^[\x00-\x7f]*$/;

/** From text as people write it (UTF-8). */
export function bytePath(text: string): BytePath {
  return (ascii.test(text) ? text : Buffer.from(text, "utf8").toString("latin1")) as BytePath;
}

/** From what `readdirSync(…, "latin1")` or a tar header gives. */
export function bytePathOfLatin1(latin1: string): BytePath {
  return latin1 as BytePath;
}

/** For a person: invalid UTF-8 becomes U+FFFD. */
export function textOfBytePath(path: BytePath): string {
  return ascii.test(path) ? path : Buffer.from(path, "latin1").toString("utf8");
}

/** For Node's `fs` functions, which would encode a plain string as UTF-8. */
export function fsPath(path: BytePath): string | Buffer {
  return ascii.test(path) ? path : Buffer.from(path, "latin1");
}

/** `folder` is one of ours (text), `inside` a path below it. */
export function fsPathBelow(folder: string, inside: BytePath): string | Buffer {
  if (ascii.test(inside)) return inside === "" ? folder : `${folder}/${inside}`;
  return Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(inside, "latin1")]);
}

export function joinBytePath(parent: BytePath, name: BytePath): BytePath {
  return (parent === "" ? name : `${parent}/${name}`) as BytePath;
}
