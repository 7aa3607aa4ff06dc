/**
 * A container's root file system without its processes: the overlay as a detached mount, which exists only as a file
 * descriptor and vanishes with it, whatever happens to this process. Nobody else sees it. Source: fsmount(2).
 */
import { closeSync, constants, openSync } from "node:fs";
import { check, libc } from "../../kernel/libc.ts";
import { O_PATH } from "../../kernel/resolve-in-root.ts";
import type { OpenRoot } from "./root-access.ts";

export interface OverlayLayers {
  /** Bottom first. */
  readonly lowerdirs: readonly string[];
  /** Absent: nothing can be written. */
  readonly upper?: { readonly upperdir: string; readonly workdir: string };
}

// Equal on all architectures.
const SYS_fsopen = 430;
const SYS_fsconfig = 431;
const SYS_fsmount = 432;
const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;

/** The same options as when it runs: what a hostile layer's attributes say is not followed. */
const options = { redirect_dir: "nofollow", metacopy: "off", index: "off", xino: "off" } as const;

/** @throws {TsbuildError} `SYSCALL_FAILED` */
export function openOverlay({ lowerdirs, upper }: OverlayLayers): OpenRoot {
  const doing = "mounting a container's files";
  const folders: number[] = [];
  // A string has 255 bytes at most, so folders are named by descriptor.
  const named = (path: string): string => {
    const fd = openSync(path, O_PATH | constants.O_DIRECTORY);
    folders.push(fd);
    return `/proc/self/fd/${fd}`;
  };
  const context = check(libc("syscallName", SYS_fsopen, "overlay", FSOPEN_CLOEXEC, 0, 0, 0), doing);
  try {
    const set = (key: string, value: string): void => {
      check(libc("syscallOption", SYS_fsconfig, context, FSCONFIG_SET_STRING, key, value, 0), `${doing}: ${key}`);
    };
    for (const lower of new Set(lowerdirs.toReversed())) set("lowerdir+", named(lower));
    if (upper !== undefined) {
      set("upperdir", named(upper.upperdir));
      set("workdir", named(upper.workdir));
    }
    for (const [key, value] of Object.entries(options)) set(key, value);
    check(libc("syscallOption", SYS_fsconfig, context, FSCONFIG_CMD_CREATE, null, null, 0), doing);
    const fd = check(libc("syscall", SYS_fsmount, context, FSMOUNT_CLOEXEC, 0, 0, 0), doing);
    return {
      fd,
      [Symbol.dispose]() {
        libc("close", fd);
      },
    };
  } finally {
    libc("close", context);
    for (const fd of folders) closeSync(fd);
  }
}
