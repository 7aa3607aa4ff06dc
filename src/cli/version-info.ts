/** What this program is: written into the bundle by scripts/build.mjs, read from the working copy without one. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface VersionInfo {
  readonly version: string;
  /** Short commit, or `source`. */
  readonly commit: string;
}

declare const TSBUILD_VERSION_INFO: VersionInfo | undefined;

export function versionInfo(): VersionInfo {
  if (typeof TSBUILD_VERSION_INFO !== "undefined") return TSBUILD_VERSION_INFO;
  const text = readFileSync(join(import.meta.dirname, "../../package.json"), "utf8");
  const version: unknown = (JSON.parse(text) as { readonly version?: unknown }).version;
  return { version: String(version), commit: "source" };
}

/** `tsbuild version 1.2.3, build abc1234` */
export function versionLine(): string {
  const { version, commit } = versionInfo();
  return `tsbuild version ${version}, build ${commit}`;
}
