/**
 * The target of a mount as a descriptor, opened below the root's with openat2(RESOLVE_IN_ROOT). The stub tree has it,
 * unless a layer hides it: then it is made, and reported, so that it can be taken away again.
 */
import { basename, dirname } from "node:path";
import {
  at,
  builtin,
  label,
  type Op,
  RECORD_BYTES,
  recordPayloads,
  recordSpace,
  space,
  struct,
  syscall,
  text,
} from "../../launcher-program.ts";
import * as linux from "../../linux-constants.ts";
import type { MountPoint } from "../../stub-tree.ts";
import type { SyscallArch } from "../../syscall-table.ts";
import type { MountStep } from "./mount-steps.ts";
import { openHow } from "./mount-structs.ts";
import { registers } from "./registers.ts";

/** An image whose /proc, /sys or /dev is a symlink would lead the runtime's own writes elsewhere (CVE-2019-19921). */
function resolveRule(path: string): number {
  const ours = /^\/(proc|sys|dev)(\/|$)/.test(path);
  return linux.RESOLVE_IN_ROOT | (ours ? linux.RESOLVE_NO_SYMLINKS : linux.RESOLVE_NO_MAGICLINKS);
}

/**
 * The target's descriptor in `registers.target`. The stub tree has it, unless a layer hides it; then it is made,
 * component by component, and each thing made is reported, so that it can be taken away again.
 */
export function openTarget(target: MountPoint, index: number, arch: SyscallArch, doing: string): Op[] {
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
export function ancestorsOf(path: string): string[] {
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
