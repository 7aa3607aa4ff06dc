/** What of /proc and /sys a container may not see or not write. After all mounts: they lie over what these made. */
import { label, type Op, syscall, text } from "../../launcher-program.ts";
import * as linux from "../../linux-constants.ts";
import type { SyscallArch } from "../../syscall-table.ts";
import { mountAttr, openHow } from "./mount-structs.ts";
import { setOption } from "./mounts.ts";
import { moveMount } from "./move-mount.ts";
import { registers } from "./registers.ts";

/** A clone of the path's own mount, read-only, over itself. */
export function readonlyPathOps(path: string, index: number): Op[] {
  const doing = `making ${path} read-only`;
  const done = `readonly${index}`;
  return [
    syscall(
      "openat2",
      [registers.root, text(path), openHow(linux.O_PATH | linux.O_CLOEXEC, linux.RESOLVE_IN_ROOT), 24],
      {
        into: registers.target,
        tolerate: ["ENOENT", "ENOTDIR", "EACCES"],
        jump: { when: "negative", to: done },
        doing,
      },
    ),
    syscall(
      "open_tree",
      [
        registers.target,
        text(""),
        linux.OPEN_TREE_CLONE | linux.OPEN_TREE_CLOEXEC | linux.AT_EMPTY_PATH | linux.AT_RECURSIVE,
      ],
      { into: registers.mount, doing },
    ),
    syscall(
      "mount_setattr",
      [registers.mount, text(""), linux.AT_EMPTY_PATH | linux.AT_RECURSIVE, mountAttr(linux.MOUNT_ATTR_RDONLY, 0), 32],
      { doing },
    ),
    ...moveMount(doing),
    label(done),
  ];
}

/**
 * One empty read-only tmpfs for all masked directories: one super block, a clone each. It is attached at `maskDir` on
 * the host's side, which goes with the old root: before Linux 6.15 only what is attached can be cloned.
 */
export function emptyFolderOps(maskDir: string): Op[] {
  const doing = "making the mask for directories";
  return [
    syscall("fsopen", [text("tmpfs"), linux.FSOPEN_CLOEXEC], { into: registers.scratch, doing }),
    setOption("mode=755", doing),
    setOption("size=4k", doing),
    syscall("fsconfig", [registers.scratch, linux.FSCONFIG_CMD_CREATE, 0, 0, 0], { doing }),
    syscall("fsmount", [registers.scratch, linux.FSMOUNT_CLOEXEC, linux.MOUNT_ATTR_RDONLY], {
      into: registers.emptyFolder,
      doing,
    }),
    syscall(
      "move_mount",
      [registers.emptyFolder, text(""), linux.AT_FDCWD, text(maskDir), linux.MOVE_MOUNT_F_EMPTY_PATH],
      { doing },
    ),
    syscall("close", [registers.scratch], { doing }),
  ];
}

/** A directory is hidden by the empty folder, a file by the null device of *our* /dev (CVE-2025-31133). */
export function maskedPathOps(path: string, index: number, arch: SyscallArch): Op[] {
  const doing = `masking ${path}`;
  const [file, over, done] = [`maskFile${index}`, `maskOver${index}`, `masked${index}`];
  const open = (flags: number, more: Pick<Parameters<typeof syscall>[2], "tolerate" | "jump">): Op =>
    syscall(
      "openat2",
      [registers.root, text(path), openHow(linux.O_PATH | linux.O_CLOEXEC | flags, linux.RESOLVE_IN_ROOT), 24],
      { into: registers.target, ...more, doing },
    );
  const clone = linux.OPEN_TREE_CLONE | linux.OPEN_TREE_CLOEXEC;
  return [
    open(linux.directoryFlag(arch), {
      tolerate: ["ENOTDIR", "ENOENT", "EACCES"],
      jump: { when: "negative", to: file },
    }),
    syscall("open_tree", [registers.emptyFolder, text(""), clone | linux.AT_EMPTY_PATH], {
      into: registers.mount,
      jump: { when: "always", to: over },
      doing,
    }),
    label(file),
    open(0, { tolerate: ["ENOENT", "ENOTDIR", "EACCES"], jump: { when: "negative", to: done } }),
    syscall("open_tree", [registers.dev, text("null"), clone], { into: registers.mount, doing }),
    label(over),
    ...moveMount(doing),
    label(done),
  ];
}
