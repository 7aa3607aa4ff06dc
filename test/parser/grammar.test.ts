// What is switched off outside of tests for speed is checked here.
import { readFileSync } from "node:fs";
import { generateCstDts } from "@chevrotain/cst-dts-gen";
import { expect, test } from "vitest";
import { checkedGrammar, parseTokens } from "../../src/parser/grammar.ts";
import { createLexer, lexerFor } from "../../src/parser/tokens.ts";

test.for(["\\", "`"] as const)("the lexer for %s is valid and fully optimised", (escaper) => {
  const lexer = createLexer(escaper, { skipValidations: false, ensureOptimizations: true });
  expect(lexer.lexerDefinitionErrors).toEqual([]);
  expect(lexerFor(escaper)).toBe(lexerFor(escaper));
});

test("the grammar is unambiguous with one token of lookahead", () => {
  expect(() => checkedGrammar()).not.toThrow();
});

test("the types of the concrete tree are those of the grammar", () => {
  const written = readFileSync(new URL("../../src/parser/cst.ts", import.meta.url), "utf8");
  const bare = (text: string) =>
    text
      .replace(/^\/\/.*$/gm, "")
      .replace(/[\s;]+/g, " ")
      .trim();
  expect(bare(written)).toBe(bare(generateCstDts(checkedGrammar().getGAstProductions())));
});

test("every text has tokens: no mode meets a character that it does not know", () => {
  const characters = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).filter(
    (character) => character !== "\n",
  );
  const strange = [...characters, "\u2028", "\ufeff", "\ud800", "😀", "\uffff"];
  const heads = [
    "",
    "FROM ",
    "EXPOSE ",
    "COPY ",
    "ARG ",
    "ENV ",
    "ENV a ",
    "ENV a=",
    "RUN ",
    'RUN ["',
    "USER ",
    "FOO ",
    "HEALTHCHECK ",
    "HEALTHCHECK CMD ",
    "ONBUILD ",
    "ONBUILD ONBUILD ",
  ];
  for (const head of heads) {
    for (const character of strange) {
      const { errors, tokens } = lexerFor("\\").tokenize(`${head}${character}\nUSER x\n`);
      expect({ head, character, errors }).toEqual({ head, character, errors: [] });
      expect(tokens.at(-2)?.image).toBe("x");
    }
  }
});

test("recovery goes on behind the end of the line", () => {
  const { cst, errors } = parseTokens(lexerFor("\\").tokenize("FROM\nFROM a AS\nUSER x\n").tokens);
  expect(errors).toHaveLength(2);
  expect(cst.children["instruction"]).toHaveLength(3);
});
