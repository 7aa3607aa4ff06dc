/**
 * `--fix`: edits by range, for warnings that another way of writing the same settles. What a file means is compared
 * before and after, and an edit that would change it is not made.
 */
import type {
  Diagnostic,
  Dockerfile,
  FromInstruction,
  Instruction,
  Modifier,
  Pair,
  Range,
  Word,
} from "../parser/ast.ts";
import { parse } from "../parser/parse.ts";
import { meaningOf } from "../parser/same-meaning.ts";
import { instructionAt } from "./check-dockerfile.ts";
import { keywordLines, majorityCase } from "./rules/casing.ts";

/** `text` in place of what stands in `range`. */
export interface Edit {
  readonly range: Range;
  readonly text: string;
}

/** A warning, and what settles it. */
export interface Fix {
  readonly warning: Diagnostic;
  readonly edits: readonly Edit[];
}

export interface Fixed {
  readonly text: string;
  /** Of the warnings given, in their order. */
  readonly fixed: readonly Diagnostic[];
}

/** The text with all that can be mended, and nothing else changed. */
export function fixWarnings(dockerfile: Dockerfile, warnings: readonly Diagnostic[]): Fixed {
  const fixes = fixesOf(dockerfile, warnings);
  const text = applyEdits(
    dockerfile.text,
    fixes.flatMap(({ edits }) => edits),
  );
  return { text, fixed: fixes.map(({ warning }) => warning) };
}

/** Of the warnings that can be mended, in their order. All of them can be made at once, or any of them. */
export function fixesOf(dockerfile: Dockerfile, warnings: readonly Diagnostic[]): readonly Fix[] {
  const proposed = warnings.flatMap((warning): Fix[] => {
    const edits = editsFor(warning, dockerfile, warnings);
    return edits === undefined || edits.length === 0 ? [] : [{ warning, edits }];
  });
  if (proposed.length === 0) return [];
  const meaning = meaningOfText(dockerfile.text);
  const keeps = (fixes: readonly Fix[]): boolean =>
    meaningOfText(
      applyEdits(
        dockerfile.text,
        fixes.flatMap(({ edits }) => edits),
      ),
    ) === meaning;
  // One by one only where together they do not fit: it parses the file as often.
  if (keeps(proposed)) return proposed;
  const kept = proposed.filter((fix) => keeps([fix]));
  return keeps(kept) ? kept : [];
}

/** The same edit for two warnings is made once. */
function applyEdits(text: string, edits: readonly Edit[]): string {
  const ordered = edits.toSorted((a, b) => a.range.start - b.range.start || a.range.end - b.range.end);
  let result = "";
  let at = 0;
  for (const { range, text: replacement } of ordered) {
    if (range.start < at || (range.start === at && range.end === at && at > 0)) continue;
    result += text.slice(at, range.start) + replacement;
    at = range.end;
  }
  return result + text.slice(at);
}

/** Undefined for what only a person can decide. */
function editsFor(
  { code, range }: Diagnostic,
  dockerfile: Dockerfile,
  warnings: readonly Diagnostic[],
): readonly Edit[] | undefined {
  const line = instructionAt(dockerfile.instructions, range);
  if (line === undefined) return undefined;
  switch (code) {
    case "ConsistentInstructionCasing":
      return line.kind === "from" ? fromCase(line, dockerfile, true) : keywordCase(line, dockerfile);
    case "FromAsCasing": {
      const isKeyword = (other: Diagnostic): boolean =>
        other.code === "ConsistentInstructionCasing" && other.range.start === line.keyword.range.start;
      return line.kind === "from" ? fromCase(line, dockerfile, warnings.some(isKeyword)) : undefined;
    }
    case "StageNameCasing":
      return line.kind === "from" ? stageName(line, dockerfile) : undefined;
    case "LegacyKeyValueFormat":
      return line.kind === "env" || line.kind === "label"
        ? line.pairs.flatMap((pair) => pairWithEquals(pair, line.keyword.text, dockerfile) ?? [])
        : undefined;
    case "NoEmptyContinuation":
      return emptyLines(line, range, dockerfile);
    case "ExposeProtoCasing":
      return line.kind === "expose" ? line.ports.flatMap((port) => lowerProtocol(port, range, dockerfile)) : undefined;
    case "RedundantTargetPlatform":
      return line.kind === "from" ? withoutPlatform(line, dockerfile) : undefined;
    default:
      return undefined;
  }
}

const written = ({ text }: Dockerfile, { start, end }: Range): string => text.slice(start, end);

/** Undefined where something stands between the characters: a continuation. */
function replace(dockerfile: Dockerfile, range: Range, from: string, to: string): readonly Edit[] | undefined {
  return written(dockerfile, range) === from ? [{ range, text: to }] : undefined;
}

// Casing -----------------------------------------------------------------------------------------------------------

function keywordCase({ keyword }: Instruction, dockerfile: Dockerfile): readonly Edit[] | undefined {
  return replace(dockerfile, keyword.range, keyword.text, wantedCase(keyword.text, dockerfile));
}

function wantedCase(text: string, { instructions }: Dockerfile): string {
  return majorityCase(keywordLines(instructions)) === "lowercase" ? text.toLowerCase() : text.toUpperCase();
}

/** AS goes with FROM. `both`: FROM itself is to be changed. */
function fromCase(line: FromInstruction, dockerfile: Dockerfile, both: boolean): readonly Edit[] | undefined {
  const { asText, asRange, keyword } = line;
  const edits = both ? keywordCase(line, dockerfile) : [];
  if (asText === undefined || asRange === undefined || edits === undefined) return edits;
  const from = both ? wantedCase(keyword.text, dockerfile) : keyword.text;
  const as = from === from.toLowerCase() ? asText.toLowerCase() : asText.toUpperCase();
  const more = as === asText ? [] : replace(dockerfile, asRange, asText, as);
  return more && [...edits, ...more];
}

function stageName(line: FromInstruction, dockerfile: Dockerfile): readonly Edit[] | undefined {
  const { stageName: name, stageNameText, stageNameRange } = line;
  if (name === undefined || stageNameText === undefined || stageNameRange === undefined) return undefined;
  const edits = replace(dockerfile, stageNameRange, stageNameText, name);
  const references = dockerfile.instructions.map((other) => referenceEdits(other, name, dockerfile));
  if (edits === undefined || references.some((each) => each === undefined)) return undefined;
  return [...edits, ...references.flatMap((each) => each ?? [])];
}

/** Undefined when a reference cannot be rewritten. */
function referenceEdits(line: Instruction, name: string, dockerfile: Dockerfile): readonly Edit[] | undefined {
  const isOther = (value: string | undefined): value is string => value !== name && value?.toLowerCase() === name;
  if (line.kind === "copy" && line.from !== undefined && isOther(line.from.value))
    return replace(dockerfile, line.from.range, line.from.value, name);
  if (line.kind !== "run") return [];
  const edits: Edit[] = [];
  for (const { from, range } of line.mounts) {
    if (!isOther(from)) continue;
    const parts = written(dockerfile, range).split(`from=${from}`);
    if (parts.length !== 2) return undefined;
    const start = range.start + (parts[0]?.length ?? 0) + "from=".length;
    edits.push({ range: { start, end: start + from.length }, text: name });
  }
  return edits;
}

// Arguments --------------------------------------------------------------------------------------------------------

/** The first way of writing it that says the same: as it stands, in quotes, in quotes with escapes. */
function pairWithEquals(pair: Pair, keyword: string, dockerfile: Dockerfile): readonly Edit[] | undefined {
  const { legacy, key, value, range } = pair;
  const text = written(dockerfile, range);
  // A continuation between them, or a comment, has no place in a pair.
  if (!legacy || !text.startsWith(key.raw) || !text.endsWith(value.raw)) return undefined;
  if (text.slice(key.raw.length, text.length - value.raw.length).trim() !== "") return undefined;
  const plain = /["']/.test(value.raw) ? [] : [`"${value.raw}"`];
  const values = [value.raw, ...plain, quotedValue(value, dockerfile)];
  const wanted = JSON.stringify([wordMeaning(key), wordMeaning(value)]);
  for (const each of values) {
    const rewritten = `${key.raw}=${each}`;
    if (pairMeaning(`${keyword} ${rewritten}`, dockerfile) === wanted) return [{ range, text: rewritten }];
  }
  return undefined;
}

/** What an instruction with one pair says; undefined for any other. */
function pairMeaning(line: string, { escape: escaper }: Dockerfile): string | undefined {
  const directive = escaper === "`" ? "# escape=`\n" : "";
  const { dockerfile, diagnostics } = parse(`${directive}FROM scratch\n${line}\n`, { file: "" });
  const [, instruction, more] = dockerfile.instructions;
  if (diagnostics.some(({ severity }) => severity === "error") || more !== undefined) return undefined;
  if (instruction?.kind !== "env" && instruction?.kind !== "label") return undefined;
  const [pair, another] = instruction.pairs;
  if (pair === undefined || another !== undefined || pair.legacy) return undefined;
  return JSON.stringify([wordMeaning(pair.key), wordMeaning(pair.value)]);
}

/** Variables as they are written, everything else literally. */
function quotedValue({ parts }: Word, dockerfile: Dockerfile): string {
  const escaped = parts.map((part) =>
    part.kind === "variable"
      ? written(dockerfile, part.range)
      : part.value.replace(/["$\\`]/g, (one) =>
          /["$]/.test(one) || one === dockerfile.escape ? dockerfile.escape + one : one,
        ),
  );
  return `"${escaped.join("")}"`;
}

/** Each line with nothing on it between the lines of an instruction; in a heredoc it is part of the text. */
function emptyLines(line: Instruction, range: Range, dockerfile: Dockerfile): readonly Edit[] {
  const { text } = dockerfile;
  const end = Math.min(Math.max(line.range.end, range.end + 1), ...heredocStarts(line));
  const edits: Edit[] = [];
  for (let start = line.range.start; start < end; ) {
    const feed = text.indexOf("\n", start);
    const next = feed === -1 ? text.length : feed + 1;
    if (text.slice(start, next).trim() === "") edits.push({ range: { start, end: next }, text: "" });
    start = next;
  }
  return edits;
}

function heredocStarts(line: Instruction): readonly number[] {
  if (line.kind === "copy" || line.kind === "add") return line.heredocs.map(({ bodyRange }) => bodyRange.start);
  if (line.kind !== "run" || line.command.form === "exec") return [];
  return line.command.heredocs.map(({ bodyRange }) => bodyRange.start);
}

function lowerProtocol(port: Word, { start }: Range, dockerfile: Dockerfile): readonly Edit[] {
  if (port.range.start !== start || port.parts.some(({ kind }) => kind === "variable")) return [];
  return replace(dockerfile, port.range, port.raw, port.raw.toLowerCase()) ?? [];
}

function withoutPlatform({ platform }: FromInstruction, dockerfile: Dockerfile): readonly Edit[] | undefined {
  const flag = "--platform=";
  if (platform === undefined || written(dockerfile, platform.range) !== platform.raw) return undefined;
  // With a default of its own the name means something else on another machine.
  const redefined = dockerfile.instructions.some(
    ({ kind, ...line }) => kind === "arg" && "args" in line && line.args.some(({ name }) => name === "TARGETPLATFORM"),
  );
  if (redefined) return undefined;
  const start = platform.range.start - flag.length;
  if (!dockerfile.text.startsWith(flag, start)) return undefined;
  let { end } = platform.range;
  while (dockerfile.text[end] === " " || dockerfile.text[end] === "\t") end++;
  return [{ range: { start, end }, text: "" }];
}

// Meaning ----------------------------------------------------------------------------------------------------------

/** Lines with an error mean what is wrong with them. */
function meaningOfText(text: string): string {
  const { dockerfile, diagnostics } = parse(text, { file: "" });
  const errors = diagnostics.filter(({ severity }) => severity === "error").map(({ message }) => message);
  return JSON.stringify([meaningOfFile(dockerfile), errors]);
}

/** Of a whole file, without the ways of writing that are rewritten here. */
function meaningOfFile(dockerfile: Dockerfile): string {
  const instructions = dockerfile.instructions.map((line) => {
    switch (line.kind) {
      case "env":
      case "label":
        return { ...line, pairs: line.pairs.map(({ key, value }) => [wordMeaning(key), wordMeaning(value)]) };
      case "expose": {
        // They are taken in the order of their bytes, as they are written.
        const ports = line.ports.map(({ raw }) => Buffer.from(raw)).sort(Buffer.compare);
        return { ...line, ports: ports.map((port) => port.toString().toLowerCase()) };
      }
      case "from": {
        const { stageNameText: _, platform, ...from } = line;
        return platform === undefined || isTargetPlatform(platform) ? from : { ...from, platform };
      }
      case "copy":
        return line.from === undefined ? line : { ...line, from: line.from.value.toLowerCase() };
      case "run":
        return { ...line, mounts: line.mounts.map((mount) => ({ ...mount, from: mount.from?.toLowerCase() })) };
      case "invalid":
        return { ...line, text: line.joined };
      default:
        return line;
    }
  });
  // A text for comparing: its shape is nobody's business.
  return meaningOf({ ...dockerfile, instructions: instructions as unknown as readonly Instruction[] });
}

/** In ENV and LABEL a blank never splits a value, so quotes mean nothing once they are taken apart. */
function wordMeaning({ parts }: Word): readonly unknown[] {
  const meaning: unknown[] = [];
  for (const part of parts) {
    const last = meaning.at(-1);
    if (part.kind === "variable") meaning.push([part.name, modifierMeaning(part.modifier)]);
    else if (typeof last === "string") meaning[meaning.length - 1] = last + part.value;
    else meaning.push(part.value);
  }
  return meaning;
}

function modifierMeaning(modifier: Modifier | undefined): readonly unknown[] | undefined {
  switch (modifier?.kind) {
    case undefined:
      return undefined;
    case "default":
      return [modifier.operator, wordMeaning(modifier.word)];
    case "remove":
      return [modifier.operator, wordMeaning(modifier.pattern)];
    case "replace":
      return [modifier.operator, wordMeaning(modifier.pattern), wordMeaning(modifier.replacement)];
  }
}

function isTargetPlatform({ parts }: Word): boolean {
  const [part, more] = parts;
  return more === undefined && part?.kind === "variable" && part.name === "TARGETPLATFORM" && !part.modifier;
}
