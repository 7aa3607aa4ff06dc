/** A selection as the lines that are hashed into the key and kept to explain a miss. Times are not in them. */
import type { SelectedEntry, SelectedSource } from "./selection.ts";

/**
 * `path⇥type⇥mode⇥uid:gid⇥…`, one an entry. Behind it: of a file its size and hex digest, and `cap=`; of a link its
 * target; of a device its numbers; `=path` for a further name of a file that stood above. The root's own mode and owner
 * never reach the copy and are left out. Bytes are written as latin1, tabs and newlines escaped.
 */
export function selectionLines(source: SelectedSource): readonly string[] {
  const names = new Map<string, string>();
  const lines: string[] = [];
  for (const parent of source.keptParents) lines.push(`^${line(parent, escaped(parent.path), names)}`);
  const prefix = source.basename === "" ? "" : escaped(source.basename);
  for (const entry of source.entries) {
    const path = entry.path === "" ? prefix : `${prefix === "" ? "" : `${prefix}/`}${escaped(entry.path)}`;
    // The root of a context or of a tree: a folder without a name of its own. A file that a mount shows has none either.
    const nameless = source.basename === "" && entry.path === "" && entry.type === "dir";
    lines.push(nameless ? "\tdir" : line(entry, path, names));
  }
  return lines;
}

function line(entry: SelectedEntry, path: string, names: Map<string, string>): string {
  const start = `${path}\t${entry.type}\t${entry.mode.toString(8)}\t${entry.uid}:${entry.gid}`;
  switch (entry.type) {
    case "file": {
      const first = entry.inode === undefined ? undefined : names.get(entry.inode);
      if (first !== undefined) return `${start}\t=${first}`;
      if (entry.inode !== undefined) names.set(entry.inode, path);
      const digest = entry.digest?.slice("sha256:".length) ?? "";
      const capability = entry.capability === undefined ? "" : `\tcap=${entry.capability}`;
      return `${start}\t${entry.size}\t${digest}${capability}`;
    }
    case "symlink":
      // Its mode is always 777 and means nothing.
      return `${path}\tsymlink\t\t${entry.uid}:${entry.gid}\t${escaped(entry.target ?? "")}`;
    case "char":
    case "block":
      return `${start}\t${entry.major}:${entry.minor}`;
    case "dir":
    case "fifo":
      return start;
  }
}

function escaped(text: string): string {
  return /[\t\n\\]/.test(text)
    ? text.replace(/[\t\n\\]/g, (c) => (c === "\t" ? "\\t" : c === "\n" ? "\\n" : "\\\\"))
    : text;
}
