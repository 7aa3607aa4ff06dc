/**
 * A root file system for tests: Debian's busybox-static with a link for each applet. Tests that need it skip, by name,
 * where it is not installed.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";

const BUSYBOX = "/bin/busybox";

/** Statically linked: a dynamic busybox would need the host's libraries. */
export const hasBusybox: boolean =
  existsSync(BUSYBOX) &&
  !spawnSync("head", ["-c", "4096", BUSYBOX], { encoding: "latin1" }).stdout.includes("ld-linux");

/**
 * Fills `folder` (made if it is not there): /bin with busybox and its applets, /etc with passwd and group of root, `bob`
 * (1000) and `staff` (50), /tmp. No /proc, /sys or /dev.
 */
export function busyboxTree(folder: string): void {
  for (const path of ["bin", "etc", "root"]) mkdirSync(`${folder}/${path}`, { recursive: true });
  mkdirSync(`${folder}/tmp`, { mode: 0o1777 });
  chmodSync(`${folder}/tmp`, 0o1777);
  copyFileSync(BUSYBOX, `${folder}/bin/busybox`);
  chmodSync(`${folder}/bin/busybox`, 0o755);
  for (const applet of spawnSync(BUSYBOX, ["--list"], { encoding: "utf8" }).stdout.split("\n")) {
    if (applet !== "" && applet !== "busybox") symlinkSync("busybox", `${folder}/bin/${applet}`);
  }
  writeFileSync(`${folder}/etc/passwd`, "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000:Bob:/home/bob:/bin/sh\n");
  writeFileSync(`${folder}/etc/group`, "root:x:0:\nstaff:x:50:bob\nbob:x:1000:\n");
}
