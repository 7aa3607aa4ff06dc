/** COPY and ADD. Source: Dockerfile reference, "ADD" and "COPY". */
import type { Heredoc, Word } from "../ast.ts";
import {
  badChmod,
  checksumOfLocal,
  heredocDestination,
  quoteInPaths,
  type Report,
  tooFewArguments,
  urlInCopy,
  variableInFrom,
} from "../diagnostics.ts";
import { flagBoolean, flagText } from "../flags.ts";
import { parseMarker } from "../heredoc-markers.ts";
import { literalOf } from "../literal.ts";
import { rangeIn } from "../mapped-text.ts";
import { parseWord } from "../word.ts";
import { fileHeredoc } from "./heredoc.ts";
import { type Built, flagWord, type JsonArray, type Line, rangeOf, type Span, textOf, wordOf } from "./line.ts";
import { nearJsonFlaw, warnOfCommand, warnOfPaths } from "./taken-as-text.ts";

export interface PathArguments {
  readonly words: readonly Span[];
  readonly json: { readonly elements: JsonArray; readonly span: Span } | undefined;
}

export function buildCopy(line: Line, args: PathArguments): Built {
  const common = buildCommon(line, args);
  if (common === undefined) return undefined;
  const value = flagText(line.flags, "--from");
  const fromRange = line.flags.get("--from")?.[0]?.range;
  if (value !== undefined && fromRange !== undefined) {
    const word = parseWord(value, 0, value.text.length, { escape: line.escape, quotes: true, report: line.report });
    if (literalOf(word) !== value.text) line.report(variableInFrom("--from", fromRange));
  }
  for (const source of common.sources) {
    const text = literalOf(source);
    if (text !== undefined && isRemote(text)) line.report(urlInCopy(text, source.range));
  }
  return {
    kind: "copy",
    ...line.node,
    ...common,
    ...(value === undefined ? {} : { from: { value: value.text, range: rangeIn(value, 0, value.text.length) } }),
    parents: flagBoolean(line.flags, "--parents") ?? false,
  };
}

export function buildAdd(line: Line, args: PathArguments): Built {
  const common = buildCommon(line, args);
  if (common === undefined) return undefined;
  const checksum = flagWord(line, "--checksum");
  const unpack = flagBoolean(line.flags, "--unpack");
  const [source] = common.sources;
  if (checksum !== undefined) {
    const text = source === undefined ? "" : literalOf(source);
    const one = common.sources.length === 1 && common.heredocs.length === 0;
    if (!one || (text !== undefined && !isRemote(text))) line.report(checksumOfLocal(checksum.range));
  }
  return {
    kind: "add",
    ...line.node,
    ...common,
    keepGitDir: flagBoolean(line.flags, "--keep-git-dir") ?? false,
    ...(checksum === undefined ? {} : { checksum }),
    ...(unpack === undefined ? {} : { unpack }),
  };
}

interface Common {
  readonly sources: readonly Word[];
  readonly destination: Word;
  readonly heredocs: readonly Heredoc[];
  readonly chown?: Word;
  readonly chmod?: Word;
  readonly link: boolean;
  readonly exclude: readonly string[];
}

function buildCommon(line: Line, { words, json }: PathArguments): Common | undefined {
  const sources: Word[] = [];
  const heredocs: Heredoc[] = [];
  let destination: Word | undefined;
  if (json !== undefined) {
    const all = json.elements.map((element) =>
      parseWord(element, 0, element.text.length, { escape: line.escape, quotes: true, report: line.report }),
    );
    destination = all.length < 2 ? undefined : all.pop();
    sources.push(...all);
  } else {
    const split: Line = { ...line, report: splitReport(line, words) };
    // Of two heredocs with one name the last body is it, for both.
    const bodies = new Map(line.heredocs.map((heredoc) => [heredoc.name, heredoc]));
    for (const [index, span] of words.entries()) {
      const last = index === words.length - 1;
      const marker = parseMarker(textOf(line, span), span.start);
      const raw = marker && bodies.get(marker.name);
      if (marker !== undefined && last && words.length > 1)
        line.report(heredocDestination(line.keyword, rangeOf(line, span)));
      else if (marker !== undefined && raw !== undefined) heredocs.push(fileHeredoc(line, { ...raw, ...marker }));
      else if (last) destination = wordOf(split, span);
      else sources.push(wordOf(split, span));
    }
    if (words.length === 0) destination = undefined;
    else if (destination !== undefined) {
      warnOfPaths(line, words);
      for (const word of [...sources, destination]) warnOfCommand(line, word);
    }
    if (words.length > 1 && destination === undefined) return undefined;
  }
  if (destination === undefined || sources.length + heredocs.length === 0) {
    const at = json?.span ?? (words[0] === undefined ? undefined : { start: words[0].start, end: line.span.end });
    return void line.report(
      tooFewArguments(
        line.keyword,
        at === undefined ? line.node.keyword.range : rangeOf(line, at),
        words.length === 1 && at !== undefined ? textOf(line, at) : undefined,
      ),
    );
  }
  const chown = flagWord(line, "--chown");
  const chmod = flagWord(line, "--chmod");
  const mode = chmod === undefined ? undefined : literalOf(chmod);
  if (chmod !== undefined && mode !== undefined && !isMode(mode)) line.report(badChmod(mode, chmod.range));
  return {
    sources,
    destination,
    heredocs,
    ...(chown === undefined ? {} : { chown }),
    ...(chmod === undefined ? {} : { chmod }),
    link: flagBoolean(line.flags, "--link") ?? false,
    exclude: (line.flags.get("--exclude") ?? [])
      .map((use) => use.value?.text ?? "")
      .filter((pattern) => pattern !== ""),
  };
}

/** Of quotes that blanks have cut, one message for the line. */
export function splitReport(line: Line, words: readonly Span[]): Report {
  let told = false;
  return (diagnostic) => {
    const cut = diagnostic.code === "unclosed-quote";
    if (cut && !told) line.report(quoteInPaths(line.keyword, diagnostic, nearJsonFlaw(line, words)));
    else if (!cut) line.report(diagnostic);
    told ||= cut;
  };
}

/** Octal 0 to 07777, or symbolic as chmod(1) has it. */
function isMode(text: string): boolean {
  const octal = /^0*([0-7]{1,4})$/;
  const symbolic = /^[ugoa]*([-+=]([rwxXst]*|[ugo]))+(,[ugoa]*([-+=]([rwxXst]*|[ugo]))+)*$/;
  return octal.test(text) || (text.length < 256 && symbolic.test(text));
}

/** A URL or a git repository. */
const isRemote = (source: string): boolean => /^(https?:\/\/|git:\/\/|ssh:\/\/|git@[^/:]+:)/.test(source);
