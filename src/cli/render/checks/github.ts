/** A check's report as annotations of a workflow. Source: GitHub docs, "Workflow commands for GitHub Actions". */
import { positionOf } from "../../../parser/position.ts";
import { type CheckReport, linkOf } from "./report.ts";

export function checkGithub({ dockerfile, findings, path }: CheckReport): string {
  return findings
    .map(({ severity, code, message, range, hint }) => {
      const start = positionOf(dockerfile, range.start);
      const end = positionOf(dockerfile, range.end);
      const fields = {
        file: path,
        line: start.line,
        endLine: end.line,
        // Columns are taken on one line only.
        ...(start.line === end.line && { col: start.column, endColumn: end.column }),
        title: code,
      };
      const properties = Object.entries(fields).map(([name, value]) => `${name}=${property(String(value))}`);
      const lines = [message, ...(hint === undefined ? [] : [hint]), ...[linkOf(code) ?? []].flat()];
      return `::${severity} ${properties.join(",")}::${data(lines.join("\n"))}\n`;
    })
    .join("");
}

const data = (text: string): string => text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
const property = (text: string): string => data(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
