import type { CstNode, ICstVisitor, IToken } from "chevrotain";

export interface FlagsCstNode extends CstNode {
  name: "flags";
  children: FlagsCstChildren;
}

export type FlagsCstChildren = {
  Flag?: IToken[];
  FlagsEnd?: IToken[];
};

export interface JsonArrayCstNode extends CstNode {
  name: "jsonArray";
  children: JsonArrayCstChildren;
}

export type JsonArrayCstChildren = {
  JsonOpen: IToken[];
  JsonString?: IToken[];
  JsonOther?: IToken[];
  JsonComma?: IToken[];
  JsonClose: IToken[];
};

export interface CommandCstNode extends CstNode {
  name: "command";
  children: CommandCstChildren;
}

export type CommandCstChildren = {
  jsonArray?: JsonArrayCstNode[];
  Text?: IToken[];
};

export interface FromCstNode extends CstNode {
  name: "from";
  children: FromCstChildren;
}

export type FromCstChildren = {
  FromKeyword: IToken[];
  flags: FlagsCstNode[];
  image: IToken[];
  As?: IToken[];
  stage?: IToken[];
  surplus?: IToken[];
};

export interface WordsCstNode extends CstNode {
  name: "words";
  children: WordsCstChildren;
}

export type WordsCstChildren = {
  WordsKeyword: IToken[];
  flags: FlagsCstNode[];
  Word?: IToken[];
};

export interface PathsCstNode extends CstNode {
  name: "paths";
  children: PathsCstChildren;
}

export type PathsCstChildren = {
  PathsKeyword: IToken[];
  flags: FlagsCstNode[];
  jsonArray?: JsonArrayCstNode[];
  Word?: IToken[];
};

export interface NamesCstNode extends CstNode {
  name: "names";
  children: NamesCstChildren;
}

export type NamesCstChildren = {
  NamesKeyword: IToken[];
  flags: FlagsCstNode[];
  PairWord?: IToken[];
};

export interface PairsCstNode extends CstNode {
  name: "pairs";
  children: PairsCstChildren;
}

export type PairsCstChildren = {
  PairsKeyword: IToken[];
  flags: FlagsCstNode[];
  LegacyName?: IToken[];
  LegacyValue?: IToken[];
  PairWord?: IToken[];
};

export interface CommandLineCstNode extends CstNode {
  name: "commandLine";
  children: CommandLineCstChildren;
}

export type CommandLineCstChildren = {
  CommandKeyword: IToken[];
  flags: FlagsCstNode[];
  command: CommandCstNode[];
};

export interface TextCstNode extends CstNode {
  name: "text";
  children: TextCstChildren;
}

export type TextCstChildren = {
  TextKeyword: IToken[];
  flags: FlagsCstNode[];
  Text?: IToken[];
};

export interface HealthcheckCstNode extends CstNode {
  name: "healthcheck";
  children: HealthcheckCstChildren;
}

export type HealthcheckCstChildren = {
  HealthcheckKeyword: IToken[];
  flags: FlagsCstNode[];
  CheckType?: IToken[];
  command?: CommandCstNode[];
};

export interface UnknownCstNode extends CstNode {
  name: "unknown";
  children: UnknownCstChildren;
}

export type UnknownCstChildren = {
  UnknownKeyword: IToken[];
  Text?: IToken[];
};

export interface TriggerCstNode extends CstNode {
  name: "trigger";
  children: TriggerCstChildren;
}

export type TriggerCstChildren = {
  commandLine?: CommandLineCstNode[];
  paths?: PathsCstNode[];
  pairs?: PairsCstNode[];
  names?: NamesCstNode[];
  from?: FromCstNode[];
  text?: TextCstNode[];
  words?: WordsCstNode[];
  healthcheck?: HealthcheckCstNode[];
  unknown?: UnknownCstNode[];
};

export interface OnbuildCstNode extends CstNode {
  name: "onbuild";
  children: OnbuildCstChildren;
}

export type OnbuildCstChildren = {
  OnbuildKeyword: IToken[];
  flags: FlagsCstNode[];
  trigger?: TriggerCstNode[];
};

export interface InstructionCstNode extends CstNode {
  name: "instruction";
  children: InstructionCstChildren;
}

export type InstructionCstChildren = {
  trigger?: TriggerCstNode[];
  onbuild?: OnbuildCstNode[];
  LineEnd: IToken[];
};

export interface DockerfileCstNode extends CstNode {
  name: "dockerfile";
  children: DockerfileCstChildren;
}

export type DockerfileCstChildren = {
  instruction?: InstructionCstNode[];
};

export interface ICstNodeVisitor<IN, OUT> extends ICstVisitor<IN, OUT> {
  flags(children: FlagsCstChildren, param?: IN): OUT;
  jsonArray(children: JsonArrayCstChildren, param?: IN): OUT;
  command(children: CommandCstChildren, param?: IN): OUT;
  from(children: FromCstChildren, param?: IN): OUT;
  words(children: WordsCstChildren, param?: IN): OUT;
  paths(children: PathsCstChildren, param?: IN): OUT;
  names(children: NamesCstChildren, param?: IN): OUT;
  pairs(children: PairsCstChildren, param?: IN): OUT;
  commandLine(children: CommandLineCstChildren, param?: IN): OUT;
  text(children: TextCstChildren, param?: IN): OUT;
  healthcheck(children: HealthcheckCstChildren, param?: IN): OUT;
  unknown(children: UnknownCstChildren, param?: IN): OUT;
  trigger(children: TriggerCstChildren, param?: IN): OUT;
  onbuild(children: OnbuildCstChildren, param?: IN): OUT;
  instruction(children: InstructionCstChildren, param?: IN): OUT;
  dockerfile(children: DockerfileCstChildren, param?: IN): OUT;
}
