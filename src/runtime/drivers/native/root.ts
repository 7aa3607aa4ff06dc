/**
 * The root file system: an overlay made inside the container's mount namespace, so that it vanishes with it, even
 * after kill -9, and never stands in the host's mount table. Options and limits: fs/overlayfs in the kernel's docs.
 */

import type { Rootfs } from "../../driver.ts";
import { builtin, label, type Op, syscall, text } from "../../launcher-program.ts";
import * as linux from "../../linux-constants.ts";
import type { SyscallArch } from "../../syscall-table.ts";
import { FIRST_LAYER_FD, registers } from "./registers.ts";

type OverlayRootfs = Extract<Rootfs, { kind: "overlay" }>;

/** fsconfig takes strings of at most 255 bytes; mount(2) one page of options, cut without a word. */
const FSCONFIG_MAX_BYTES = 255;
const MOUNT_DATA_MAX_BYTES = 4095;

/**
 * `redirect_dir=off` would be `follow` on a kernel built so, and honour what a hostile layer's xattrs say; `nofollow` is
 * safe everywhere. metacopy would leave files without content in the upper directory, index would pin inodes.
 */
const options = { redirect_dir: "nofollow", metacopy: "off", index: "off", xino: "off" } as const;

/** How the sentence of an overlay that was not mounted begins. */
export const overlayDoing = "mounting the overlay of";

export interface RootPaths {
  /** The stub tree: below all layers. */
  readonly stubTree: string;
  /** An empty folder of ours to mount on. */
  readonly mountDir: string;
}

export interface ContainerPaths extends RootPaths {
  /** Another one, for what masked directories are clones of. */
  readonly maskDir: string;
}

/** Mounts the root at `mountDir` and leaves its descriptor in `registers.root`. */
export function rootOps(rootfs: Rootfs, paths: RootPaths, arch: SyscallArch): Op[] {
  if (rootfs.kind === "overlay") return overlayOps(rootfs, paths, arch);
  const doing = `using ${rootfs.path} as the root file system`;
  return [
    syscall(
      "open_tree",
      [
        linux.AT_FDCWD,
        text(rootfs.path),
        linux.OPEN_TREE_CLONE | linux.OPEN_TREE_CLOEXEC | linux.AT_RECURSIVE | linux.AT_SYMLINK_NOFOLLOW,
      ],
      { into: registers.root, doing },
    ),
    ...attachRoot(paths.mountDir, doing),
  ];
}

function attachRoot(mountDir: string, doing: string): Op[] {
  return [
    syscall("move_mount", [registers.root, text(""), linux.AT_FDCWD, text(mountDir), linux.MOVE_MOUNT_F_EMPTY_PATH], {
      doing,
    }),
  ];
}

/** Top first, each tree once: the kernel refuses a tree that stands twice (ELOOP), and its lower copy shows nothing. */
function lowersTopFirst(rootfs: OverlayRootfs, stubTree: string): readonly string[] {
  return [...new Set([...rootfs.lowerdirs].reverse()), stubTree];
}

function overlayOps(rootfs: OverlayRootfs, paths: RootPaths, arch: SyscallArch): Op[] {
  const lowers = lowersTopFirst(rootfs, paths.stubTree);
  const wanted = [...lowers, rootfs.upperdir, rootfs.workdir];
  const classicLength = wanted.reduce((sum, path) => sum + Buffer.byteLength(path) + 3, 200);
  const short =
    wanted.every((path) => Buffer.byteLength(path) <= FSCONFIG_MAX_BYTES && !/[,:\\]/.test(path)) &&
    classicLength <= MOUNT_DATA_MAX_BYTES;
  const named = short ? { names: wanted, opening: [] } : namesByDescriptor(wanted, arch);
  const names = {
    lowers: named.names.slice(0, lowers.length),
    upper: named.names[lowers.length] ?? rootfs.upperdir,
    work: named.names[lowers.length + 1] ?? rootfs.workdir,
  };
  const doing = `${overlayDoing} ${lowers.length - 1} layers`;
  const ops: Op[] = [
    ...named.opening,
    syscall("fsopen", [text("overlay"), linux.FSOPEN_CLOEXEC], { into: registers.mount, doing }),
    syscall("fsconfig", [registers.mount, linux.FSCONFIG_SET_STRING, text("source"), text("overlay"), 0], { doing }),
    ...fsconfigOps(names, rootfs.volatile, doing),
    syscall("fsmount", [registers.mount, linux.FSMOUNT_CLOEXEC, 0], { into: registers.root, doing }),
    ...attachRoot(paths.mountDir, doing),
    syscall("close", [registers.mount], { jump: { when: "always", to: "overlayMounted" }, doing }),
    // Kernels before 6.7 do not know `lowerdir+`, and some of them say so only at the end (EINVAL).
    label("classicMount"),
    classicMount(paths.mountDir, classicOptions(names, rootfs.volatile), doing),
    syscall(
      "openat",
      [linux.AT_FDCWD, text(paths.mountDir), linux.O_PATH | linux.O_CLOEXEC | linux.directoryFlag(arch)],
      { into: registers.root, doing },
    ),
    label("overlayMounted"),
  ];
  if (!short) ops.push(syscall("close_range", [FIRST_LAYER_FD, FIRST_LAYER_FD + wanted.length, 0], { doing }));
  return ops;
}

/** Longer options would be cut, and the mount fail as if a folder were missing. */
function classicMount(mountDir: string, data: string, doing: string): Op {
  if (Buffer.byteLength(data) > MOUNT_DATA_MAX_BYTES) {
    return builtin("exit", [EINVAL], { doing: `${doing}, which are too many for a kernel before 6.7` });
  }
  return syscall("mount", [text("overlay"), text(mountDir), text("overlay"), 0, text(data)], { doing });
}

const EINVAL = 22;

interface OverlayNames {
  readonly lowers: readonly string[];
  readonly upper: string;
  readonly work: string;
}

function fsconfigOps(names: OverlayNames, volatile: boolean, doing: string): Op[] {
  const classic = { tolerate: ["EINVAL"], jump: { when: "negative", to: "classicMount" } } as const;
  const setString = (key: string, value: string): Op =>
    syscall("fsconfig", [registers.mount, linux.FSCONFIG_SET_STRING, text(key), text(value), 0], { ...classic, doing });
  return [
    ...names.lowers.map((lower) => setString("lowerdir+", lower)),
    setString("upperdir", names.upper),
    setString("workdir", names.work),
    ...Object.entries(options).map(([key, value]) => setString(key, value)),
    // Only for the cleanness of the upper directory's root: older kernels neither know it nor need it.
    syscall("fsconfig", [registers.mount, linux.FSCONFIG_SET_STRING, text("uuid"), text("null"), 0], {
      tolerate: ["EINVAL"],
      doing,
    }),
    ...(volatile
      ? [syscall("fsconfig", [registers.mount, linux.FSCONFIG_SET_FLAG, text("volatile"), 0, 0], { ...classic, doing })]
      : []),
    syscall("fsconfig", [registers.mount, linux.FSCONFIG_CMD_CREATE, 0, 0, 0], { ...classic, doing }),
  ];
}

function classicOptions(names: OverlayNames, volatile: boolean): string {
  const fixed = Object.entries(options).map(([key, value]) => `${key}=${value}`);
  return [
    `lowerdir=${names.lowers.join(":")}`,
    `upperdir=${names.upper}`,
    `workdir=${names.work}`,
    ...fixed,
    ...(volatile ? ["volatile"] : []),
  ].join(",");
}

/** Opens each folder at a number known beforehand and names it by that: short, and without characters to escape. */
function namesByDescriptor(paths: readonly string[], arch: SyscallArch): { names: string[]; opening: Op[] } {
  const opening = paths.flatMap((path, index) => {
    const doing = `opening the layer ${path}`;
    return [
      syscall("openat", [linux.AT_FDCWD, text(path), linux.O_PATH | linux.O_CLOEXEC | linux.directoryFlag(arch)], {
        into: registers.scratch,
        doing,
      }),
      syscall("dup3", [registers.scratch, FIRST_LAYER_FD + index, linux.O_CLOEXEC], { doing }),
      syscall("close", [registers.scratch], { doing }),
    ];
  });
  return { names: paths.map((_, index) => `/proc/self/fd/${FIRST_LAYER_FD + index}`), opening };
}
