// What is said about each mistake, word for word, in a document to be read as its reader would.
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { diagnosticLines } from "../../src/cli/render/diagnostic.ts";
import { withReferences } from "../../src/planner/problems.ts";
import { mistakes } from "./mistakes.ts";
import { parseText } from "./parsed.ts";

const said = (row: string): string => {
  const text = row.replaceAll("⏎", "\n");
  const { dockerfile, diagnostics } = withReferences(parseText(text));
  return diagnosticLines(dockerfile, diagnostics, new PassThrough()).join("\n");
};

test("each mistake is answered as the catalogue has it", async () => {
  const document = mistakes.map((row) => `=== ${row}\n\n${said(row)}\n`).join("\n");
  await expect(document).toMatchFileSnapshot("../../fixtures/dockerfiles/mistakes.txt");
});
