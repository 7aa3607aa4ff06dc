/** Findings of checks, line by line: the frame is BuildKit's, the excerpt that of all other messages here. */
import { styleText } from "node:util";
import { pageOf, rules } from "../../../checks/rules.ts";
import type { Diagnostic, Dockerfile } from "../../../parser/ast.ts";
import { whereOf } from "../../../parser/position.ts";
import { excerpt, hintLine, messageLines, place } from "../diagnostic.ts";
import { printable } from "../printable.ts";
import { countText, linkOf } from "./report.ts";

type FileText = Pick<Dockerfile, "text" | "file">;

/** The warnings at the end of a build. */
export function warningLines(
  dockerfile: FileText,
  warnings: readonly Diagnostic[],
  stream: NodeJS.WritableStream,
): readonly string[] {
  const found = styleText("yellow", `${countText(warnings)} found`, { stream });
  return [`${found}:`, ...warnings.flatMap((warning) => ["", ...findingLines(dockerfile, warning, stream)]), ""];
}

export function findingLines(
  dockerfile: FileText,
  finding: Diagnostic,
  stream: NodeJS.WritableStream,
): readonly string[] {
  const { severity, code, message, range, hint } = finding;
  const where = whereOf(dockerfile, range);
  if (severity === "error" || !rules.has(code)) return messageLines({ severity, text: message, where, hint }, stream);
  const link = linkOf(code);
  const title = styleText("yellow", `WARNING: ${code}`, { stream });
  const lines = [
    link === undefined ? title : `${title} - ${link}`,
    printable(message),
    ...(where.kind === "source" ? [place(where).replace(/: $/, ""), ...excerpt(where)] : []),
  ];
  if (hint !== undefined) lines.push(hintLine(hint));
  return [...lines, `   page: ${pageOf(code)}`];
}
