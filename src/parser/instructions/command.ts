/**
 * CMD, ENTRYPOINT, SHELL, and the command that RUN and HEALTHCHECK share with them.
 * Source: Dockerfile reference, "Shell and exec form".
 */
import type { Command, Heredoc } from "../ast.ts";
import { nearJson, needsJson } from "../diagnostics.ts";
import { jsonNearMiss } from "../json-near-miss.ts";
import { rangeIn } from "../mapped-text.ts";
import { type Built, type JsonArray, type Line, rangeOf, type Span, textOf } from "./line.ts";

export interface CommandArguments {
  readonly json: { readonly elements: JsonArray; readonly span: Span } | undefined;
  readonly text: Span | undefined;
}

export function commandOf(line: Line, { json, text }: CommandArguments, heredocs: readonly Heredoc[]): Command {
  if (json !== undefined) {
    return { form: "exec", argv: json.elements.map((element) => element.text), range: rangeOf(line, json.span) };
  }
  if (text !== undefined) warnNearJson(line, text);
  if (text !== undefined) return { form: "shell", text: textOf(line, text), heredocs, range: rangeOf(line, text) };
  return { form: "shell", text: "", heredocs, range: rangeIn(line.joined, line.span.end, line.span.end) };
}

function warnNearJson(line: Line, text: Span): void {
  const written = textOf(line, text);
  const flaw = jsonNearMiss(written);
  if (flaw !== undefined) line.report(nearJson(line.keyword, flaw, rangeOf(line, text)));
}

export const buildCmd = (line: Line, args: CommandArguments): Built => ({
  kind: "cmd",
  ...line.node,
  command: commandOf(line, args, []),
});

export const buildEntrypoint = (line: Line, args: CommandArguments): Built => ({
  kind: "entrypoint",
  ...line.node,
  command: commandOf(line, args, []),
});

export function buildShell(line: Line, { json, text }: CommandArguments): Built {
  const argv = json?.elements.map((element) => element.text) ?? [];
  if (argv.length > 0) return { kind: "shell", ...line.node, argv };
  const span = json?.span ?? text;
  // Quotes, brackets and commas are what was wrong; the words are what was meant.
  const words =
    text === undefined
      ? []
      : textOf(line, text)
          .split(/[\s,'"[\]]+/)
          .filter((word) => word !== "");
  const range = span === undefined ? line.node.keyword.range : rangeOf(line, span);
  return void line.report(needsJson("SHELL", range, words.length > 0 && words.length < 8 ? words : ["/bin/sh", "-c"]));
}
