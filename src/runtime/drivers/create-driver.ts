/** A driver by the name that `--runtime` takes. */
import { accessSync, constants } from "node:fs";
import { basename, isAbsolute, join } from "node:path";
import type { Driver } from "../driver.ts";
import { runtimeNotInstalled, unknownRuntime } from "./errors.ts";
import { createNativeDriver } from "./native/native-driver.ts";
import { createOciDriver } from "./oci/oci-driver.ts";

/** Where distributions put them; the caller's PATH often has no sbin. */
const folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"] as const;

/**
 * `native`, `runc`, `crun`, or the absolute path of an OCI runtime.
 * @throws {TsbuildError} `UNSUPPORTED` for a name that is none of these, or a runtime that is not installed.
 */
export function createDriver(name: string): Driver {
  if (name === "native") return createNativeDriver();
  if (isAbsolute(name)) {
    if (!isExecutable(name)) throw runtimeNotInstalled(name);
    return createOciDriver(basename(name), name);
  }
  if (name !== "runc" && name !== "crun") throw unknownRuntime(name);
  const path = findRuntime(name);
  if (path === undefined) throw runtimeNotInstalled(name);
  return createOciDriver(name, path);
}

export function findRuntime(name: string): string | undefined {
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
