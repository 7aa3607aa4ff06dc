/**
 * The simple commands of a shell text, for those who look at what a RUN does and not for running it: words, with what is
 * literal in them and what only a shell could know. It reads what POSIX calls tokens and no more of the grammar; a text
 * that it does not understand has no commands at all. Source: POSIX.1-2024, "Shell Command Language", 2.2, 2.3, 2.9.
 */
import { createToken, type IToken, Lexer, type TokenType } from "chevrotain";
import type { Range } from "./ast.ts";

export interface ShellCommand {
  /** Assignments in front, redirections, and words of the grammar (`if`, `then`, `!`) are not among them. */
  readonly words: readonly ShellWord[];
  readonly redirections: readonly Redirection[];
  readonly range: Range;
}

export interface ShellWord {
  /** Quotes and escapes removed; variables and substitutions as they are written. */
  readonly text: string;
  /** Nothing in it has to be expanded; patterns count as text. */
  readonly literal: boolean;
  readonly range: Range;
}

export interface Redirection {
  /** `2>`, `>>`. */
  readonly operator: string;
  readonly target: ShellWord;
}

/** How lines continue: in a Dockerfile's instruction comments and empty lines may stand between them. */
export type Continuation = "dockerfile" | "shell";

/**
 * In order. Ranges count from the start of `source`, of which `range` is read. Undefined when the text is not understood:
 * a quote that stays open, `case`, a function.
 */
export function shellCommands(
  source: string,
  range: Range,
  continuation: Continuation,
): readonly ShellCommand[] | undefined {
  const { tokens, errors } = lexerFor(continuation).tokenize(source.slice(range.start, range.end));
  return errors.length > 0 ? undefined : commandsOf(tokens, range.start);
}

// Tokens -----------------------------------------------------------------------------------------------------------

const Blank = createToken({ name: "Blank", pattern: /[ \t]+/, line_breaks: false });
const NewLine = createToken({ name: "NewLine", pattern: /\r?\n/, line_breaks: true });
const Operator = createToken({ name: "Operator", pattern: /&&|\|\||;;|\|&|[;|&()]/, line_breaks: false });
const Redirect = createToken({
  name: "Redirect",
  pattern: /(?:\d*(?:<<<|<<-|<<|<>|<&|>&|>>|>\||<|>)|&>>|&>)/,
  start_chars_hint: [..."0123456789<>&"],
  line_breaks: false,
});

/** A function finds them, because what they hold nests. */
function found(name: string, first: string, find: (text: string, offset: number) => number | undefined): TokenType {
  return createToken({
    name,
    pattern: (text, offset) => {
      const end = text[offset] === first ? find(text, offset) : undefined;
      return end === undefined ? null : [text.slice(offset, end)];
    },
    start_chars_hint: [first],
    line_breaks: true,
  });
}

const Comment = createToken({
  name: "Comment",
  pattern: (text, offset, tokens) => {
    const last = tokens.at(-1)?.tokenType;
    const opensWord =
      last === undefined || [Blank, NewLine, Operator, DockerfileContinuation, ShellContinuation].includes(last);
    if (text[offset] !== "#" || !opensWord) return null;
    const feed = text.indexOf("\n", offset);
    return [text.slice(offset, feed === -1 ? text.length : feed)];
  },
  start_chars_hint: ["#"],
  line_breaks: false,
});
const DockerfileContinuation: TokenType = createToken({
  name: "DockerfileContinuation",
  pattern: /\\[ \t]*\r*\n(?:[ \t]*(?:#[^\n]*)?\r*\n)*/,
  start_chars_hint: ["\\"],
  line_breaks: true,
});
const ShellContinuation: TokenType = createToken({ name: "ShellContinuation", pattern: /\\\r?\n/, line_breaks: true });
const Escaped = createToken({ name: "Escaped", pattern: /\\[^\n]/, line_breaks: false });
const SingleQuoted = createToken({ name: "SingleQuoted", pattern: /'[^']*'/, line_breaks: true });
const DoubleQuoted = found("DoubleQuoted", '"', (text, offset) => doubleQuotesEnd(text, offset, 0));
const Substitution = found("Substitution", "$", (text, offset) => {
  if (text.startsWith("$(", offset)) return bracketsEnd(text, offset + 1, ")", 0);
  return text.startsWith("${", offset) ? bracketsEnd(text, offset + 1, "}", 0) : undefined;
});
const Backquoted = createToken({ name: "Backquoted", pattern: /`(?:\\[\s\S]|[^`\\])*`/, line_breaks: true });
const Variable = createToken({ name: "Variable", pattern: /\$(?:[A-Za-z_]\w*|[0-9@*#?$!-])/, line_breaks: false });
const Text = createToken({ name: "Text", pattern: /[^\s'"\\$`|&;()<>]+|\$/, line_breaks: false });

const common = [Blank, NewLine, Comment, Redirect, Operator, Escaped, SingleQuoted, DoubleQuoted];
const words = [Substitution, Backquoted, Variable, Text];
const vocabularies: Readonly<Record<Continuation, TokenType[]>> = {
  dockerfile: [DockerfileContinuation, ...common, ...words],
  shell: [ShellContinuation, ...common, ...words],
};
const lexers = new Map<Continuation, Lexer>();

function lexerFor(continuation: Continuation): Lexer {
  const known = lexers.get(continuation);
  if (known !== undefined) return known;
  const lexer = createShellLexer(continuation, { skipValidations: true });
  lexers.set(continuation, lexer);
  return lexer;
}

export function createShellLexer(continuation: Continuation, config: { readonly skipValidations: boolean }): Lexer {
  return new Lexer(vocabularies[continuation], { positionTracking: "onlyOffset", ...config });
}

/** Deeper than anybody nests, and shallow enough for the stack. */
const maxDepth = 50;

/** Behind the quote that closes the one at `start`. */
function doubleQuotesEnd(text: string, start: number, depth: number): number | undefined {
  for (let at = start + 1; at < text.length; ) {
    if (text[at] === '"') return at + 1;
    const end = innerEnd(text, at, depth);
    if (end === undefined) return undefined;
    at = end;
  }
  return undefined;
}

/** Behind the bracket that closes the one at `start`. */
function bracketsEnd(text: string, start: number, close: ")" | "}", depth: number): number | undefined {
  const open = text[start];
  let level = 0;
  for (let at = start; at < text.length; ) {
    const character = text[at];
    if (character === open) level++;
    else if (character === close && --level === 0) return at + 1;
    let end: number | undefined;
    if (character === "'") end = closingAt(text, at, "'");
    else if (character === '"') end = doubleQuotesEnd(text, at, depth + 1);
    else end = innerEnd(text, at, depth);
    if (end === undefined) return undefined;
    at = end;
  }
  return undefined;
}

/** Over one character, or what belongs together: an escape, a substitution. */
function innerEnd(text: string, at: number, depth: number): number | undefined {
  if (depth > maxDepth) return undefined;
  if (text[at] === "\\") return at + 2;
  if (text[at] === "`") return closingAt(text, at, "`");
  if (text.startsWith("$(", at)) return bracketsEnd(text, at + 1, ")", depth + 1);
  return text.startsWith("${", at) ? bracketsEnd(text, at + 1, "}", depth + 1) : at + 1;
}

function closingAt(text: string, start: number, quote: string): number | undefined {
  const end = text.indexOf(quote, start + 1);
  return end === -1 ? undefined : end + 1;
}

// Commands ---------------------------------------------------------------------------------------------------------

/** Words of the grammar: a command may follow them. */
const reserved: ReadonlySet<string> = new Set("! { } if then elif else fi while until do done time".split(" "));
/** What they hold has a grammar of its own. */
const beyond: ReadonlySet<string> = new Set(["case", "function", "select"]);

function commandsOf(tokens: readonly IToken[], offset: number): readonly ShellCommand[] | undefined {
  const commands: ShellCommand[] = [];
  let words: ShellWord[] = [];
  let redirections: Redirection[] = [];
  let word: IToken[] = [];
  let operator: string | undefined;
  let understood = true;
  const endWord = (): void => {
    if (word.length === 0) return;
    const made = wordOf(word, offset);
    word = [];
    if (operator !== undefined) redirections.push({ operator, target: made });
    else if (words.length === 0 && isAssignment(made)) return;
    else if (words.length === 0 && made.literal && reserved.has(made.text)) return;
    else if (words.length === 0 && made.literal && beyond.has(made.text)) understood = false;
    else words.push(made);
    operator = undefined;
  };
  const endCommand = (): void => {
    endWord();
    const [first] = words;
    const last = words.at(-1);
    if (first !== undefined && last !== undefined)
      commands.push({ words, redirections, range: { start: first.range.start, end: last.range.end } });
    words = [];
    redirections = [];
    operator = undefined;
  };
  for (const token of tokens) {
    switch (token.tokenType) {
      case Blank:
      case Comment:
        endWord();
        break;
      case DockerfileContinuation:
      case ShellContinuation:
        break;
      case NewLine:
        endCommand();
        break;
      case Operator:
        // A word with a bracket behind it is the head of a function.
        if (token.image === "(" && (word.length > 0 || words.length > 0)) understood = false;
        endCommand();
        break;
      case Redirect:
        endWord();
        operator = token.image;
        break;
      default:
        word.push(token);
    }
  }
  endCommand();
  return understood ? commands : undefined;
}

function wordOf(tokens: readonly IToken[], offset: number): ShellWord {
  const first = tokens[0];
  const last = tokens.at(-1);
  const start = offset + (first?.startOffset ?? 0);
  const end = offset + (last === undefined ? 0 : last.startOffset + last.image.length);
  let literal = true;
  let text = "";
  for (const { tokenType, image } of tokens) {
    if (tokenType === SingleQuoted) text += image.slice(1, -1);
    else if (tokenType === Escaped) text += image.slice(1);
    else if (tokenType === DoubleQuoted) {
      const inside = image.slice(1, -1);
      literal &&= !/[$`]/.test(inside);
      text += inside.replace(/\\(["$`\\])/g, "$1");
    } else {
      literal &&= tokenType === Text;
      text += image;
    }
  }
  return { text, literal, range: { start, end } };
}

const isAssignment = ({ text }: ShellWord): boolean => /^[A-Za-z_]\w*\+?=/.test(text);
