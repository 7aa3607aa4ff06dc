/**
 * Mounts inside the container. Each one is complete before it is visible (fsmount, open_tree, mount_setattr), and goes
 * from descriptor to descriptor (move_mount): no path is walked twice, so none can be swapped in between
 * (CVE-2021-30465). Targets are opened below the root's descriptor with openat2(RESOLVE_IN_ROOT).
 */
import type { MountSpec, RuntimeSpec } from "../../../oci/runtime-spec.ts";
import { cgroupLayout } from "../../cgroup/detect.ts";
import { type Op, syscall, text } from "../../launcher-program.ts";
import * as linux from "../../linux-constants.ts";
import type { SyscallArch } from "../../syscall-table.ts";
import { fillDev } from "./dev.ts";
import { parseMountOptions } from "./mount-options.ts";
import { isBind, type MountStep } from "./mount-steps.ts";
import { mountAttr } from "./mount-structs.ts";
import { openTarget } from "./mount-target.ts";
import { moveMount } from "./move-mount.ts";
import { registers } from "./registers.ts";

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
  const source = isBind(mount) ? bindSource(mount, step.userNamespace, doing) : makeFilesystem(mount, doing);
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

export function setOption(word: string, doing: string): Op {
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
function bindSource(mount: MountSpec, userNamespace: number | undefined, doing: string): Op[] {
  const options = parseMountOptions(mount.options);
  const recursive = options.bind === "bind" ? 0 : linux.AT_RECURSIVE;
  const attributes = options.attributesSet !== 0 || options.attributesClear !== 0;
  return [
    syscall(
      "open_tree",
      [linux.AT_FDCWD, text(mount.source), linux.OPEN_TREE_CLONE | linux.OPEN_TREE_CLOEXEC | recursive],
      { into: registers.mount, doing },
    ),
    // Only of a mount that is attached nowhere, and once.
    ...(userNamespace === undefined
      ? []
      : [
          syscall(
            "mount_setattr",
            [
              registers.mount,
              text(""),
              linux.AT_EMPTY_PATH | recursive,
              mountAttr(linux.MOUNT_ATTR_IDMAP, 0, 0, userNamespace),
              32,
            ],
            { doing: `mapping the owners of ${mount.source}` },
          ),
        ]),
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
  return [...openTarget(step.target, index, arch, doing), ...moveMount(doing)];
}

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
        ...moveMount(doing),
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
