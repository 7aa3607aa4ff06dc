/** Why a step is not in the cache: a closed union, the same value for CLI, JSON, graph and editor. */

export type MissReason =
  | { readonly code: "never-built" }
  | { readonly code: "no-cache-flag" }
  /** A step below it made other files than the record stood on. */
  | { readonly code: "parent-changed"; readonly step: string | undefined }
  | { readonly code: "base-moved"; readonly from: string; readonly to: string }
  | { readonly code: "instruction-changed"; readonly from: string; readonly to: string }
  | {
      readonly code: "arg-changed" | "env-changed";
      readonly name: string;
      readonly from: string | undefined;
      readonly to: string | undefined;
    }
  | {
      readonly code: "file-changed" | "file-added" | "file-removed" | "mode-changed" | "owner-changed";
      /** At most ten, for people (invalid UTF-8 replaced). */
      readonly paths: readonly string[];
      readonly count: number;
    }
  | { readonly code: "option-changed"; readonly option: string; readonly from: string; readonly to: string }
  | { readonly code: "mount-changed"; readonly target: string }
  | { readonly code: "url-changed"; readonly url: string }
  | { readonly code: "platform"; readonly from: string; readonly to: string }
  | { readonly code: "tool-version" }
  | { readonly code: "record-broken" };
