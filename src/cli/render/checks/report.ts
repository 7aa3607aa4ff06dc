/** What all forms of a check's report are made from. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { pageOf, rules } from "../../../checks/rules.ts";
import type { Diagnostic, Dockerfile } from "../../../parser/ast.ts";
import { programFolder } from "../../../program-file.ts";

export interface CheckReport {
  readonly dockerfile: Dockerfile;
  /** Errors and warnings in order of place. */
  readonly findings: readonly Diagnostic[];
  /** Of the file, from where the command was called, where it lies below. */
  readonly path: string;
}

/** BuildKit's page about a check, or for one of ours the page beside this program. Undefined for errors. */
export function linkOf(code: string): string | undefined {
  const rule = rules.get(code);
  if (rule === undefined) return undefined;
  const path = rule.url === undefined ? pagePath(code) : undefined;
  return path === undefined ? rule.url : pathToFileURL(path).href;
}

/** tsbuild's own page about a check, where it is installed. */
export function pagePath(code: string): string | undefined {
  const path = join(dirname(programFolder()), pageOf(code));
  return existsSync(path) ? path : undefined;
}

/** `2 errors and 1 warning`. */
export function countText(findings: readonly Diagnostic[]): string {
  const errors = findings.filter(({ severity }) => severity === "error").length;
  const warnings = findings.length - errors;
  const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;
  const parts = [
    ...(errors > 0 ? [counted(errors, "error")] : []),
    ...(warnings > 0 ? [counted(warnings, "warning")] : []),
  ];
  return parts.join(" and ");
}
