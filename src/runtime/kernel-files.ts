/** File systems whose files the kernel makes up while they are read: nothing of them can be kept. */
import { statfsSync } from "node:fs";

/** Source: linux/magic.h. */
const magics: ReadonlySet<number> = new Set([
  0x00009fa0, // proc
  0x62656572, // sysfs
  0x0027e0eb, // cgroup
  0x63677270, // cgroup2
  0x00001cd1, // devpts
  0x19800202, // mqueue
  0x64626720, // debugfs
  0x74726163, // tracefs
  0x73636673, // securityfs
  0xcafe4a11, // bpf
  0x6e736673, // nsfs
]);

export function isKernelFile(fd: number): boolean {
  return magics.has(statfsSync(`/proc/self/fd/${fd}`).type);
}
