/** Folders made in a container's upperdir while nothing has it mounted: what overlayfs would do for `mkdir -p`. */
import { chmodSync, chownSync, lstatSync, mkdirSync } from "node:fs";
import { bytePath, bytePathOfLatin1, fsPathBelow } from "../../kernel/byte-path.ts";
import { setMtime } from "../../kernel/files.ts";
import type { LayeredView } from "../../store/layered-view.ts";

/**
 * Makes `path` and its missing parents, 0755 and root's. Parents that only the layers have are copied up: in an overlay
 * the upper folder's mode, owner and time count. Symlinks of the image are followed inside its root.
 */
export function makeFolderInUpper(view: LayeredView, upperdir: string, path: string): void {
  const resolved = view.resolve(bytePath(path));
  if (resolved === "" || view.lookup(resolved) !== undefined) return;
  const components = resolved.split("/");
  for (let count = 1; count <= components.length; count += 1) {
    const here = bytePathOfLatin1(components.slice(0, count).join("/"));
    const host = fsPathBelow(upperdir, here);
    if (lstatSync(host, { throwIfNoEntry: false })?.isDirectory()) continue;
    const below = view.lookup(here);
    if (below !== undefined && below.type !== "dir") return;
    mkdirSync(host, { mode: 0o755 });
    if (below === undefined) continue;
    chownSync(host, Number(below.stat.uid), Number(below.stat.gid));
    chmodSync(host, Number(below.stat.mode) & 0o7777);
    setMtime(host, below.stat.mtimeNs);
  }
}
