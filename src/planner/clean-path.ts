/** Lexical cleaning of paths, as Go's `path.Clean` does it. */
import { posix } from "node:path";

/** Without trailing slash, `.` for the empty path. */
export function cleanPath(path: string): string {
  const clean = posix.normalize(path);
  return clean.length > 1 && clean.endsWith("/") ? clean.slice(0, -1) : clean;
}

/** Absolute and clean; `..` stops at the root, a relative path starts at `base`. */
export function absolutePath(path: string, base: string = "/"): string {
  return cleanPath(path.startsWith("/") ? `/${path}` : `/${base}/${path}`);
}
