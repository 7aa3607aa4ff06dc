/** What the environment and the global flags decide, as values. The rooms below never read `process.env`. */
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import type { GlobalOptions } from "./global-flags.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** The store's folder: `--root`, `TSBUILD_ROOT`, then the system's place for root and the user's own for others. */
export function storeRoot(options: GlobalOptions, environment: Environment, cwd: string, uid: number): string {
  const given = options.root ?? nonEmpty(environment["TSBUILD_ROOT"]);
  if (given !== undefined) return resolve(cwd, given);
  if (uid === 0) return "/var/lib/tsbuild";
  return join(nonEmpty(environment["XDG_DATA_HOME"]) ?? join(home(environment), ".local/share"), "tsbuild");
}

export function configDir(options: GlobalOptions, environment: Environment, cwd: string): string {
  const given = options.config ?? nonEmpty(environment["DOCKER_CONFIG"]);
  return given === undefined ? join(home(environment), ".docker") : resolve(cwd, given);
}

export function runtimeName(options: GlobalOptions, environment: Environment): string {
  return options.runtime ?? nonEmpty(environment["TSBUILD_RUNTIME"]) ?? "native";
}

export function isDebug(options: GlobalOptions, environment: Environment): boolean {
  const variable = environment["TSBUILD_DEBUG"] ?? "";
  return options.debug || (variable !== "" && variable !== "0");
}

/** Words of `TSBUILD_FLAGS`: flags that stand before the typed ones. Split at blanks. */
export function defaultFlags(environment: Environment): readonly string[] {
  return (environment["TSBUILD_FLAGS"] ?? "").split(/\s+/).filter((word) => word !== "");
}

/** `TSBUILD_CDI_DIRS`: folders with descriptions of devices, instead of the system's. Colons stand between them. */
export function deviceSpecFolders(environment: Environment): readonly string[] | undefined {
  return nonEmpty(environment["TSBUILD_CDI_DIRS"])?.split(":");
}

function home(environment: Environment): string {
  return nonEmpty(environment["HOME"]) ?? homedir();
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}
