/**
 * The concrete syntax tree to nodes: one builder an instruction, in `instructions/`. Reports what the grammar lets
 * pass.
 */
import type { CstNode, IToken } from "chevrotain";
import { assertNever } from "../errors.ts";
import { nearestWord } from "../nearest-word.ts";
import type { Diagnostic, Instruction } from "./ast.ts";
import type {
  CommandCstNode,
  DockerfileCstNode,
  FlagsCstNode,
  InstructionCstNode,
  JsonArrayCstNode,
  OnbuildCstNode,
  TriggerCstNode,
} from "./cst.ts";
import {
  badTrigger,
  invisibleCharacter,
  notStrings,
  type Report,
  strayLine,
  unknownInstruction,
  unreadable,
} from "./diagnostics.ts";
import { unquotedFlag } from "./flag-words.ts";
import { type Flags, readFlags } from "./flags.ts";
import type { GrammarError } from "./grammar.ts";
import { type InstructionKind, instructionKinds, instructionMeant, instructionRow } from "./instruction-table.ts";
import { buildCmd, buildEntrypoint, buildShell, type CommandArguments } from "./instructions/command.ts";
import { buildAdd, buildCopy, type PathArguments } from "./instructions/copy.ts";
import { buildFrom } from "./instructions/from.ts";
import { buildHealthcheck } from "./instructions/healthcheck.ts";
import { type Built, type Line, rangeOf, reportMissing, type Span, spanOf } from "./instructions/line.ts";
import { buildArg, buildEnv, buildLabel } from "./instructions/pairs.ts";
import { buildRun } from "./instructions/run.ts";
import { buildMaintainer, buildStopsignal, buildUser, buildWorkdir } from "./instructions/text.ts";
import { buildExpose, buildVolume } from "./instructions/words.ts";
import { jsonString } from "./json-strings.ts";
import type { LogicalLine, LogicalLines } from "./logical-lines.ts";
import { rangeIn } from "./mapped-text.ts";

/** One node for each line, in order. */
export function buildInstructions(
  cst: CstNode,
  errors: readonly GrammarError[],
  { joined, lines, escape: escaper }: LogicalLines,
  report: Report,
): readonly Instruction[] {
  const nodes = new Map<number, InstructionCstNode>();
  for (const node of (cst as DockerfileCstNode).children.instruction ?? []) {
    const keyword = keywordIn(node);
    if (keyword !== undefined) nodes.set(keyword.startOffset, node);
  }
  const recovered = new Map(errors.map((error) => [lineAt(lines, error.token, error.previous)?.start, error]));
  return lines.map((line) => {
    let failed = line.broken;
    const warnings: Diagnostic[] = [];
    const reportHere: Report = (diagnostic) => {
      failed ||= diagnostic.severity === "error";
      if (diagnostic.severity === "error") report(diagnostic);
      else warnings.push(diagnostic);
    };
    const node = nodes.get(line.start);
    const keyword = node === undefined ? undefined : keywordIn(node);
    const end = keyword === undefined ? wordEnd(joined.text, line.start, line.end) : spanOf(keyword).end;
    const text = joined.text.slice(line.start, end);
    const context: Line = {
      node: {
        range: line.range,
        keyword: { text, range: rangeIn(joined, line.start, end) },
        ...(line.doc.length === 0 ? {} : { doc: line.doc.join("\n") }),
        joined: joined.text.slice(line.start, line.end),
      },
      keyword: text.toUpperCase(),
      joined,
      escape: escaper,
      heredocs: line.heredocs,
      flags: new Map(),
      span: { start: line.start, end: line.end },
      trailing: line.trailing,
      report: reportHere,
    };
    const built = node === undefined ? undefined : buildInstruction(node, context);
    if (!failed) {
      const error = recovered.get(line.start);
      if (error !== undefined || built === undefined)
        reportHere(unreadable(context.keyword, errorRange(context, error)));
    }
    // What a line that is wrong means is not known: its warnings would be about what it does not say.
    if (!failed) for (const warning of warnings) report(warning);
    return built === undefined || failed ? { kind: "invalid", ...context.node } : built;
  });
}

/** The line that holds one of the tokens; the token at the end of the text has no place. */
function lineAt(lines: readonly LogicalLine[], ...tokens: readonly (IToken | undefined)[]): LogicalLine | undefined {
  for (const token of tokens) {
    if (token === undefined || !(token.startOffset >= 0)) continue;
    let low = 0;
    let high = lines.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((lines[middle]?.start ?? 0) <= token.startOffset) low = middle;
      else high = middle - 1;
    }
    return lines[low];
  }
  return undefined;
}

function errorRange(line: Line, error: GrammarError | undefined): Line["node"]["range"] {
  const token = error?.token;
  return token === undefined || !(token.startOffset >= 0) ? line.node.range : rangeOf(line, spanOf(token));
}

function wordEnd(text: string, start: number, end: number): number {
  const length = text.slice(start, end).search(/[\t\v\f\r ]/);
  return length === -1 ? end : start + length;
}

// Which rule it was ------------------------------------------------------------------------------------------------

type FormNode = NonNullable<TriggerCstNode["children"][keyof TriggerCstNode["children"]]>[number];

function formIn(node: TriggerCstNode | undefined): FormNode | undefined {
  const [form] = Object.values(node?.children ?? {});
  return form?.[0];
}

function keywordIn(node: InstructionCstNode): IToken | undefined {
  const onbuild = node.children.onbuild?.[0];
  if (onbuild !== undefined) return onbuild.children.OnbuildKeyword?.[0];
  const form = formIn(node.children.trigger?.[0]);
  return form === undefined ? undefined : formKeyword(form);
}

function formKeyword(form: FormNode): IToken | undefined {
  switch (form.name) {
    case "commandLine":
      return form.children.CommandKeyword?.[0];
    case "paths":
      return form.children.PathsKeyword?.[0];
    case "pairs":
      return form.children.PairsKeyword?.[0];
    case "names":
      return form.children.NamesKeyword?.[0];
    case "from":
      return form.children.FromKeyword?.[0];
    case "text":
      return form.children.TextKeyword?.[0];
    case "words":
      return form.children.WordsKeyword?.[0];
    case "healthcheck":
      return form.children.HealthcheckKeyword?.[0];
    case "unknown":
      return form.children.UnknownKeyword?.[0];
    default:
      return assertNever(form);
  }
}

function buildInstruction(node: InstructionCstNode, line: Line): Built {
  const onbuild = node.children.onbuild?.[0];
  if (onbuild !== undefined) return buildOnbuild(onbuild, line);
  const form = formIn(node.children.trigger?.[0]);
  return form === undefined ? undefined : buildForm(form, line);
}

function buildForm(form: FormNode, line: Line): Built {
  if (form.name === "unknown") {
    const names = instructionKinds.map((kind) => kind.toUpperCase());
    const { text, range } = line.node.keyword;
    const invisible = invisibleIn(text);
    if (invisible !== undefined) return void line.report(invisibleCharacter(visible(text), range, invisible));
    const hint = instructionMeant(line.keyword, nearestWord(line.keyword, names));
    if (hint !== undefined) return void line.report(unknownInstruction(text, range, hint));
    const context = { names, escape: line.escape, first: line.span.start === 0, terminator: isLostTerminator(line) };
    return void line.report(strayLine(text, range, context));
  }
  // The keyword is one that the lexer found in the table.
  const kind = line.keyword.toLowerCase() as InstructionKind;
  let lacksValue = false;
  const report: Report = (diagnostic) => {
    lacksValue ||= diagnostic.code === "flag-needs-value";
    // The value that a flag lacks stands among the arguments, where it is one too many.
    if (!lacksValue || !countsArguments.has(diagnostic.code)) line.report(diagnostic);
  };
  const flags = flagsOf(form, { ...line, report });
  return buildKind(kind, form, { ...line, report, flags });
}

const countsArguments: ReadonlySet<string> = new Set(["from-arguments", "healthcheck-type", "missing-argument"]);

/** No-break and other blanks that separate nothing, and characters that nobody sees. */
const unseen = /[\u00a0\u00ad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]/g;

const nameOf = (character: string): string =>
  `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;

const visible = (text: string): string => text.replace(unseen, (character) => `<${nameOf(character)}>`);

function invisibleIn(text: string): string | undefined {
  const [character] = text.match(unseen) ?? [];
  if (character === undefined) return undefined;
  return text.startsWith(character)
    ? `remove the invisible character ${nameOf(character)} in front of it`
    : `${nameOf(character)} is no blank that separates words: write an ordinary one`;
}

/** How far above a marker is looked for, so that many such lines cost no more than their number. */
const MARKER_DISTANCE = 4096;

/** The line is one word, and above it stands `<<` with this word, which started no heredoc. */
function isLostTerminator({ joined: { text }, span, node }: Line): boolean {
  const word = node.keyword.text;
  if (span.end - span.start !== word.length || word.length > 64) return false;
  const above = text.slice(Math.max(0, span.start - MARKER_DISTANCE), span.start);
  return above.includes("<<") && ["", "-", "'", '"', "-'", '-"'].some((mark) => above.includes(`<<${mark}${word}`));
}

function flagsOf(form: Exclude<FormNode, { name: "unknown" }>, line: Line): Flags {
  const row = instructionRow(line.keyword);
  const ignored = form.name === "healthcheck" && form.children.CheckType?.[0]?.image.toUpperCase() === "NONE";
  return row === undefined || ignored ? new Map() : flagsIn(form.children.flags?.[0], line, row);
}

function flagsIn(node: FlagsCstNode | undefined, line: Line, row: Parameters<typeof readFlags>[1]): Flags {
  const words = (node?.children.Flag ?? []).map((token) => {
    const span = spanOf(token);
    return { word: unquotedFlag(line.joined, span.start, span.end, line.escape), range: rangeOf(line, span) };
  });
  const last = node?.children.Flag?.at(-1);
  const behind = last === undefined ? "" : line.joined.text.slice(spanOf(last).end, line.span.end);
  // `--chown = x`, too.
  const [next, ...more] = behind.replace(/^[\t ]+=?[\t ]*/, "").split(/[\t ]+/, 4);
  // As many as the instruction needs are its own.
  const own = row.form === "from" ? 1 : row.form === "paths" ? 2 : row.form === "command" ? 1 : 0;
  const isValue =
    next !== undefined &&
    next !== "" &&
    more.length >= own &&
    !(row.form === "healthcheck" && /^(?:cmd|none)$/i.test(next));
  return readFlags(line.keyword, row, { words, next: isValue ? next : undefined }, line.report);
}

function buildKind(kind: InstructionKind, form: FormNode, line: Line): Built {
  switch (kind) {
    case "add":
      return buildAdd(line, pathsIn(form, line));
    case "arg":
      return buildArg(line, spansIn(form));
    case "cmd":
      return buildCmd(line, commandIn(form, line));
    case "copy":
      return buildCopy(line, pathsIn(form, line));
    case "entrypoint":
      return buildEntrypoint(line, commandIn(form, line));
    case "env":
      return buildEnv(line, pairsIn(form));
    case "expose":
      return buildExpose(line, spansIn(form));
    case "from": {
      if (form.name !== "from") return undefined;
      const { image, As, stage, surplus } = form.children;
      return buildFrom(line, { image: image?.[0], as: As?.[0], stage: stage?.[0], surplus: surplus ?? [] });
    }
    case "healthcheck": {
      const type = form.name === "healthcheck" ? form.children.CheckType?.[0] : undefined;
      return buildHealthcheck(line, { ...commandIn(form, line), type: type && spanOf(type) });
    }
    case "label":
      return buildLabel(line, pairsIn(form));
    case "maintainer":
      return buildMaintainer(line, textIn(form));
    case "onbuild":
      return undefined;
    case "run":
      return buildRun(line, commandIn(form, line));
    case "shell":
      return buildShell(line, commandIn(form, line));
    case "stopsignal":
      return buildStopsignal(line, textIn(form));
    case "user":
      return buildUser(line, textIn(form));
    case "volume":
      return buildVolume(line, pathsIn(form, line));
    case "workdir":
      return buildWorkdir(line, textIn(form));
    default:
      return assertNever(kind);
  }
}

// Arguments of each form -------------------------------------------------------------------------------------------

function spansIn(form: FormNode): readonly Span[] {
  const tokens = form.name === "words" ? form.children.Word : form.name === "names" ? form.children.PairWord : [];
  return (tokens ?? []).map(spanOf);
}

function pathsIn(form: FormNode, line: Line): PathArguments {
  if (form.name !== "paths") return { words: [], json: undefined };
  return { words: (form.children.Word ?? []).map(spanOf), json: arrayIn(form.children.jsonArray?.[0], line) };
}

function pairsIn(form: FormNode): Parameters<typeof buildEnv>[1] {
  if (form.name !== "pairs") return { words: [] };
  const { LegacyName, LegacyValue, PairWord } = form.children;
  const words = (PairWord ?? []).map(spanOf);
  const name = LegacyName?.[0];
  const value = LegacyValue?.[0];
  return name === undefined ? { words } : { words, legacy: { name: spanOf(name), value: value && spanOf(value) } };
}

function textIn(form: FormNode): Span | undefined {
  const token = form.name === "text" ? form.children.Text?.[0] : undefined;
  return token && spanOf(token);
}

function commandIn(form: FormNode, line: Line): CommandArguments {
  const node: CommandCstNode | undefined =
    form.name === "commandLine" || form.name === "healthcheck" ? form.children.command?.[0] : undefined;
  const text = node?.children.Text?.[0];
  return { json: arrayIn(node?.children.jsonArray?.[0], line), text: text && spanOf(text) };
}

function arrayIn(node: JsonArrayCstNode | undefined, line: Line): PathArguments["json"] {
  const open = node?.children.JsonOpen?.[0];
  const close = node?.children.JsonClose?.[0];
  if (node === undefined || open === undefined || close === undefined) return undefined;
  const [other] = node.children.JsonOther ?? [];
  if (other !== undefined) line.report(notStrings(line.keyword, rangeOf(line, spanOf(other))));
  const elements = (node.children.JsonString ?? []).map((token) => {
    const span = spanOf(token);
    return jsonString(line.joined, span.start, span.end);
  });
  return { elements, span: { start: spanOf(open).start, end: spanOf(close).end } };
}

// ONBUILD ----------------------------------------------------------------------------------------------------------

/**
 * The trigger is kept as text. Of what it says only the form is looked at, as BuildKit does: pairs and JSON, not flags,
 * arity or name.
 */
function buildOnbuild(node: OnbuildCstNode, line: Line): Built {
  flagsIn(node.children.flags?.[0], line, { form: "onbuild", example: "" });
  const form = formIn(node.children.trigger?.[0]);
  const keyword = form === undefined ? undefined : formKeyword(form);
  if (form === undefined || keyword === undefined) return reportMissing(line);
  const name = keyword.image.toUpperCase();
  if (["ONBUILD", "FROM", "MAINTAINER"].includes(name)) {
    return void line.report(badTrigger(name, rangeOf(line, spanOf(keyword))));
  }
  const triggerLine: Line = { ...line, keyword: name };
  if (form.name === "pairs" && (form.children.PairWord ?? form.children.LegacyName) !== undefined) {
    const quiet = { ...triggerLine, report: formErrors(line.report) };
    buildEnv(quiet, pairsIn(form));
  } else if (form.name === "paths") pathsIn(form, triggerLine);
  else if (form.name === "commandLine" || form.name === "healthcheck") commandIn(form, triggerLine);
  const joined = line.node.joined + line.trailing;
  const trigger = joined.replace(/^onbuild[\t\n\f\r ]*/i, "");
  return {
    kind: "onbuild",
    ...line.node,
    trigger: trigger + line.heredocs.map((heredoc) => `\n${heredoc.body}${heredoc.name}`).join(""),
  };
}

const formErrors =
  (report: Report): Report =>
  (diagnostic) => {
    if (diagnostic.code.startsWith("pair-without")) report(diagnostic);
  };
