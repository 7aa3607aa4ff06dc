/** How overlayfs writes down what is gone. Source: Documentation/filesystems/overlayfs.rst, "whiteouts and opaque". */
import type { BigIntStats } from "node:fs";
import { readFileSync } from "node:fs";
import { getXattr, setXattr } from "../kernel/xattr.ts";
import type { Layout } from "./store-context.ts";

/** A character device 0/0. */
export function isWhiteout(stat: BigIntStats): boolean {
  return stat.isCharacterDevice() && stat.rdev === 0n;
}

const opaqueXattr: Readonly<Record<Layout, string>> = {
  trusted: "trusted.overlay.opaque",
  user: "user.overlay.opaque",
};

/** Does this folder hide all that lies below it? */
export function isOpaque(folder: string | Buffer, layout: Layout): boolean {
  return getXattr(folder, opaqueXattr[layout])?.toString("latin1") === "y";
}

export function markOpaque(folder: string | Buffer, layout: Layout): void {
  setXattr(folder, opaqueXattr[layout], Buffer.from("y"));
}

let own: Layout | undefined;

/** Inside a user namespace `trusted.*` is out of reach, and overlayfs is mounted with `userxattr`. */
export function ownLayout(): Layout {
  own ??= /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync("/proc/self/uid_map", "latin1")) ? "trusted" : "user";
  return own;
}
