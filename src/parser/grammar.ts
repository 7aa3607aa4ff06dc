/**
 * One rule a form: Dockerfile instructions as BuildKit reads them, frontend/dockerfile/parser and docs/reference.md,
 * "Format". Arity and values are not decided here: the instruction table and the builders know what to say about them.
 */
import { type CstNode, CstParser, type IToken, type TokenType } from "chevrotain";
import {
  As,
  CheckType,
  CommandKeyword,
  Flag,
  FlagsEnd,
  FromKeyword,
  HealthcheckKeyword,
  JsonClose,
  JsonComma,
  JsonOpen,
  JsonOther,
  JsonString,
  LegacyName,
  LegacyValue,
  LineEnd,
  NamesKeyword,
  OnbuildKeyword,
  PairsKeyword,
  PairWord,
  PathsKeyword,
  Text,
  TextKeyword,
  UnknownKeyword,
  vocabulary,
  Word,
  WordsKeyword,
} from "./tokens.ts";

type Rule = (index?: number) => CstNode;

class DockerfileGrammar extends CstParser {
  readonly dockerfile: Rule;
  readonly instruction: Rule;

  constructor(config: { readonly skipValidations: boolean }) {
    super(vocabulary, { recoveryEnabled: true, maxLookahead: 1, nodeLocationTracking: "none", ...config });

    const flags = this.RULE("flags", () => {
      this.MANY(() => this.CONSUME(Flag));
      this.OPTION(() => this.CONSUME(FlagsEnd));
    });
    const jsonArray = this.RULE("jsonArray", () => {
      this.CONSUME(JsonOpen);
      this.MANY_SEP({
        SEP: JsonComma,
        DEF: () => this.OR([{ ALT: () => this.CONSUME(JsonString) }, { ALT: () => this.CONSUME(JsonOther) }]),
      });
      this.CONSUME(JsonClose);
    });
    const command = this.RULE("command", () => {
      this.OPTION(() => this.OR([{ ALT: () => this.SUBRULE(jsonArray) }, { ALT: () => this.CONSUME(Text) }]));
    });

    const from = this.RULE("from", () => {
      this.CONSUME(FromKeyword);
      this.SUBRULE(flags);
      this.CONSUME(Word, { LABEL: "image" });
      this.OPTION(() => {
        this.CONSUME(As);
        this.CONSUME1(Word, { LABEL: "stage" });
      });
      this.MANY(() => this.CONSUME2(Word, { LABEL: "surplus" }));
    });
    const words = this.RULE("words", () => {
      this.CONSUME(WordsKeyword);
      this.SUBRULE(flags);
      this.MANY(() => this.CONSUME(Word));
    });
    const paths = this.RULE("paths", () => {
      this.CONSUME(PathsKeyword);
      this.SUBRULE(flags);
      this.OR([{ ALT: () => this.SUBRULE(jsonArray) }, { ALT: () => this.MANY(() => this.CONSUME(Word)) }]);
    });
    const names = this.RULE("names", () => {
      this.CONSUME(NamesKeyword);
      this.SUBRULE(flags);
      this.MANY(() => this.CONSUME(PairWord));
    });
    const pairs = this.RULE("pairs", () => {
      this.CONSUME(PairsKeyword);
      this.SUBRULE(flags);
      this.OR([
        {
          ALT: () => {
            this.CONSUME(LegacyName);
            // Frequently forgotten: the builder says so.
            this.OPTION(() => this.CONSUME(LegacyValue));
          },
        },
        { ALT: () => this.MANY(() => this.CONSUME(PairWord)) },
      ]);
    });
    const commandLine = this.RULE("commandLine", () => {
      this.CONSUME(CommandKeyword);
      this.SUBRULE(flags);
      this.SUBRULE(command);
    });
    const text = this.RULE("text", () => {
      this.CONSUME(TextKeyword);
      this.SUBRULE(flags);
      this.OPTION(() => this.CONSUME(Text));
    });
    const healthcheck = this.RULE("healthcheck", () => {
      this.CONSUME(HealthcheckKeyword);
      this.SUBRULE(flags);
      this.OPTION(() => {
        this.CONSUME(CheckType);
        this.SUBRULE(command);
      });
    });
    const unknown = this.RULE("unknown", () => {
      this.CONSUME(UnknownKeyword);
      this.OPTION(() => this.CONSUME(Text));
    });
    // Kept in a field: the alternatives of the hottest OR are made once and not for every line.
    const plain = [
      { ALT: () => this.SUBRULE(commandLine) },
      { ALT: () => this.SUBRULE(paths) },
      { ALT: () => this.SUBRULE(pairs) },
      { ALT: () => this.SUBRULE(names) },
      { ALT: () => this.SUBRULE(from) },
      { ALT: () => this.SUBRULE(text) },
      { ALT: () => this.SUBRULE(words) },
      { ALT: () => this.SUBRULE(healthcheck) },
      { ALT: () => this.SUBRULE(unknown) },
    ];
    const trigger = this.RULE("trigger", () => {
      this.OR(plain);
    });
    const onbuild = this.RULE("onbuild", () => {
      this.CONSUME(OnbuildKeyword);
      this.SUBRULE(flags);
      this.OPTION(() => this.SUBRULE(trigger));
    });

    this.instruction = this.RULE("instruction", () => {
      this.OR([{ ALT: () => this.SUBRULE(trigger) }, { ALT: () => this.SUBRULE(onbuild) }]);
      this.CONSUME(LineEnd);
    });
    this.dockerfile = this.RULE("dockerfile", () => {
      this.MANY(() => this.SUBRULE(this.instruction));
    });
    this.performSelfAnalysis();
  }

  /** A word is never made up: what is missing is said by the builder, and a line end is where the next line is found. */
  protected override canTokenTypeBeInsertedInRecovery(type: TokenType): boolean {
    return type === Word;
  }
}

export interface GrammarError {
  /** What stood where something else was expected. */
  readonly token: IToken;
  readonly previous: IToken | undefined;
}

let grammar: DockerfileGrammar | undefined;

/** The concrete syntax tree of a whole joined text, and where recovery had to step in. */
export function parseTokens(tokens: readonly IToken[]): {
  readonly cst: CstNode;
  readonly errors: readonly GrammarError[];
} {
  grammar ??= new DockerfileGrammar({ skipValidations: true });
  grammar.input = [...tokens];
  const cst = grammar.dockerfile();
  const errors = grammar.errors.map((error) => ({
    token: error.token,
    previous: "previousToken" in error ? (error.previousToken as IToken | undefined) : undefined,
  }));
  grammar.input = [];
  return { cst, errors };
}

/** The grammar itself, checked: for tests, and to generate the types of its tree. */
export const checkedGrammar = (): CstParser => new DockerfileGrammar({ skipValidations: false });
