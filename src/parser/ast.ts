/**
 * What a Dockerfile says, as read-only data: no methods, no parents, no filled-in defaults, variables unexpanded.
 * Ranges are UTF-16 offsets into the file's text, end exclusive; line and column are computed when printed.
 */

export interface Range {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

export interface Dockerfile {
  /** The file's text, which all ranges point into. */
  readonly text: string;
  /** The name it is shown under: `Dockerfile`. */
  readonly file: string;
  readonly escape: "\\" | "`";
  readonly directives: readonly Directive[];
  /** Every comment that is not a directive, in order. */
  readonly comments: readonly Comment[];
  readonly instructions: readonly Instruction[];
}

export interface Directive {
  readonly name: string;
  readonly value: string;
  readonly range: Range;
}

export interface Comment {
  /** Without `#` and one blank. */
  readonly text: string;
  readonly range: Range;
}

// Words ----------------------------------------------------------------------------------------------------------

/** One word with its quotes and escapes taken apart. Its value is the concatenation of its parts' values. */
export interface Word {
  readonly parts: readonly WordPart[];
  /**
   * What the rules of words were applied to: as written, with quotes. Continuations are joined in it, a JSON element is
   * decoded, and of a flag's value the quotes around it are gone.
   */
  readonly raw: string;
  /** In the file, so that it may hold more than `raw`: comments and continuations between two of its characters. */
  readonly range: Range;
}

export type WordPart = TextPart | VariablePart;

export interface TextPart {
  readonly kind: "text";
  /** Quotes and escapes removed. */
  readonly value: string;
  /** Stood inside quotes or behind an escape: EXPOSE does not split it at blanks. */
  readonly quoted: boolean;
}

export interface VariablePart {
  readonly kind: "variable";
  /** `PATH`, `1`, `@`. */
  readonly name: string;
  readonly modifier?: Modifier;
  readonly quoted: boolean;
  readonly range: Range;
}

export type Modifier =
  | { readonly kind: "default"; readonly operator: "-" | ":-" | "+" | ":+" | "?" | ":?"; readonly word: Word }
  /** `pattern` keeps its backslashes: they escape pattern characters (`\*` `\?` `\\`). */
  | { readonly kind: "remove"; readonly operator: "#" | "##" | "%" | "%%"; readonly pattern: Word }
  | {
      readonly kind: "replace";
      readonly operator: "/" | "//";
      readonly pattern: Word;
      /** Keeps its backslashes too. */
      readonly replacement: Word;
    };

// Forms ----------------------------------------------------------------------------------------------------------

/** The command of RUN, CMD, ENTRYPOINT and HEALTHCHECK. */
export type Command =
  | { readonly form: "exec"; readonly argv: readonly string[]; readonly range: Range }
  | {
      readonly form: "shell";
      /** The joined line after the flags, trimmed; with heredocs the markers are still in it. */
      readonly text: string;
      /** Only RUN has any. */
      readonly heredocs: readonly Heredoc[];
      readonly range: Range;
    };

export interface Heredoc {
  /** The terminator, quotes and backslashes removed. */
  readonly name: string;
  /** The marker as written: `<<-"EOF"`. */
  readonly marker: string;
  /** `3` of `3<<EOF`. */
  readonly fileDescriptor?: number;
  /** `<<-`: leading tabs are removed when the body is used. */
  readonly stripTabs: boolean;
  /** The marker held a quote: the body is not expanded. */
  readonly quoted: boolean;
  /** Raw bytes between marker line and terminator line, line ends included, tabs not yet removed. */
  readonly body: string;
  /** COPY and ADD, unquoted only: the body (tabs removed) taken apart by the rules of heredoc bodies. */
  readonly word?: Word;
  readonly range: Range;
  readonly bodyRange: Range;
}

export interface Pair {
  readonly key: Word;
  readonly value: Word;
  /** `ENV a b` without `=`. */
  readonly legacy: boolean;
  readonly range: Range;
}

// Instructions ---------------------------------------------------------------------------------------------------

interface Node {
  /** From the keyword to the end of the last line (heredoc terminators included). */
  readonly range: Range;
  readonly keyword: { readonly text: string; readonly range: Range };
  /** Doc comments directly above, lines joined by `\n`; absent when there are none. */
  readonly doc?: string;
  /** Continuations joined, as BuildKit shows the step: `RUN npm ci`. */
  readonly joined: string;
}

export type Instruction =
  | AddInstruction
  | ArgInstruction
  | CmdInstruction
  | CopyInstruction
  | EntrypointInstruction
  | EnvInstruction
  | ExposeInstruction
  | FromInstruction
  | HealthcheckInstruction
  | LabelInstruction
  | MaintainerInstruction
  | OnbuildInstruction
  | RunInstruction
  | ShellInstruction
  | StopsignalInstruction
  | UserInstruction
  | VolumeInstruction
  | WorkdirInstruction
  | InvalidInstruction;

/** A line with an error: it keeps its place and loses its meaning. The diagnostic says what is wrong. */
export interface InvalidInstruction extends Node {
  readonly kind: "invalid";
}

export interface FromInstruction extends Node {
  readonly kind: "from";
  readonly image: Word;
  readonly platform?: Word;
  /** Lower case, as it compares; `stageNameText` is what was written. */
  readonly stageName?: string;
  readonly stageNameText?: string;
  readonly stageNameRange?: Range;
  /** The keyword AS as written, for the casing check. */
  readonly asText?: string;
  readonly asRange?: Range;
}

export interface ArgInstruction extends Node {
  readonly kind: "arg";
  readonly args: readonly { readonly name: string; readonly defaultValue?: Word; readonly range: Range }[];
}

export interface EnvInstruction extends Node {
  readonly kind: "env";
  readonly pairs: readonly Pair[];
}

export interface LabelInstruction extends Node {
  readonly kind: "label";
  readonly pairs: readonly Pair[];
}

export interface RunInstruction extends Node {
  readonly kind: "run";
  readonly command: Command;
  readonly mounts: readonly MountFlag[];
  readonly network?: "default" | "none" | "host";
  readonly security?: "sandbox" | "insecure";
  readonly devices: readonly DeviceFlag[];
}

/** `--device=`. */
export interface DeviceFlag {
  /** `vendor.com/class=name`; `vendor.com/class` alone is the first of its kind, `=*` all of them. */
  readonly name: string;
  readonly required: boolean;
  readonly range: Range;
}

/** `--mount=`: which keys fit which type is checked in the parser, values that hold variables stay words. */
export interface MountFlag {
  readonly type: "bind" | "cache" | "tmpfs" | "secret" | "ssh";
  readonly target?: Word;
  readonly source?: Word;
  readonly from?: string;
  readonly readonly?: boolean;
  readonly id?: Word;
  readonly sharing?: "shared" | "private" | "locked";
  readonly mode?: Word;
  readonly uid?: Word;
  readonly gid?: Word;
  readonly size?: Word;
  readonly required?: boolean;
  readonly env?: Word;
  /**
   * All options in their order, when `type`, `sharing`, `readonly` or `required` holds a variable. What the mount is, is
   * known when they are expanded (`readMount`); what else stands here is only where it stands.
   */
  readonly late?: readonly MountOption[];
  readonly range: Range;
}

export interface MountOption {
  /** Lower case, as written: `dst`. */
  readonly key: string;
  /** Absent without `=`. */
  readonly value?: Word;
  readonly range: Range;
}

interface CopyLike extends Node {
  readonly sources: readonly Word[];
  readonly destination: Word;
  readonly heredocs: readonly Heredoc[];
  readonly chown?: Word;
  readonly chmod?: Word;
  readonly link: boolean;
  readonly exclude: readonly string[];
}

export interface CopyInstruction extends CopyLike {
  readonly kind: "copy";
  readonly from?: { readonly value: string; readonly range: Range };
  readonly parents: boolean;
}

export interface AddInstruction extends CopyLike {
  readonly kind: "add";
  readonly keepGitDir: boolean;
  readonly checksum?: Word;
  /** Absent: archives of the context are unpacked, downloads are not. */
  readonly unpack?: boolean;
}

export interface CmdInstruction extends Node {
  readonly kind: "cmd";
  readonly command: Command;
}

export interface EntrypointInstruction extends Node {
  readonly kind: "entrypoint";
  readonly command: Command;
}

export interface ShellInstruction extends Node {
  readonly kind: "shell";
  readonly argv: readonly string[];
}

export interface ExposeInstruction extends Node {
  readonly kind: "expose";
  readonly ports: readonly Word[];
}

export interface HealthcheckInstruction extends Node {
  readonly kind: "healthcheck";
  /** Absent: `NONE`. */
  readonly command?: Command;
  /** Nanoseconds; 0 and absent mean the same. */
  readonly interval?: number;
  readonly timeout?: number;
  readonly startPeriod?: number;
  readonly startInterval?: number;
  readonly retries?: number;
}

export interface UserInstruction extends Node {
  readonly kind: "user";
  readonly user: Word;
}

export interface WorkdirInstruction extends Node {
  readonly kind: "workdir";
  readonly path: Word;
}

export interface VolumeInstruction extends Node {
  readonly kind: "volume";
  readonly paths: readonly Word[];
}

export interface StopsignalInstruction extends Node {
  readonly kind: "stopsignal";
  readonly signal: Word;
}

export interface MaintainerInstruction extends Node {
  readonly kind: "maintainer";
  readonly name: string;
}

export interface OnbuildInstruction extends Node {
  readonly kind: "onbuild";
  /** As the image config stores it: without `ONBUILD`, heredoc bodies appended. */
  readonly trigger: string;
}

// Diagnostics ----------------------------------------------------------------------------------------------------

export interface Diagnostic {
  readonly severity: "error" | "warning";
  /** `unknown-instruction`; for a build check its BuildKit name, `MaintainerDeprecated`. */
  readonly code: string;
  readonly message: string;
  readonly range: Range;
  readonly hint?: string;
}

export interface ParseResult {
  readonly dockerfile: Dockerfile;
  /** Every problem of the file, in order of place. */
  readonly diagnostics: readonly Diagnostic[];
}
