/** Which cgroup hierarchies this process sees, from /proc/self/mountinfo (proc(5)). */
import { readFileSync } from "node:fs";

export interface V1Hierarchy {
  readonly mountPoint: string;
  /** `["cpu", "cpuacct"]`, or `["name=systemd"]`. */
  readonly controllers: readonly string[];
}

export type CgroupLayout =
  | { readonly kind: "none" }
  /** `unified`: a v2 tree beside them, which may have no controllers ("hybrid"). */
  | { readonly kind: "v1"; readonly hierarchies: readonly V1Hierarchy[]; readonly unified: string | undefined }
  | { readonly kind: "v2"; readonly mountPoint: string };

/** Super block options of a v1 hierarchy that are no controllers. */
const otherOptions = new Set(["rw", "ro", "xattr", "clone_children", "noprefix", "release_agent", "seclabel", "none"]);

/** `mountinfo` is the text of that file. */
export function parseCgroupLayout(mountinfo: string): CgroupLayout {
  const hierarchies: V1Hierarchy[] = [];
  let unified: string | undefined;
  for (const line of mountinfo.split("\n")) {
    // Optional fields end at " - ": then type, source, super block options.
    const [before, after] = line.split(" - ");
    const mountPoint = before?.split(" ")[4];
    const [type, , options] = after?.split(" ") ?? [];
    if (mountPoint === undefined) continue;
    const path = mountPoint.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
    if (type === "cgroup2") unified ??= path;
    if (type !== "cgroup" || options === undefined) continue;
    const controllers = options.split(",").filter((option) => !otherOptions.has(option.split("=")[0] ?? ""));
    const known = hierarchies.some((other) => other.controllers.join() === controllers.join());
    if (!known && controllers.length > 0) hierarchies.push({ mountPoint: path, controllers });
  }
  if (hierarchies.length > 0) return { kind: "v1", hierarchies, unified };
  return unified === undefined ? { kind: "none" } : { kind: "v2", mountPoint: unified };
}

let detected: CgroupLayout | undefined;

export function cgroupLayout(): CgroupLayout {
  detected ??= parseCgroupLayout(readFileSync("/proc/self/mountinfo", "utf8"));
  return detected;
}
