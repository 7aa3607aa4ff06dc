/**
 * Mounts inside the container. Each one is complete before it is visible (fsmount, open_tree, mount_setattr), and goes
 * from descriptor to descriptor (move_mount): no path is walked twice, so none can be swapped in between
 * (CVE-2021-30465). Targets are opened below the root's descriptor with openat2(RESOLVE_IN_ROOT).
 */
import { statSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { MountSpec, RuntimeSpec } from "../../../oci/runtime-spec.ts";
import { cgroupLayout } from "../../cgroup/detect.ts";
import {
  at,
  builtin,
  label,
  type Op,
  RECORD_BYTES,
  recordPayloads,
  recordSpace,
  type Struct,
  space,
  struct,
  syscall,
  text,
} from "../../launcher-program.ts";
import * as linux from "../../linux-constants.ts";
import type { MountPoint } from "../../stub-tree.ts";
import type { SyscallArch } from "../../syscall-table.ts";
import { bindSourceMissing, mountNotAllowed } from "../errors.ts";
import { parseMountOptions } from "./mount-options.ts";
import { registers } from "./registers.ts";

export interface MountStep {
  readonly spec: MountSpec;
  readonly target: MountPoint;
}

/** `struct open_how`. */
export function openHow(flags: number, resolve: number): Struct {
  const bytes = Buffer.alloc(24);
  bytes.writeBigUInt64LE(BigInt(flags), 0);
  bytes.writeBigUInt64LE(BigInt(resolve), 16);
  return struct(bytes, `{flags 0x${flags.toString(16)}, resolve 0x${resolve.toString(16)}}`);
}

/** `struct mount_attr`. */
export function mountAttr(set: number, clear: number, propagation = 0): Struct {
  const bytes = Buffer.alloc(32);
  bytes.writeUInt32LE(set, 0);
  bytes.writeUInt32LE(clear, 8);
  bytes.writeUInt32LE(propagation, 16);
  return struct(bytes, `{set 0x${set.toString(16)}, clear 0x${clear.toString(16)}, propagation ${propagation}}`);
}

/** Files of /proc that a mount may cover: they tell numbers, and nothing of ours is written through them. */
const coverable = new Set(
  ["cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo", "net/dev"].map(
    (name) => `/proc/${name}`,
  ),
);

/**
 * What to mount and onto what. A bind's kind is that of its source.
 * @throws {TsbuildError} `RUNTIME_FAILED` when a bind's source is missing, or when a mount would cover /proc or /sys.
 */
export function mountSteps(spec: RuntimeSpec): MountStep[] {
  return spec.mounts.map((mount) => {
    const path = mount.destination;
    const bind = isBind(mount);
    const covers = /^\/(proc|sys)(\/|$)/.test(path) && !coverable.has(path);
    // CVE-2019-16884: over /proc, what the runtime writes to a label or a sysctl would go to a file of the volume.
    if (covers && (bind || (mount.type === "tmpfs" && !path.startsWith("/sys/fs/cgroup")))) throw mountNotAllowed(path);
    return { spec: mount, target: { path, type: bind ? kindOfSource(mount) : "directory" } };
  });
}

function isBind(mount: MountSpec): boolean {
  return mount.type === "bind" || parseMountOptions(mount.options).bind !== "no";
}

function kindOfSource(mount: MountSpec): MountPoint["type"] {
  const stat = statSync(mount.source, { throwIfNoEntry: false });
  if (stat === undefined) throw bindSourceMissing(mount.source, mount.destination);
  return stat.isDirectory() ? "directory" : "file";
}

/** The mount points that the stub tree has to offer: those on the root itself, not on other mounts. */
export function stubMountPoints(steps: readonly MountStep[]): MountPoint[] {
  const points: MountPoint[] = [];
  for (const { target } of steps) {
    const covered = points.some((other) => other.type === "directory" && target.path.startsWith(`${other.path}/`));
    if (!covered) points.push(target);
  }
  return points;
}

export function mountOps(step: MountStep, index: number, spec: RuntimeSpec, arch: SyscallArch): Op[] {
  const { spec: mount, target } = step;
  const doing = isBind(mount)
    ? `mounting ${mount.source} at ${target.path}`
    : `mounting ${mount.type} at ${target.path}`;
  if (mount.type === "cgroup") return cgroupOps(step, index, arch, doing);
  if (target.path === "/dev" && mount.type === "tmpfs") {
    return [
      ...makeFilesystem(mount, doing),
      syscall("dup3", [registers.mount, DEV_FD, linux.O_CLOEXEC], { into: registers.dev, doing }),
      ...fillDev(spec),
      ...attach(step, index, arch, doing),
    ];
  }
  const keep =
    target.path === "/proc" && mount.type === "proc"
      ? [syscall("dup3", [registers.mount, PROC_FD, linux.O_CLOEXEC], { into: registers.proc, doing })]
      : target.path === "/dev/pts" && mount.type === "devpts"
        ? [syscall("dup3", [registers.mount, PTS_FD, linux.O_CLOEXEC], { into: registers.pts, doing })]
        : [];
  const source = isBind(mount) ? bindSource(mount, doing) : makeFilesystem(mount, doing);
  return [...source, ...keep, ...attach(step, index, arch, doing)];
}

/** Kept open until the command runs, beside `registers.mount`, which each step closes. */
const DEV_FD = 201;
const PROC_FD = 202;
const PTS_FD = 203;

/** A new file system, not yet attached, in `registers.mount`. */
function makeFilesystem(mount: MountSpec, doing: string): Op[] {
  const options = parseMountOptions(mount.options);
  const type = mount.type === "cgroup" ? "cgroup2" : mount.type;
  return [
    syscall("fsopen", [text(type), linux.FSOPEN_CLOEXEC], { into: registers.scratch, doing }),
    setOption(`source=${mount.source}`, doing),
    ...options.data
      // Since 4.7 each devpts is an instance of its own, and the new mount interface no longer knows the word.
      .filter((word) => !(type === "devpts" && word === "newinstance"))
      .map((word) => setOption(word, doing)),
    syscall("fsconfig", [registers.scratch, linux.FSCONFIG_CMD_CREATE, 0, 0, 0], { doing }),
    syscall("fsmount", [registers.scratch, linux.FSMOUNT_CLOEXEC, options.attributesSet], {
      into: registers.mount,
      doing,
    }),
    syscall("close", [registers.scratch], { doing }),
  ];
}

function setOption(word: string, doing: string): Op {
  const equals = word.indexOf("=");
  return equals < 0
    ? syscall("fsconfig", [registers.scratch, linux.FSCONFIG_SET_FLAG, text(word), 0, 0], { doing })
    : syscall(
        "fsconfig",
        [registers.scratch, linux.FSCONFIG_SET_STRING, text(word.slice(0, equals)), text(word.slice(equals + 1)), 0],
        { doing },
      );
}

/** A detached copy of the source's mount in `registers.mount`, with its attributes already set. */
function bindSource(mount: MountSpec, doing: string): Op[] {
  const options = parseMountOptions(mount.options);
  const recursive = options.bind === "bind" ? 0 : linux.AT_RECURSIVE;
  const attributes = options.attributesSet !== 0 || options.attributesClear !== 0;
  return [
    syscall(
      "open_tree",
      [linux.AT_FDCWD, text(mount.source), linux.OPEN_TREE_CLONE | linux.OPEN_TREE_CLOEXEC | recursive],
      { into: registers.mount, doing },
    ),
    ...(attributes
      ? [
          syscall(
            "mount_setattr",
            [
              registers.mount,
              text(""),
              linux.AT_EMPTY_PATH | recursive,
              mountAttr(options.attributesSet, options.attributesClear),
              32,
            ],
            { doing },
          ),
        ]
      : []),
    ...(options.propagation === undefined
      ? []
      : [
          syscall(
            "mount_setattr",
            [
              registers.mount,
              text(""),
              linux.AT_EMPTY_PATH | ((options.propagation & linux.MS_REC) === 0 ? 0 : linux.AT_RECURSIVE),
              mountAttr(0, 0, options.propagation & ~linux.MS_REC),
              32,
            ],
            { doing },
          ),
        ]),
  ];
}

/** Moves `registers.mount` onto its target and closes both. */
function attach(step: MountStep, index: number, arch: SyscallArch, doing: string): Op[] {
  return [
    ...openTarget(step.target, index, arch, doing),
    syscall(
      "move_mount",
      [
        registers.mount,
        text(""),
        registers.target,
        text(""),
        linux.MOVE_MOUNT_F_EMPTY_PATH | linux.MOVE_MOUNT_T_EMPTY_PATH,
      ],
      { doing },
    ),
    syscall("close", [registers.mount], { doing }),
    syscall("close", [registers.target], { doing }),
  ];
}

/** An image whose /proc, /sys or /dev is a symlink would lead the runtime's own writes elsewhere (CVE-2019-19921). */
function resolveRule(path: string): number {
  const ours = /^\/(proc|sys|dev)(\/|$)/.test(path);
  return linux.RESOLVE_IN_ROOT | (ours ? linux.RESOLVE_NO_SYMLINKS : linux.RESOLVE_NO_MAGICLINKS);
}

/**
 * The target's descriptor in `registers.target`. The stub tree has it, unless a layer hides it; then it is made,
 * component by component, and each thing made is reported, so that it can be taken away again.
 */
function openTarget(target: MountPoint, index: number, arch: SyscallArch, doing: string): Op[] {
  const directory = linux.directoryFlag(arch);
  const resolve = resolveRule(target.path);
  const kind = target.type === "directory" ? directory : 0;
  const open = (missing: Pick<Parameters<typeof syscall>[2], "tolerate" | "jump">): Op =>
    syscall(
      "openat2",
      [registers.root, text(target.path), openHow(linux.O_PATH | linux.O_CLOEXEC | kind, resolve), 24],
      { into: registers.target, ...missing, doing },
    );
  // On file systems of our own nothing is hidden.
  if (/^\/(dev|sys|proc)\//.test(target.path)) return [open({})];
  const done = `target${index}`;
  const paths = ancestorsOf(target.path);
  return [
    open({ tolerate: ["ENOENT"], jump: { when: "first", to: `make${index}` } }),
    syscall("getpid", [], { jump: { when: "always", to: done }, doing }),
    label(`make${index}`),
    ...paths.flatMap((path, depth) =>
      makeMountPoint(
        { path, type: depth === paths.length - 1 ? target.type : "directory" },
        createdIndex(index, depth),
        arch,
        doing,
      ),
    ),
    open({}),
    label(done),
  ];
}

/** How RECORD_CREATED names a component of a mount's destination. */
function createdIndex(mount: number, depth: number): number {
  return mount * 256 + depth;
}

/** The mount point that a RECORD_CREATED speaks of. */
export function createdMountPoint(steps: readonly MountStep[], index: number): MountPoint | undefined {
  const target = steps[Math.floor(index / 256)]?.target;
  if (target === undefined) return undefined;
  const paths = ancestorsOf(target.path);
  const path = paths[index % 256];
  if (path === undefined) return undefined;
  return { path, type: path === paths.at(-1) ? target.type : "directory" };
}

/** `/a/b/c`: `/a`, `/a/b`, `/a/b/c`. */
function ancestorsOf(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "");
  return parts.map((_, depth) => `/${parts.slice(0, depth + 1).join("/")}`);
}

/** Where statx(2) puts the times of change and of modification: side by side, as utimensat(2) takes two. */
const STATX_CTIME_OFFSET = 96;
const STATX_BYTES = 256;
const STATX_BASIC_STATS = 0x7ff;

/** One for all mount points of a program: they are made one after the other. */
const times = space(STATX_BYTES, "times");
const createdRecord = recordSpace("created", 0);

function makeMountPoint(point: MountPoint, index: number, arch: SyscallArch, doing: string): Op[] {
  const there = `there${index}`;
  const name = text(basename(point.path));
  const flags = linux.O_CREAT | linux.O_EXCL | linux.O_CLOEXEC | linux.O_WRONLY;
  const exists = { tolerate: ["EEXIST"], jump: { when: "negative", to: there } } as const;
  return [
    syscall(
      "openat2",
      [
        registers.root,
        text(dirname(point.path)),
        openHow(linux.O_PATH | linux.O_CLOEXEC | linux.directoryFlag(arch), resolveRule(point.path)),
        24,
      ],
      { into: registers.parent, doing },
    ),
    syscall("statx", [registers.parent, text("."), 0, STATX_BASIC_STATS, times], { doing }),
    ...(point.type === "directory"
      ? [syscall("mkdirat", [registers.parent, name, 0o755], { ...exists, doing })]
      : [
          syscall("openat", [registers.parent, name, flags, 0o644], { into: registers.scratch, ...exists, doing }),
          syscall("close", [registers.scratch], { doing }),
        ]),
    // The folder shall look as if nothing had happened to it.
    syscall("utimensat", [registers.parent, text("."), at(times, STATX_CTIME_OFFSET), 0], { doing }),
    ...reportCreated(index, doing),
    label(there),
    syscall("close", [registers.parent], { doing }),
  ];
}

/** With the folder's real path: symlinks of the image may lie between it and the destination's name. */
function reportCreated(index: number, doing: string): Op[] {
  const link = struct(Buffer.alloc(40), "/proc/self/fd/…");
  link.bytes.write("/proc/self/fd/", "latin1");
  const record = createdRecord;
  const path = at(record, RECORD_BYTES);
  return [
    builtin("itoa", [at(link, 14), registers.parent]),
    syscall("readlinkat", [linux.AT_FDCWD, link, path, recordPayloads.created], { into: registers.scratch, doing }),
    builtin("store32", [at(record, 4), registers.scratch]),
    builtin("store32", [at(record, 8), index]),
    syscall("write", [linux.CONTROL_FD, record, record.bytes.length], { doing }),
  ];
}

/** Nodes, links and folders of /dev, made through its own descriptor before it is attached: no image path is walked. */
function fillDev(spec: RuntimeSpec): Op[] {
  const dev = registers.dev;
  const devices = (spec.linux.devices ?? []).filter((device) => device.path.startsWith("/dev/"));
  const folders = new Set(
    [...devices.map((device) => device.path), ...spec.mounts.map((mount) => `${mount.destination}/x`)]
      .filter((path) => path.startsWith("/dev/"))
      .flatMap((path) => ancestorsOf(path).slice(1, -1)),
  );
  const types = { c: linux.S_IFCHR, b: linux.S_IFBLK, p: linux.S_IFIFO } as const;
  return [
    ...[...folders].map((path) =>
      syscall("mkdirat", [dev, text(path.slice(5)), 0o755], { tolerate: ["EEXIST"], doing: `making ${path}` }),
    ),
    ...devices.flatMap((device) => {
      const doing = `making the device ${device.path}`;
      const name = text(device.path.slice(5));
      const mode = types[device.type] | (device.fileMode ?? 0o666);
      const owned = (device.uid ?? 0) !== 0 || (device.gid ?? 0) !== 0;
      return [
        syscall("mknodat", [dev, name, mode, linux.deviceNumber(device.major, device.minor)], { doing }),
        ...(owned ? [syscall("fchownat", [dev, name, device.uid ?? 0, device.gid ?? 0, 0], { doing })] : []),
      ];
    }),
    ...Object.entries(devLinks).map(([name, target]) =>
      syscall("symlinkat", [text(target), dev, text(name)], { doing: `making /dev/${name}` }),
    ),
    ...(spec.process.terminal === true
      ? [syscall("mknodat", [dev, text("console"), linux.S_IFREG | 0o620, 0], { doing: "making /dev/console" })]
      : []),
  ];
}

const devLinks = {
  fd: "/proc/self/fd",
  stdin: "/proc/self/fd/0",
  stdout: "/proc/self/fd/1",
  stderr: "/proc/self/fd/2",
  ptmx: "pts/ptmx",
} as const;

/** v2: one mount. v1: a tmpfs with a folder for each hierarchy, all read-only. */
function cgroupOps(step: MountStep, index: number, arch: SyscallArch, doing: string): Op[] {
  const layout = cgroupLayout();
  if (layout.kind === "none") return [];
  if (layout.kind === "v2") return [...makeFilesystem(step.spec, doing), ...attach(step, index, arch, doing)];
  const options = parseMountOptions(step.spec.options);
  const tmpfs: MountSpec = { ...step.spec, type: "tmpfs", options: ["nosuid", "nodev", "noexec", "mode=755"] };
  const readOnly = options.attributesSet & linux.MOUNT_ATTR_RDONLY;
  const root = registers.parent;
  return [
    ...makeFilesystem(tmpfs, doing),
    syscall("dup3", [registers.mount, CGROUP_FD, linux.O_CLOEXEC], { into: root, doing }),
    ...attach({ ...step, spec: tmpfs }, index, arch, doing),
    ...layout.hierarchies.flatMap(({ controllers }) => {
      const name = controllers.join(",").replace(/^name=/, "");
      const words = controllers.flatMap((word) => (word.startsWith("name=") ? [word, "none"] : [word]));
      const links = controllers.length > 1 ? controllers.filter((word) => word !== name) : [];
      return [
        syscall("mkdirat", [root, text(name), 0o755], { doing }),
        ...links.map((link) => syscall("symlinkat", [text(name), root, text(link)], { doing })),
        ...makeV1(options.attributesSet, words, doing),
        syscall("openat", [root, text(name), linux.O_PATH | linux.O_CLOEXEC], { into: registers.target, doing }),
        syscall(
          "move_mount",
          [
            registers.mount,
            text(""),
            registers.target,
            text(""),
            linux.MOVE_MOUNT_F_EMPTY_PATH | linux.MOVE_MOUNT_T_EMPTY_PATH,
          ],
          { doing },
        ),
        syscall("close", [registers.mount], { doing }),
        syscall("close", [registers.target], { doing }),
      ];
    }),
    ...(readOnly === 0
      ? []
      : [syscall("mount_setattr", [root, text(""), linux.AT_EMPTY_PATH, mountAttr(readOnly, 0), 32], { doing })]),
    syscall("close", [root], { doing }),
  ];
}

const CGROUP_FD = 204;

function makeV1(attributes: number, words: readonly string[], doing: string): Op[] {
  return [
    syscall("fsopen", [text("cgroup"), linux.FSOPEN_CLOEXEC], { into: registers.scratch, doing }),
    setOption("source=cgroup", doing),
    ...words.map((word) => setOption(word, doing)),
    syscall("fsconfig", [registers.scratch, linux.FSCONFIG_CMD_CREATE, 0, 0, 0], { doing }),
    syscall("fsmount", [registers.scratch, linux.FSMOUNT_CLOEXEC, attributes], { into: registers.mount, doing }),
    syscall("close", [registers.scratch], { doing }),
  ];
}

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
    ...moveOver(doing),
    label(done),
  ];
}

function moveOver(doing: string): Op[] {
  return [
    syscall(
      "move_mount",
      [
        registers.mount,
        text(""),
        registers.target,
        text(""),
        linux.MOVE_MOUNT_F_EMPTY_PATH | linux.MOVE_MOUNT_T_EMPTY_PATH,
      ],
      { doing },
    ),
    syscall("close", [registers.mount], { doing }),
    syscall("close", [registers.target], { doing }),
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
    ...moveOver(doing),
    label(done),
  ];
}
