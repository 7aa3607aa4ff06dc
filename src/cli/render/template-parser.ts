/** Tokens → tree of a template. Source: text/template/parse/parse.go. */
import { templateInvalid } from "./template-errors.ts";
import { lexTemplate, type Piece, type Token } from "./template-lexer.ts";

export type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "action"; readonly pipe: Pipe }
  | {
      readonly kind: "if" | "with";
      readonly pipe: Pipe;
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    }
  | { readonly kind: "range"; readonly pipe: Pipe; readonly body: readonly Node[]; readonly otherwise: readonly Node[] }
  | { readonly kind: "template"; readonly name: string; readonly pipe: Pipe | undefined }
  | { readonly kind: "break" | "continue" };

export interface Pipe {
  readonly variables: readonly string[];
  /** `:=` makes variables, `=` changes them. */
  readonly declares: boolean;
  readonly commands: readonly Command[];
  readonly source: string;
}

/** The first operand is the thing called, when there are others. */
export interface Command {
  readonly operands: readonly [Operand, ...Operand[]];
  readonly source: string;
}

export type Operand = (
  | { readonly kind: "dot" }
  | { readonly kind: "variable"; readonly name: string }
  | { readonly kind: "function"; readonly name: string }
  | { readonly kind: "literal"; readonly value: unknown }
  | { readonly kind: "pipe"; readonly pipe: Pipe }
) & { readonly fields: readonly string[]; readonly source: string };

export interface Template {
  readonly nodes: readonly Node[];
  /** Of `define` and `block`, by name. */
  readonly definitions: ReadonlyMap<string, readonly Node[]>;
}

/** @throws {TsbuildError} `TEMPLATE_INVALID` */
export function parseTemplate(text: string, isFunction: (name: string) => boolean): Template {
  const parser = new TemplateParser(lexTemplate(text), isFunction);
  const nodes = parser.list([], false);
  return { nodes, definitions: parser.definitions };
}

interface Keyword {
  readonly word: string;
  readonly tokens: readonly Token[];
}

class TemplateParser {
  readonly definitions = new Map<string, readonly Node[]>();
  readonly #pieces: readonly Piece[];
  readonly #isFunction: (name: string) => boolean;
  /** Names of variables in scope; a block puts its own on top and takes them off again. */
  readonly #variables = ["$"];
  #next = 0;
  /** The keyword that ended the last list. */
  #ending: Keyword | undefined;

  constructor(pieces: readonly Piece[], isFunction: (name: string) => boolean) {
    this.#pieces = pieces;
    this.#isFunction = isFunction;
  }

  /** Nodes up to one of the `endings`, which is left in `#ending`; up to the end when there are none. */
  list(endings: readonly string[], inRange: boolean): readonly Node[] {
    const nodes: Node[] = [];
    for (;;) {
      const piece = this.#pieces[this.#next];
      this.#next += 1;
      if (piece === undefined) {
        if (endings.length > 0) throw templateInvalid("unexpected EOF");
        return nodes;
      }
      if (piece.kind === "text") {
        nodes.push(piece);
        continue;
      }
      const keyword = keywordOf(piece.tokens);
      if (keyword !== undefined && (keyword.word === "end" || keyword.word === "else")) {
        if (!endings.includes(keyword.word)) throw templateInvalid(`unexpected {{${keyword.word}}}`);
        this.#ending = keyword;
        return nodes;
      }
      const node = keyword === undefined ? this.#action(piece.tokens) : this.#block(keyword, inRange);
      if (node !== undefined) nodes.push(node);
    }
  }

  #action(tokens: readonly Token[]): Node {
    return { kind: "action", pipe: this.#pipe(tokens, "command") };
  }

  #block(keyword: Keyword, inRange: boolean): Node | undefined {
    const { word, tokens } = keyword;
    switch (word) {
      case "if":
      case "with":
      case "range":
        return this.#control(word, tokens, inRange);
      case "break":
      case "continue":
        if (!inRange) throw templateInvalid(`{{${word}}} outside {{range}}`);
        return { kind: word };
      case "define":
        this.#define(nameIn(tokens, word));
        return undefined;
      case "block": {
        const name = nameIn(tokens, word);
        const pipe = this.#pipe(tokens.slice(1), "block clause");
        this.#define(name);
        return { kind: "template", name, pipe };
      }
      default: {
        const name = nameIn(tokens, "template clause");
        const rest = tokens.slice(1);
        return { kind: "template", name, pipe: rest.length === 0 ? undefined : this.#pipe(rest, "template clause") };
      }
    }
  }

  #define(name: string): void {
    const outer = this.#variables.splice(1);
    this.definitions.set(name, this.list(["end"], false));
    this.#variables.splice(1, Number.POSITIVE_INFINITY, ...outer);
  }

  #control(word: "if" | "with" | "range", tokens: readonly Token[], inRange: boolean): Node {
    const scope = this.#variables.length;
    const pipe = this.#pipe(tokens, word);
    const body = this.list(["end", "else"], inRange || word === "range");
    let otherwise: readonly Node[] = [];
    const ending = this.#ending;
    if (ending?.word === "else") {
      const chained = keywordOf(ending.tokens);
      if (chained !== undefined && chained.word === word && word !== "range") {
        // `else if`: the nested block takes the one `end` there is.
        otherwise = [this.#control(word, chained.tokens, inRange)];
      } else if (ending.tokens.length > 0) {
        throw templateInvalid(`unexpected ${ending.tokens[0]?.source} in else`);
      } else {
        otherwise = this.list(["end"], inRange);
      }
    }
    this.#variables.length = scope;
    return { kind: word, pipe, body, otherwise };
  }

  #pipe(tokens: readonly Token[], context: string): Pipe {
    const source = sourceOf(tokens);
    const assignment = tokens.findIndex(
      (token) => token.kind === "sign" && (token.name === ":=" || token.name === "="),
    );
    const variables: string[] = [];
    let declares = false;
    if (assignment >= 0) {
      declares = tokens[assignment]?.source === ":=";
      for (const [index, token] of tokens.slice(0, assignment).entries()) {
        const isComma = token.kind === "sign" && token.name === ",";
        if (index % 2 === 1 ? !isComma : token.kind !== "variable") {
          throw templateInvalid(`unexpected ${token.source} in ${context}`);
        }
        if (token.kind === "variable") variables.push(token.name);
      }
      const most = context === "range" ? 2 : 1;
      if (variables.length === 0 || variables.length > most) {
        throw templateInvalid(`too many declarations in ${context}`);
      }
      if (!declares) for (const name of variables) this.#require(name);
    }
    const commands = splitAtBars(tokens.slice(assignment + 1)).map((part) => this.#command(part, context));
    if (declares) this.#variables.push(...variables);
    return { variables, declares, commands, source };
  }

  #command(tokens: readonly Token[], context: string): Command {
    const operands: Operand[] = [];
    let position = 0;
    while (position < tokens.length) {
      const [operand, next] = this.#operand(tokens, position, context);
      operands.push(operand);
      position = next;
    }
    const [first, ...others] = operands;
    if (first === undefined) throw templateInvalid(`missing value for ${context}`);
    if (others.length > 0 && (first.kind === "literal" || first.kind === "dot") && first.fields.length === 0) {
      throw templateInvalid(`can't give argument to non-function ${first.source}`);
    }
    return { operands: [first, ...others], source: sourceOf(tokens) };
  }

  #operand(tokens: readonly Token[], start: number, context: string): readonly [Operand, number] {
    const token = tokens[start];
    if (token === undefined) throw templateInvalid(`missing value for ${context}`);
    let position = start + 1;
    let head: Operand;
    switch (token.kind) {
      case "dot":
        return [{ kind: "dot", fields: [], source: "." }, position];
      case "field":
        head = { kind: "dot", fields: [token.name], source: token.source };
        break;
      case "variable":
        this.#require(token.name);
        head = { kind: "variable", name: token.name, fields: [], source: token.source };
        break;
      case "string":
      case "number":
        return [{ kind: "literal", value: token.value, fields: [], source: token.source }, position];
      case "identifier":
        head = this.#identifier(token.name);
        break;
      case "sign": {
        if (token.name !== "(") throw templateInvalid(`unexpected ${token.source} in ${context}`);
        const end = closingParenthesis(tokens, start);
        const pipe = this.#pipe(tokens.slice(start + 1, end), "parenthesized pipeline");
        head = { kind: "pipe", pipe, fields: [], source: `(${pipe.source})` };
        position = end + 1;
      }
    }
    const fields = [...head.fields];
    for (let next = tokens[position]; next?.kind === "field" && next.adjoined; next = tokens[position]) {
      fields.push(next.name);
      position += 1;
    }
    const suffix = fields.slice(head.fields.length).map((name) => `.${name}`);
    return [{ ...head, fields, source: head.source + suffix.join("") }, position];
  }

  #identifier(name: string): Operand {
    if (name === "true" || name === "false")
      return { kind: "literal", value: name === "true", fields: [], source: name };
    if (name === "nil") return { kind: "literal", value: undefined, fields: [], source: name };
    if (!this.#isFunction(name)) throw templateInvalid(`function "${name}" not defined`);
    return { kind: "function", name, fields: [], source: name };
  }

  #require(name: string): void {
    if (!this.#variables.includes(name)) throw templateInvalid(`undefined variable "${name}"`);
  }
}

const keywords = ["if", "else", "end", "with", "range", "break", "continue", "define", "block", "template"];

function keywordOf(tokens: readonly Token[]): Keyword | undefined {
  const first = tokens[0];
  if (first?.kind !== "identifier" || !keywords.includes(first.name)) return undefined;
  return { word: first.name, tokens: tokens.slice(1) };
}

function nameIn(tokens: readonly Token[], context: string): string {
  const token = tokens[0];
  if (token?.kind !== "string") throw templateInvalid(`unexpected ${token?.source ?? "}}"} in ${context}`);
  return token.value;
}

function sourceOf(tokens: readonly Token[]): string {
  return tokens
    .map((token, index) => (index === 0 || (token.kind === "field" && token.adjoined) ? "" : " ") + token.source)
    .join("");
}

function splitAtBars(tokens: readonly Token[]): readonly (readonly Token[])[] {
  const parts: Token[][] = [[]];
  let depth = 0;
  for (const token of tokens) {
    if (token.kind === "sign") {
      if (token.name === "(") depth += 1;
      if (token.name === ")") depth -= 1;
      if (token.name === "|" && depth === 0) {
        parts.push([]);
        continue;
      }
    }
    parts.at(-1)?.push(token);
  }
  return parts;
}

function closingParenthesis(tokens: readonly Token[], open: number): number {
  let depth = 0;
  for (let index = open; index < tokens.length; index += 1) {
    const token = tokens[index];
    if (token?.kind !== "sign") continue;
    if (token.name === "(") depth += 1;
    if (token.name === ")") depth -= 1;
    if (depth === 0) return index;
  }
  throw templateInvalid("unclosed left paren");
}
