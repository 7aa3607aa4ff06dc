/** A driver by the name that `--runtime` takes. Each is loaded when it is wanted. */
import type { Driver } from "../driver.ts";
import { unknownRuntime } from "./errors.ts";
import { createNativeDriver } from "./native/native-driver.ts";

/** @throws {TsbuildError} `UNSUPPORTED` for a runtime that is not known. */
export function createDriver(name: string): Driver {
  if (name === "native") return createNativeDriver();
  throw unknownRuntime(name);
}
