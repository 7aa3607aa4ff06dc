/** Template text → pieces of text and actions; an action → tokens. Source: text/template/parse/lex.go. */
import { templateInvalid } from "./template-errors.ts";

export type Piece =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "action"; readonly tokens: readonly Token[] };

export type Token =
  /** `.A`: `adjoined` when nothing stands between it and the operand before it. */
  | { readonly kind: "field"; readonly name: string; readonly adjoined: boolean; readonly source: string }
  | { readonly kind: "dot"; readonly source: string }
  | { readonly kind: "variable"; readonly name: string; readonly source: string }
  | { readonly kind: "identifier"; readonly name: string; readonly source: string }
  | { readonly kind: "string"; readonly value: string; readonly source: string }
  | { readonly kind: "number"; readonly value: number; readonly source: string }
  | { readonly kind: "sign"; readonly name: "|" | "(" | ")" | "," | ":=" | "="; readonly source: string };

/** @throws {TsbuildError} `TEMPLATE_INVALID` */
export function lexTemplate(template: string): readonly Piece[] {
  const pieces: Piece[] = [];
  let position = 0;
  let trimNext = false;
  while (position <= template.length) {
    const open = template.indexOf("{{", position);
    const end = open < 0 ? template.length : open;
    const trimHere = open >= 0 && /^-\s/.test(template.slice(open + 2, open + 4));
    let text = template.slice(position, end);
    if (trimNext) text = text.trimStart();
    if (trimHere) text = text.trimEnd();
    if (text !== "") pieces.push({ kind: "text", text });
    if (open < 0) break;
    const action = lexAction(template, open + (trimHere ? 3 : 2));
    if (action.tokens !== undefined) pieces.push({ kind: "action", tokens: action.tokens });
    trimNext = action.trimAfter;
    position = action.end;
  }
  return pieces;
}

interface Action {
  /** Undefined for a comment. */
  readonly tokens: readonly Token[] | undefined;
  readonly end: number;
  readonly trimAfter: boolean;
}

const tokenPattern =
  /(?<blank>\s+)|(?<string>"(?:[^"\\\n]|\\.)*")|(?<raw>`[^`]*`)|(?<char>'(?:[^'\\\n]|\\[^xuU]|\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4})')|(?<number>[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?))|(?<field>\.[\p{L}_][\p{L}\p{Nd}_]*)|(?<dot>\.)|(?<variable>\$(?:[\p{L}_][\p{L}\p{Nd}_]*)?)|(?<identifier>[\p{L}_][\p{L}\p{Nd}_]*)|(?<sign>:=|[|(),=])/uy;

const closePattern = /(?:\s+-)?\}\}/y;

function lexAction(template: string, start: number): Action {
  const comment = /^\s*\/\*[\s\S]*?\*\/(\s-)?\s*\}\}/.exec(template.slice(start));
  if (comment !== null) {
    return { tokens: undefined, end: start + comment[0].length, trimAfter: comment[1] !== undefined };
  }
  const tokens: Token[] = [];
  let position = start;
  let afterOperand = false;
  for (;;) {
    closePattern.lastIndex = position;
    const close = closePattern.exec(template);
    if (close !== null) return { tokens, end: closePattern.lastIndex, trimAfter: close[0].length > 2 };
    if (position >= template.length) throw templateInvalid("unclosed action");
    tokenPattern.lastIndex = position;
    const groups: TokenGroups | undefined = tokenPattern.exec(template)?.groups;
    if (groups === undefined) throw unexpected(template, position);
    const source = template.slice(position, tokenPattern.lastIndex);
    position = tokenPattern.lastIndex;
    if (groups.blank !== undefined) {
      afterOperand = false;
      continue;
    }
    const token = makeToken(groups, source, afterOperand);
    tokens.push(token);
    afterOperand = token.kind !== "sign" || token.name === ")";
  }
}

/** Names of the pattern's groups. */
interface TokenGroups {
  readonly blank?: string;
  readonly string?: string;
  readonly raw?: string;
  readonly char?: string;
  readonly number?: string;
  readonly field?: string;
  readonly dot?: string;
  readonly variable?: string;
  readonly identifier?: string;
}

function makeToken(groups: TokenGroups, source: string, adjoined: boolean): Token {
  if (groups.string !== undefined) return { kind: "string", value: unquote(source), source };
  if (groups.raw !== undefined) return { kind: "string", value: source.slice(1, -1), source };
  if (groups.char !== undefined) {
    return { kind: "number", value: unquote(`"${source.slice(1, -1)}"`).codePointAt(0) ?? 0, source };
  }
  if (groups.number !== undefined) return { kind: "number", value: numberOf(source), source };
  if (groups.field !== undefined) return { kind: "field", name: source.slice(1), adjoined, source };
  if (groups.dot !== undefined) return { kind: "dot", source };
  if (groups.variable !== undefined) return { kind: "variable", name: source, source };
  if (groups.identifier !== undefined) return { kind: "identifier", name: source, source };
  // The pattern's last group matches these signs and nothing else.
  return { kind: "sign", name: source as "|" | "(" | ")" | "," | ":=" | "=", source };
}

function numberOf(source: string): number {
  const plain = source.replaceAll("_", "");
  const negative = plain.startsWith("-");
  const value = Number(plain.replace(/^[+-]/, ""));
  if (Number.isNaN(value)) throw templateInvalid(`bad number syntax: "${source}"`);
  return negative ? -value : value;
}

const escapes: Readonly<Record<string, string>> = {
  a: "\u0007",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** The value of a Go string literal in double quotes. */
function unquote(source: string): string {
  return source
    .slice(1, -1)
    .replace(
      /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))/gs,
      (_all, x, u, big, octal, one) => {
        const hex: string | undefined = x ?? u ?? big;
        if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
        if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8));
        return escapes[one] ?? one;
      },
    );
}

function unexpected(template: string, position: number): Error {
  const character = String.fromCodePoint(template.codePointAt(position) ?? 0);
  if (character === '"') return templateInvalid("unterminated quoted string");
  if (character === "`") return templateInvalid("unterminated raw quoted string");
  if (character === "'") return templateInvalid("unterminated character constant");
  return templateInvalid(`unexpected ${JSON.stringify(character)} in command`);
}
