/** The words of a mount's `options`, as the runtime spec lists them (config.md, "Linux mount options"). */
import * as linux from "../../linux-constants.ts";

type Option =
  | { readonly kind: "attribute"; readonly set: number; readonly clear: number; readonly recursive?: boolean }
  | { readonly kind: "bind"; readonly recursive: boolean }
  | { readonly kind: "propagation"; readonly flags: number }
  | { readonly kind: "ignored" };

const set = (set: number, clear = 0): Option => ({ kind: "attribute", set, clear });
const clear = (clear: number): Option => ({ kind: "attribute", set: 0, clear });
const recursively = (set: number, clear = 0): Option => ({ kind: "attribute", set, clear, recursive: true });
const propagation = (flags: number): Option => ({ kind: "propagation", flags });

const options = {
  ro: set(linux.MOUNT_ATTR_RDONLY),
  rro: recursively(linux.MOUNT_ATTR_RDONLY),
  rw: clear(linux.MOUNT_ATTR_RDONLY),
  nosuid: set(linux.MOUNT_ATTR_NOSUID),
  suid: clear(linux.MOUNT_ATTR_NOSUID),
  nodev: set(linux.MOUNT_ATTR_NODEV),
  dev: clear(linux.MOUNT_ATTR_NODEV),
  noexec: set(linux.MOUNT_ATTR_NOEXEC),
  exec: clear(linux.MOUNT_ATTR_NOEXEC),
  // The access-time rules are one field of three values: setting one clears the field first.
  noatime: set(linux.MOUNT_ATTR_NOATIME, linux.MOUNT_ATTR__ATIME),
  relatime: set(linux.MOUNT_ATTR_RELATIME, linux.MOUNT_ATTR__ATIME),
  strictatime: set(linux.MOUNT_ATTR_STRICTATIME, linux.MOUNT_ATTR__ATIME),
  nodiratime: set(linux.MOUNT_ATTR_NODIRATIME),
  diratime: clear(linux.MOUNT_ATTR_NODIRATIME),
  bind: { kind: "bind", recursive: false },
  rbind: { kind: "bind", recursive: true },
  private: propagation(linux.MS_PRIVATE),
  rprivate: propagation(linux.MS_PRIVATE | linux.MS_REC),
  slave: propagation(linux.MS_SLAVE),
  rslave: propagation(linux.MS_SLAVE | linux.MS_REC),
  shared: propagation(linux.MS_SHARED),
  rshared: propagation(linux.MS_SHARED | linux.MS_REC),
  unbindable: propagation(linux.MS_UNBINDABLE),
  runbindable: propagation(linux.MS_UNBINDABLE | linux.MS_REC),
  defaults: { kind: "ignored" },
  async: { kind: "ignored" },
} as const satisfies Record<string, Option>;

const byName = new Map<string, Option>(Object.entries(options));

export interface MountOptions {
  readonly bind: "no" | "bind" | "rbind";
  readonly attributesSet: number;
  readonly attributesClear: number;
  /** The attributes hold for the mounts below as well. */
  readonly recursive: boolean;
  readonly propagation: number | undefined;
  /** What is left is the file system's own: `mode=755`, `size=64m`. */
  readonly data: readonly string[];
}

export function parseMountOptions(words: readonly string[]): MountOptions {
  let bind: MountOptions["bind"] = "no";
  let attributesSet = 0;
  let attributesClear = 0;
  let recursive = false;
  let propagation: number | undefined;
  const data: string[] = [];
  for (const word of words) {
    const option = byName.get(word);
    if (option === undefined) {
      data.push(word);
    } else if (option.kind === "attribute") {
      attributesSet = (attributesSet & ~option.clear) | option.set;
      attributesClear |= option.clear;
      if (option.recursive === true) recursive = true;
    } else if (option.kind === "bind") {
      bind = option.recursive ? "rbind" : "bind";
    } else if (option.kind === "propagation") {
      propagation = option.flags;
    }
  }
  return { bind, attributesSet, attributesClear, recursive, propagation, data };
}
