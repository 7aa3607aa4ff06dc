/**
 * The vocabulary and its modes. A mode is what a line is made of, and the keyword that opens the line chooses it; the
 * end of the line always leaves it. Read here is the joined text of `logical-lines.ts`: one instruction a line.
 */
import { createToken, type IToken, Lexer, type TokenType } from "chevrotain";
import { isBlank, isSpace, trimmedStart } from "./blanks.ts";
import { flagWordEnd, isFlagsEnd } from "./flag-words.ts";
import { type Form, instructionKinds, instructionRow, jsonArrayAt } from "./instruction-table.ts";

type Match = (text: string, offset: number, tokens: readonly IToken[]) => string | undefined;

/** A token that a function finds. `first`: the characters it may start with. */
function custom(name: string, first: readonly number[], match: Match, more: object = {}): TokenType {
  return createToken({
    name,
    pattern: (text, offset, tokens) => {
      const image = match(text, offset, tokens);
      return image === undefined || image === "" ? null : [image];
    },
    start_chars_hint: [...first],
    line_breaks: false,
    ...more,
  });
}

/** All first characters but these: chevrotain sorts those above 255 into buckets of 255, one of each is enough. */
function anythingBut(characters: string): readonly number[] {
  const codes = Array.from({ length: 256 }, (_, code) => code).filter(
    (code) => !characters.includes(String.fromCharCode(code)),
  );
  for (let code = 256; code < 65_536; code += 255) codes.push(code);
  codes.push(65_535);
  return codes;
}

const nonBlank: readonly number[] = anythingBut("\t\v\f\r \n");
const notFeed: readonly number[] = anythingBut("\n");
const codesOf = (characters: string): readonly number[] => [...characters].map((character) => character.charCodeAt(0));

// Keywords ---------------------------------------------------------------------------------------------------------

export const Keyword: TokenType = createToken({ name: "Keyword", pattern: Lexer.NA });

const word = /[^\t\v\f\r \n]+/y;

function wordAt(text: string, offset: number): string {
  word.lastIndex = offset;
  return word.exec(text)?.[0] ?? "";
}

function keywordOf(name: string, form: Form, mode: string | undefined): TokenType {
  const kinds = instructionKinds.filter((kind) => instructionRow(kind)?.form === form);
  const first = new Set(kinds.flatMap((kind) => [kind.slice(0, 1), kind.slice(0, 1).toUpperCase()]));
  return custom(
    name,
    codesOf([...first].join("")),
    (text, offset, tokens) => {
      // A second ONBUILD is no instruction of its own, so that rules never nest deeper than one.
      if (form === "onbuild" && tokens.length > 0 && !endsLine(tokens.at(-1))) return undefined;
      const image = wordAt(text, offset);
      return instructionRow(image)?.form === form ? image : undefined;
    },
    { categories: [Keyword], ...(mode === undefined ? {} : { push_mode: mode }) },
  );
}

export const FromKeyword: TokenType = keywordOf("FromKeyword", "from", "from");
export const WordsKeyword: TokenType = keywordOf("WordsKeyword", "words", "words");
export const PathsKeyword: TokenType = keywordOf("PathsKeyword", "paths", "paths");
export const NamesKeyword: TokenType = keywordOf("NamesKeyword", "names", "names");
export const PairsKeyword: TokenType = keywordOf("PairsKeyword", "pairs", "pairs");
export const CommandKeyword: TokenType = keywordOf("CommandKeyword", "command", "command");
export const TextKeyword: TokenType = keywordOf("TextKeyword", "text", "text");
export const HealthcheckKeyword: TokenType = keywordOf("HealthcheckKeyword", "healthcheck", "healthcheck");
/** Leaves the mode as it is: what follows is again the start of an instruction. */
export const OnbuildKeyword: TokenType = keywordOf("OnbuildKeyword", "onbuild", undefined);
/** After the others: any word may open a line. */
export const UnknownKeyword: TokenType = custom("UnknownKeyword", nonBlank, wordAt, {
  categories: [Keyword],
  push_mode: "unknown",
});

// Ends and blanks --------------------------------------------------------------------------------------------------

export const LineEnd: TokenType = createToken({ name: "LineEnd", pattern: Lexer.NA });
const ArgumentsEnd = createToken({
  name: "ArgumentsEnd",
  pattern: "\n",
  line_breaks: true,
  pop_mode: true,
  categories: [LineEnd],
});
const KeywordEnd = createToken({ name: "KeywordEnd", pattern: "\n", line_breaks: true, categories: [LineEnd] });
const endsLine = (token: IToken | undefined): boolean =>
  token?.tokenType === ArgumentsEnd || token?.tokenType === KeywordEnd;

const Blank = createToken({ name: "Blank", pattern: /[\t\v\f\r ]+/, group: Lexer.SKIPPED, line_breaks: false });
const wideStart = [...codesOf("\u0085\u00a0"), ...anythingBut("").filter((code) => code > 255)];
const wideRun: Match = (text, offset) => text.slice(offset, trimmedStart(text, offset, lineEndAt(text, offset)));
/** Every white space that Unicode has: it splits pairs, and may stand in front of a line. */
const WideBlank = custom("WideBlank", [...codesOf("\t\v\f\r "), ...wideStart], wideRun, { group: Lexer.SKIPPED });
/** The same in front of the first argument alone. */
const FirstBlank = custom(
  "FirstBlank",
  wideStart,
  (text, offset, tokens) => (isFirstArgument(tokens) ? wideRun(text, offset, tokens) : undefined),
  { group: Lexer.SKIPPED },
);

function lineEndAt(text: string, offset: number): number {
  const feed = text.indexOf("\n", offset);
  return feed === -1 ? text.length : feed;
}

// Flags ------------------------------------------------------------------------------------------------------------

export const Flag: TokenType = createToken({ name: "Flag", pattern: Lexer.NA });
export const FlagsEnd: TokenType = createToken({ name: "FlagsEnd", pattern: Lexer.NA });

/** Flags stand between the keyword and the first argument, and nowhere else. */
function flagsAreOpen(tokens: readonly IToken[]): boolean {
  const categories = tokens.at(-1)?.tokenType.CATEGORIES ?? [];
  return categories.includes(Keyword) || categories.includes(Flag);
}

function flagTokens(name: string, escaper: string): readonly TokenType[] {
  const find =
    (ends: boolean): Match =>
    (text, offset, tokens) => {
      if (!text.startsWith("--", offset) || !flagsAreOpen(tokens)) return undefined;
      const image = text.slice(offset, flagWordEnd(text, offset, escaper));
      return isFlagsEnd(image, escaper) === ends ? image : undefined;
    };
  return [
    custom(`${name}FlagsEnd`, codesOf("-"), find(true), { categories: [FlagsEnd] }),
    custom(`${name}Flag`, codesOf("-"), find(false), { categories: [Flag] }),
  ];
}

// Arguments --------------------------------------------------------------------------------------------------------

function isFirstArgument(tokens: readonly IToken[]): boolean {
  const last = tokens.at(-1)?.tokenType;
  return last === CheckType || flagsAreOpen(tokens) || (last?.CATEGORIES ?? []).includes(FlagsEnd);
}

export const Word: TokenType = createToken({
  name: "Word",
  pattern: /[^\t\v\f\r \n]+/,
  start_chars_hint: [...nonBlank],
  line_breaks: false,
});

/** AS, where the second word of FROM stands. */
export const As: TokenType = custom("As", codesOf("aA"), (text, offset, tokens) => {
  const last = tokens.at(-1);
  if (last?.tokenType !== Word || tokens.at(-2)?.tokenType === Word || tokens.at(-2)?.tokenType === As)
    return undefined;
  const image = wordAt(text, offset);
  return image.toLowerCase() === "as" ? image : undefined;
});

/** The rest of the line, which was trimmed when it was joined. */
const restOfLine: Match = (text, offset) => text.slice(offset, lineEndAt(text, offset));
export const Text: TokenType = custom("Text", notFeed, restOfLine);

/** CMD or NONE of HEALTHCHECK, or what stands in their place. */
export const CheckType: TokenType = custom("CheckType", nonBlank, wordAt, { pop_mode: true, push_mode: "check" });

export const PairWord: TokenType = createToken({ name: "PairWord", pattern: Lexer.NA });
/** The name of `ENV name value`: the first word, where it has no `=`. */
export const LegacyName: TokenType = createToken({ name: "LegacyName", pattern: Lexer.NA });
export const LegacyValue: TokenType = custom("LegacyValue", notFeed, (text, offset, tokens) =>
  (tokens.at(-1)?.tokenType.CATEGORIES ?? []).includes(LegacyName) ? restOfLine(text, offset, tokens) : undefined,
);

function pairTokens(name: string, escaper: string): { readonly legacy: TokenType; readonly pair: TokenType } {
  const pairAt = (text: string, offset: number) => text.slice(offset, pairWordEnd(text, offset, escaper));
  return {
    legacy: custom(
      `${name}LegacyName`,
      notFeed,
      (text, offset, tokens) =>
        isFirstArgument(tokens) && !pairAt(text, offset).includes("=") ? wordAt(text, offset) : undefined,
      { categories: [LegacyName] },
    ),
    pair: custom(`${name}PairWord`, notFeed, pairAt, { categories: [PairWord] }),
  };
}

/**
 * As BuildKit's `parseWords`: at blanks outside quotes; an escape and its character stay together; `'…'` knows no
 * escape.
 */
function pairWordEnd(text: string, start: number, escaper: string): number {
  let quote = "";
  let at = start;
  while (at < text.length && text[at] !== "\n") {
    const character = text[at] ?? "";
    if (quote === "" && isSpace(character)) break;
    if (character === escaper && quote !== "'" && at + 1 < text.length && text[at + 1] !== "\n") at++;
    else if (character === quote) quote = "";
    else if (quote === "" && (character === "'" || character === '"')) quote = character;
    at++;
  }
  return at;
}

// JSON -------------------------------------------------------------------------------------------------------------

/** Only before an array that is valid to the end of the line: then the tokens below meet nothing unexpected. */
export const JsonOpen: TokenType = custom(
  "JsonOpen",
  codesOf("["),
  (text, offset, tokens) => (isFirstArgument(tokens) && jsonArrayAt(text, offset) !== undefined ? "[" : undefined),
  { push_mode: "json" },
);
const JsonBlank = createToken({ name: "JsonBlank", pattern: /[\t\r ]+/, group: Lexer.SKIPPED, line_breaks: false });
export const JsonString: TokenType = createToken({
  name: "JsonString",
  pattern: /"[^"\\\n]*(?:\\.[^"\\\n]*)*"/,
  start_chars_hint: ['"'],
  line_breaks: false,
});
export const JsonComma: TokenType = createToken({ name: "JsonComma", pattern: "," });
export const JsonClose: TokenType = createToken({ name: "JsonClose", pattern: "]", pop_mode: true });
/** A number, `true`, `null`, an object, an array: one token, whatever is inside. */
export const JsonOther: TokenType = custom("JsonOther", anythingBut('\n",]'), (text, offset) => {
  let depth = 0;
  let inString = false;
  let at = offset;
  for (; at < text.length && text[at] !== "\n"; at++) {
    const character = text[at];
    if (inString) {
      if (character === "\\") at++;
      else if (character === '"') inString = false;
    } else if (character === '"') inString = true;
    else if (character === "[" || character === "{") depth++;
    else if (depth > 0 && (character === "]" || character === "}")) depth--;
    else if (depth === 0 && (character === "," || character === "]" || isBlank(text.charCodeAt(at)))) break;
  }
  return text.slice(offset, at);
});

// Lexers -----------------------------------------------------------------------------------------------------------

const keywords: readonly TokenType[] = [
  FromKeyword,
  WordsKeyword,
  PathsKeyword,
  NamesKeyword,
  PairsKeyword,
  CommandKeyword,
  TextKeyword,
  HealthcheckKeyword,
  OnbuildKeyword,
  UnknownKeyword,
];

const variants: readonly (readonly ["\\" | "`", readonly TokenType[], ReturnType<typeof pairTokens>])[] = [
  ["\\", flagTokens("Backslash", "\\"), pairTokens("Backslash", "\\")],
  ["`", flagTokens("Backtick", "`"), pairTokens("Backtick", "`")],
];

/** For the parser: all tokens of both lexers. */
export const vocabulary: TokenType[] = [
  Keyword,
  ...keywords,
  LineEnd,
  ArgumentsEnd,
  KeywordEnd,
  Blank,
  WideBlank,
  FirstBlank,
  Flag,
  FlagsEnd,
  Word,
  As,
  Text,
  CheckType,
  PairWord,
  LegacyName,
  LegacyValue,
  JsonOpen,
  JsonBlank,
  JsonString,
  JsonComma,
  JsonClose,
  JsonOther,
  ...variants.flatMap(([, flags, pairs]) => [...flags, pairs.legacy, pairs.pair]),
];

const lexers = new Map<string, Lexer>();

/** One lexer for each escape character, built when it is first asked for. */
export function lexerFor(escaper: "\\" | "`"): Lexer {
  const built = lexers.get(escaper);
  if (built !== undefined) return built;
  const lexer = createLexer(escaper, { skipValidations: true });
  lexers.set(escaper, lexer);
  return lexer;
}

export function createLexer(
  escaper: "\\" | "`",
  config: { readonly skipValidations: boolean; readonly ensureOptimizations?: boolean },
): Lexer {
  const variant = variants.find(([character]) => character === escaper) ?? variants[0];
  if (variant === undefined) throw new Error("no variant of the vocabulary");
  const [, flags, pairs] = variant;
  const head = [ArgumentsEnd, Blank, FirstBlank, ...flags];
  // Arguments are trimmed as a whole, by the wide meaning; where they are split, only by the narrow one.
  const wideHead = [ArgumentsEnd, WideBlank, ...flags];
  return new Lexer(
    {
      defaultMode: "line",
      modes: {
        line: [KeywordEnd, WideBlank, ...flags, ...keywords],
        from: [...head, As, Word],
        words: [...head, Word],
        paths: [...head, JsonOpen, Word],
        names: [...wideHead, pairs.pair],
        pairs: [...wideHead, LegacyValue, pairs.legacy, pairs.pair],
        command: [...wideHead, JsonOpen, Text],
        text: [...wideHead, Text],
        // Nobody knows which flags it has: all is one text.
        unknown: [ArgumentsEnd, WideBlank, Text],
        healthcheck: [...head, CheckType],
        check: [ArgumentsEnd, WideBlank, JsonOpen, Text],
        json: [JsonBlank, JsonString, JsonComma, JsonClose, JsonOther, ArgumentsEnd],
      },
    },
    { positionTracking: "onlyOffset", deferDefinitionErrorsHandling: false, ...config },
  );
}
