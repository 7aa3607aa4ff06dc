/** A check's report for code scanning. Source: OASIS, "Static Analysis Results Interchange Format 2.1.0". */
import { readFileSync } from "node:fs";
import { type Edit, fixesOf } from "../../../checks/fix.ts";
import { rules } from "../../../checks/rules.ts";
import type { Diagnostic, Dockerfile, Range } from "../../../parser/ast.ts";
import { positionOf } from "../../../parser/position.ts";
import { versionInfo } from "../../version-info.ts";
import { type CheckReport, linkOf, pagePath } from "./report.ts";

export function checkSarif({ dockerfile, findings, path }: CheckReport): string {
  const ids = [...new Set(findings.map(({ code }) => code))].sort();
  const warnings = findings.filter(({ severity }) => severity === "warning");
  const fixes = new Map(fixesOf(dockerfile, warnings).map(({ warning, edits }) => [warning, edits]));
  const log = {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [
      {
        tool: {
          driver: { name: "tsbuild", version: versionInfo().version, rules: ids.map((id) => ruleOf(id, findings)) },
        },
        // Offsets here are UTF-16 units, too.
        columnKind: "utf16CodeUnits",
        results: findings.map((finding) => resultOf(dockerfile, finding, { ids, path, edits: fixes.get(finding) })),
      },
    ],
  };
  return `${JSON.stringify(log, undefined, 2)}\n`;
}

/** An error's code is a rule, too: a result has to name one. */
function ruleOf(id: string, findings: readonly Diagnostic[]): unknown {
  const rule = rules.get(id);
  const example = findings.find(({ code }) => code === id);
  const path = rule === undefined ? undefined : pagePath(id);
  const description = rule?.description ?? example?.message ?? id;
  return {
    id,
    shortDescription: { text: description },
    defaultConfiguration: { level: example?.severity ?? "warning" },
    ...(rule !== undefined && { helpUri: linkOf(id) }),
    ...(path !== undefined && { help: { text: description, markdown: readFileSync(path, "utf8") } }),
  };
}

interface ResultContext {
  readonly ids: readonly string[];
  readonly path: string;
  /** What `--fix` would do about it. */
  readonly edits: readonly Edit[] | undefined;
}

function resultOf(dockerfile: Dockerfile, finding: Diagnostic, { ids, path, edits }: ResultContext): unknown {
  const { code, severity, message, hint, range } = finding;
  const artifactLocation = { uri: uriOf(path), uriBaseId: "%SRCROOT%" };
  return {
    ruleId: code,
    ruleIndex: ids.indexOf(code),
    level: severity,
    message: { text: hint === undefined ? message : `${message}\n${hint}` },
    locations: [{ physicalLocation: { artifactLocation, region: regionOf(dockerfile, range) } }],
    ...(edits !== undefined && {
      fixes: [
        {
          description: { text: "as check --fix writes it" },
          artifactChanges: [
            {
              artifactLocation,
              replacements: edits.map((edit) => ({
                deletedRegion: regionOf(dockerfile, edit.range),
                insertedContent: { text: edit.text },
              })),
            },
          ],
        },
      ],
    }),
  };
}

function regionOf(dockerfile: Dockerfile, range: Range): unknown {
  const start = positionOf(dockerfile, range.start);
  const end = positionOf(dockerfile, Math.max(range.start, range.end));
  return { startLine: start.line, startColumn: start.column, endLine: end.line, endColumn: end.column };
}

/** Relative to where the sources are. */
function uriOf(file: string): string {
  return file.split("/").map(encodeURIComponent).join("/");
}
