/** What the native driver's programs keep in which register. Those from `mount` on are free after each step. */
import { type Register, register } from "../../launcher-program.ts";

type RegisterName =
  | "root"
  | "dev"
  | "pts"
  | "proc"
  | "emptyFolder"
  | "parentSync"
  | "childSync"
  | "child"
  | "pidfd"
  | "exitFile"
  | "ptyMaster"
  | "ptySlave"
  | "cgroup"
  | "mount"
  | "target"
  | "parent"
  | "scratch";

export const registers: Readonly<Record<RegisterName, Register>> = {
  /** The root file system's mount: everything of the container is opened below it. */
  root: register(0),
  /** /dev, /dev/pts and /proc of the container, by the mounts themselves: no path of the image leads to them. */
  dev: register(1),
  pts: register(2),
  proc: register(3),
  /** An empty read-only tmpfs: masks of directories are its clones. */
  emptyFolder: register(4),
  /** Our two ends of the socketpair between launcher and child. */
  parentSync: register(5),
  childSync: register(6),
  child: register(7),
  pidfd: register(8),
  exitFile: register(9),
  ptyMaster: register(10),
  ptySlave: register(11),
  cgroup: register(12),
  mount: register(16),
  target: register(17),
  parent: register(18),
  scratch: register(19),
};

/** The child's end of the socketpair from its first operation on, so that everything around it can be closed. */
export const CHILD_SYNC_FD = 200;
/** Layers whose paths are too long for the kernel's options are opened here, and named by descriptor. */
export const FIRST_LAYER_FD = 300;
