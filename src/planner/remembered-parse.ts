/**
 * A Dockerfile that was parsed before is read back as data: making a lexer and a grammar takes longer than a build that
 * does nothing else. Only what this very parser said is believed, and only files without an error are remembered.
 */
import { sha256 } from "../oci/digest.ts";
import type { ParseResult } from "../parser/ast.ts";
import type { MemoStore } from "../store/store.ts";

/** Digest of the parser's sources, written into the bundle; a working copy has none and parses every time. */
declare const TSBUILD_PARSER_ID: string | undefined;

export async function parseRemembered(
  source: { readonly text: string; readonly file: string },
  memo: MemoStore,
  parserId: string | undefined = ownId(),
): Promise<ParseResult> {
  if (parserId === undefined) return await parseNow(source);
  const name = `parsed/${sha256(JSON.stringify([parserId, source.file, source.text]))}`;
  const known = memo.get(name);
  // Written below, by this version of the program.
  if (known !== undefined) return JSON.parse(known.toString("utf8")) as ParseResult;
  const result = await parseNow(source);
  if (!result.diagnostics.some(({ severity }) => severity === "error"))
    memo.set(name, Buffer.from(JSON.stringify(result)));
  return result;
}

async function parseNow({ text, file }: { readonly text: string; readonly file: string }): Promise<ParseResult> {
  const { parse } = await import("../parser/parse.ts");
  return parse(text, { file });
}

function ownId(): string | undefined {
  return typeof TSBUILD_PARSER_ID === "undefined" ? undefined : TSBUILD_PARSER_ID;
}
