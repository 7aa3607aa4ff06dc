/** What a test needs of the machine. A test that cannot run is skipped, and the summary lists it by name. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { test } from "vitest";

/** A program on the PATH, or one of these. */
const conditions: Readonly<Record<string, () => boolean>> = {
  root: () => process.getuid?.() === 0,
  "busybox-static": () => isStaticBusybox(),
};

/** `needs("skopeo")("what holds", () => …)`: a test that is skipped where one of these is missing. */
export function needs(...names: readonly string[]): ReturnType<typeof test.skipIf> {
  return test.skipIf(lacks(...names));
}

/** For `describe.skipIf`. */
export function lacks(...names: readonly string[]): boolean {
  return !names.every((name) => conditions[name]?.() ?? findProgram(name) !== undefined);
}

/** Absolute path of a program, looked for where root's programs lie too. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isStaticBusybox(): boolean {
  // Debian's busybox and busybox-static exclude each other; only the latter ships this page.
  return isExecutable("/bin/busybox") && isReadable("/usr/share/doc/busybox-static");
}

function isExecutable(path: string): boolean {
  return can(path, constants.X_OK);
}

function isReadable(path: string): boolean {
  return can(path, constants.R_OK);
}

function can(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}
