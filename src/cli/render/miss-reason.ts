/** Why a step was not in the cache, in words. */
import { assertNever } from "../../errors.ts";
import type { MissReason } from "../../planner/miss-reason.ts";

/** One phrase, no full stop: `src/a.ts changed`, `ARG VERSION: 1 → 2`. */
export function describeMiss(reason: MissReason): string {
  switch (reason.code) {
    case "never-built":
      return "never built before";
    case "no-cache-flag":
      return "--no-cache";
    case "parent-changed":
      return reason.step === undefined ? "a step below it changed" : `${reason.step} made other files`;
    case "base-moved":
      return `base image moved: ${reason.from} → ${reason.to}`;
    case "instruction-changed":
      return `instruction: ${reason.from} → ${reason.to}`;
    case "arg-changed":
      return `ARG ${reason.name}: ${valueText(reason.from)} → ${valueText(reason.to)}`;
    case "env-changed":
      return `ENV ${reason.name}: ${valueText(reason.from)} → ${valueText(reason.to)}`;
    case "file-changed":
      return `${pathsText(reason)} changed`;
    case "file-added":
      return `${pathsText(reason)} added`;
    case "file-removed":
      return `${pathsText(reason)} removed`;
    case "mode-changed":
      return `${pathsText(reason)}: mode changed`;
    case "owner-changed":
      return `${pathsText(reason)}: owner changed`;
    case "option-changed":
      return `${reason.option}: ${reason.from} → ${reason.to}`;
    case "mount-changed":
      return `mount at ${reason.target} changed`;
    case "url-changed":
      return `${reason.url} changed`;
    case "platform":
      return `platform: ${reason.from} → ${reason.to}`;
    case "tool-version":
      return "built by another version of tsbuild";
    case "record-broken":
      return "its cache record is damaged";
    default:
      return assertNever(reason);
  }
}

/** A build need not say of each step that it is new, or that it was told to run it. */
export function tellsNothingNew(reason: MissReason): boolean {
  return reason.code === "never-built" || reason.code === "no-cache-flag";
}

function valueText(value: string | undefined): string {
  return value === undefined ? "unset" : value === "" ? '""' : value;
}

function pathsText({ paths, count }: { readonly paths: readonly string[]; readonly count: number }): string {
  const [first = "?"] = paths;
  if (count <= 1) return first;
  return count === 2 ? paths.join(", ") : `${first} and ${count - 1} more`;
}
