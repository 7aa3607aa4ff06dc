/** A check's report for people. */
import { fixesOf } from "../../../checks/fix.ts";
import { findingLines } from "./finding-lines.ts";
import { type CheckReport, countText } from "./report.ts";

export function checkText({ dockerfile, findings }: CheckReport, stream: NodeJS.WritableStream): string {
  if (findings.length === 0) return "Check complete, no warnings found.\n";
  const lines = [`Check complete, ${countText(findings)} ${findings.length === 1 ? "has" : "have"} been found!`];
  for (const finding of findings) lines.push("", ...findingLines(dockerfile, finding, stream));
  const fixes = fixesOf(
    dockerfile,
    findings.filter(({ severity }) => severity === "warning"),
  ).length;
  if (fixes > 0) lines.push("", `${fixes} of them can be rewritten with --fix`);
  return `${lines.join("\n")}\n`;
}
