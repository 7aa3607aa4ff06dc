import { expect, test } from "vitest";
import type { Instruction } from "../../src/parser/ast.ts";
import { parse } from "../../src/parser/parse.ts";

const parseText = (text: string) => parse(text, { file: "Dockerfile" });
const kinds = (instructions: readonly Instruction[]) => instructions.map((instruction) => instruction.kind);

test("a small file becomes a tree without diagnostics", () => {
  const { dockerfile, diagnostics } = parseText("# escape=\\\nFROM alpine AS Build\nRUN echo hi \\\n  && date\n");
  expect(diagnostics).toEqual([]);
  expect(dockerfile.directives).toMatchObject([{ name: "escape", value: "\\" }]);
  expect(dockerfile.instructions).toMatchObject([
    { kind: "from", image: { raw: "alpine" }, stageName: "build", stageNameText: "Build", asText: "AS" },
    { kind: "run", joined: "RUN echo hi   && date", command: { form: "shell", text: "echo hi   && date" } },
  ]);
});

test("one run reports every problem, in order of place", () => {
  const { dockerfile, diagnostics } = parseText("FROM a\nWORKDIRR /app\nENV x\nCOPY --chwon=1 a b\nRUN fine\n");
  expect(diagnostics.map(({ code, hint }) => [code, hint])).toEqual([
    ["unknown-instruction", "did you mean WORKDIR?"],
    ["pair-without-value", "write ENV x=VALUE"],
    ["unknown-flag", "did you mean --chown?"],
  ]);
  expect(kinds(dockerfile.instructions)).toEqual(["from", "invalid", "invalid", "invalid", "run"]);
});
