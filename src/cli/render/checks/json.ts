/**
 * A check's report as JSON, in the shape of BuildKit's `frontend.lint`, so that tools which read that read this: lines
 * from 1, of the whole instruction. What is more exact stands beside it: `range`, `hint`, `page`, and all `errors`.
 */
import { linesOf } from "../../../checks/place.ts";
import { pageOf, rules } from "../../../checks/rules.ts";
import type { Diagnostic, Dockerfile, Range } from "../../../parser/ast.ts";
import { positionOf } from "../../../parser/position.ts";
import type { CheckReport } from "./report.ts";
import { linkOf } from "./report.ts";

export function checkJson({ dockerfile, findings }: CheckReport): string {
  const errors = findings.filter(({ severity }) => severity === "error");
  const [first] = errors;
  const report = {
    warnings: findings
      .filter(({ severity }) => severity === "warning")
      .map((warning) => ({
        ruleName: warning.code,
        description: rules.get(warning.code)?.description,
        url: linkOf(warning.code),
        detail: warning.message,
        location: locationOf(dockerfile, warning),
        range: rangeJson(dockerfile, warning.range),
        hint: warning.hint,
        page: rules.has(warning.code) ? pageOf(warning.code) : undefined,
      })),
    sources: [sourceJson(dockerfile)],
    buildError: first && { message: first.message, location: locationOf(dockerfile, first) },
    errors:
      first &&
      errors.map((error) => ({
        code: error.code,
        message: error.message,
        location: locationOf(dockerfile, error),
        range: rangeJson(dockerfile, error.range),
        hint: error.hint,
      })),
  };
  return `${JSON.stringify(report, undefined, 2)}\n`;
}

function locationOf(dockerfile: Dockerfile, finding: Diagnostic): unknown {
  const { start, end } = linesOf(dockerfile, finding);
  return { ranges: [{ start: { line: start }, end: { line: end } }] };
}

/** Columns from 1, in UTF-16 units; the end is exclusive. */
function rangeJson(dockerfile: Dockerfile, { start, end }: Range): unknown {
  return { start: positionOf(dockerfile, start), end: positionOf(dockerfile, end) };
}

function sourceJson({ file, text }: Dockerfile): unknown {
  return { filename: file, language: "Dockerfile", data: Buffer.from(text).toString("base64") };
}
