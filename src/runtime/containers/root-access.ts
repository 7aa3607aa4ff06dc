/** A container's root as an open folder, below which every path is resolved by the kernel and none leads out. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { O_PATH, openInRoot } from "../../kernel/resolve-in-root.ts";

export interface OpenRoot extends Disposable {
  readonly fd: number;
}

/** `path` is ours, or `/proc/<pid>/root`: opened once, so that the container cannot change what it means. */
export function openRoot(path: string): OpenRoot {
  const fd = openSync(path, O_PATH | constants.O_DIRECTORY);
  return {
    fd,
    [Symbol.dispose]() {
      closeSync(fd);
    },
  };
}

/** Content of a regular file; undefined when it is absent, anything else, or larger. Never waits for a FIFO. */
export function readFileInRoot(root: number, path: string, maxBytes: number): Buffer | undefined {
  const fd = openInRoot(root, path, constants.O_RDONLY | constants.O_NONBLOCK);
  if (fd < 0) return undefined;
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile() || stat.size > maxBytes) return undefined;
    const buffer = Buffer.alloc(stat.size);
    let length = 0;
    while (length < buffer.length) {
      const count = readSync(fd, buffer, length, buffer.length - length, null);
      if (count === 0) break;
      length += count;
    }
    return buffer.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}
