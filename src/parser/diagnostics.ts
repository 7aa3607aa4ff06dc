/** Every sentence the parser says, one function each, so that they can be read side by side. */
import type { Diagnostic, Range } from "./ast.ts";

export type Report = (diagnostic: Diagnostic) => void;

const error = (code: string, message: string, range: Range, hint?: string): Diagnostic =>
  hint === undefined ? { severity: "error", code, message, range } : { severity: "error", code, message, range, hint };

const didYouMean = (nearest: string | undefined): string | undefined =>
  nearest === undefined ? undefined : `did you mean ${nearest}?`;

/** `a, b or c`. */
export const oneOf = (values: readonly string[]): string =>
  `${values.slice(0, -1).join(", ")} or ${values.at(-1) ?? ""}`;

// the file -------------------------------------------------------------------------------------------------------

export const notText = (range: Range): Diagnostic =>
  error("not-text", "this is not a text file", range, "name the Dockerfile with -f");
export const emptyFile = (range: Range): Diagnostic =>
  error("empty-file", "the file is empty", range, "a Dockerfile starts with FROM");
export const noInstruction = (range: Range): Diagnostic =>
  error("no-instruction", "the file has no instruction", range, "a Dockerfile starts with FROM");
export const noStage = (range: Range): Diagnostic =>
  error("no-stage", "the file has ARG but no FROM, so there is nothing to build", range, "write FROM IMAGE below it");
export const beforeFrom = (keyword: string, range: Range): Diagnostic =>
  error("before-from", `${keyword} stands before the first FROM`, range, "only ARG may stand there");
export const lineTooLong = (bytes: number, range: Range): Diagnostic =>
  error(
    "line-too-long",
    `the line has ${bytes} bytes, at most 65535 are allowed`,
    range,
    "split it with continuations",
  );

export const nothingContinued = (range: Range): Diagnostic =>
  error("nothing-continued", "the line continues, and nothing follows", range, "remove it");

// directives -----------------------------------------------------------------------------------------------------

export const repeatedDirective = (name: string, range: Range): Diagnostic =>
  error("repeated-directive", `the directive ${name} is given twice`, range, "the first one counts; remove this one");
export const badEscape = (value: string, range: Range): Diagnostic =>
  error("bad-escape", `the escape character is ${value}, and can only be \\ or \``, range, "write # escape=`");
export const badCheck = (what: string, range: Range): Diagnostic =>
  error("bad-check-directive", what, range, "write # check=skip=NAME,NAME;error=true");
export const foreignSyntax = (reference: string, range: Range): Diagnostic => ({
  severity: "warning",
  code: "foreign-syntax",
  message: `syntax ${reference} is not used: tsbuild has one frontend, its own`,
  range,
});

// lines ----------------------------------------------------------------------------------------------------------

export const unknownInstruction = (keyword: string, range: Range, nearest?: string): Diagnostic =>
  error("unknown-instruction", `unknown instruction ${keyword}`, range, didYouMean(nearest));
/** An invisible character stands in the first word of a line. */
export const invisibleCharacter = (keyword: string, range: Range, hint: string): Diagnostic =>
  error("unknown-instruction", `unknown instruction ${keyword}`, range, hint);
export const notDockerfile = (range: Range): Diagnostic =>
  error("not-a-dockerfile", "no line of this file is an instruction", range, "name the Dockerfile with -f");
/** A line whose first word is near to nothing: what it may have been meant as. */
export function strayLine(keyword: string, range: Range, context: StrayContext): Diagnostic {
  return error("unknown-instruction", `unknown instruction ${keyword}`, range, strayHint(keyword, context));
}

export interface StrayContext {
  /** All instructions there are. */
  readonly names: readonly string[];
  readonly escape: string;
  /** Nothing stands above that it could continue. */
  readonly first: boolean;
  /** It is one word, and a line above holds `<<` and that word. */
  readonly terminator: boolean;
}

function strayHint(keyword: string, { names, escape: escaper, first, terminator }: StrayContext): string {
  if (terminator) return `<<${keyword} above starts no heredoc: its line has an open quote, or is no RUN, COPY or ADD`;
  if (/^(\/\/|\/\*|\*|--$|;|<!--|%|')/.test(keyword)) return "a comment starts with #";
  const [word = ""] = /^[A-Za-z]*/.exec(keyword) ?? [];
  if (word !== keyword && names.includes(word.toUpperCase()))
    return `write ${word.toUpperCase()}, and a blank behind it`;
  if (/^[A-Z]+$/.test(keyword)) return `there are ${names.slice(0, -1).join(", ")} and ${names.at(-1) ?? ""}`;
  const run = /^[a-z]/.test(keyword) ? `a command needs RUN in front` : "";
  const above = first ? "" : `to go on with the line above, end that with ${escaper}`;
  return [run, above].filter((text) => text !== "").join("; ") || "a comment starts with #";
}
export const unreadable = (keyword: string, range: Range): Diagnostic =>
  error("unreadable-instruction", `${keyword} cannot be understood from here on`, range);
export const emptyContinuation = (range: Range): Diagnostic => ({
  severity: "warning",
  code: "NoEmptyContinuation",
  message: "Empty continuation line",
  range,
  hint: "remove the empty line, or write a comment there",
});
export const unterminatedHeredoc = (name: string, range: Range, hint: string): Diagnostic =>
  error("unterminated-heredoc", `the heredoc is never closed: no line is exactly ${name}`, range, hint);

// flags ----------------------------------------------------------------------------------------------------------

/** `others`: instructions that do have it. */
export const unknownFlag = (
  { keyword, flag, flags, others }: UnknownFlag,
  range: Range,
  nearest: string | undefined,
): Diagnostic =>
  error(
    "unknown-flag",
    `${keyword} has no flag ${flag}`,
    range,
    didYouMean(nearest) ??
      (others.length > 0 ? `${flag} is a flag of ${others.join(" and ")}` : `there ${list(flags)}`),
  );
export interface UnknownFlag {
  readonly keyword: string;
  readonly flag: string;
  readonly flags: readonly string[];
  readonly others: readonly string[];
}
const list = (names: readonly string[]): string =>
  names.length === 1 ? `is ${names[0]}` : `are ${names.slice(0, -1).join(", ")} and ${names.at(-1) ?? ""}`;
export const noFlags = (keyword: string, flag: string, range: Range, isArgument: boolean): Diagnostic =>
  error(
    "unknown-flag",
    `${keyword} takes no flags, but ${flag} is given`,
    range,
    isArgument ? `as an argument, write ${keyword} ["${flag}"]` : undefined,
  );
export const repeatedFlag = (flag: string, range: Range): Diagnostic =>
  error("repeated-flag", `${flag} is given twice`, range);
/** `next`: the word behind it, which may have been meant. */
export const flagNeedsValue = (flag: string, range: Range, next = "VALUE"): Diagnostic =>
  error("flag-needs-value", `${flag} needs a value`, range, `write ${flag}=${next}`);
export const badFlagValue = (
  flag: string,
  value: string,
  expected: string,
  range: Range,
  meant?: string | undefined,
): Diagnostic =>
  error(
    "bad-flag-value",
    `${flag} is ${value === "" ? "empty" : value}, but must be ${expected}`,
    range,
    didYouMean(meant),
  );

// words ----------------------------------------------------------------------------------------------------------

export const unclosedQuote = (quote: string, range: Range, escaper: string): Diagnostic =>
  error(
    "unclosed-quote",
    `the quote ${quote} is never closed`,
    range,
    `for the character itself write ${escaper}${quote}`,
  );
export const unclosedSubstitution = (range: Range): Diagnostic =>
  error("bad-substitution", "${ is never closed with }", range, "a variable is written $NAME or ${NAME}");
/** A blank ended the word it stands in. */
export const cutSubstitution = (diagnostic: Diagnostic): Diagnostic => ({
  ...diagnostic,
  hint: "a blank ends the value: put it into double quotes",
});
export const badSubstitution = (text: string, range: Range): Diagnostic =>
  error("bad-substitution", `${text} is no variable`, range, "write ${NAME}");
export const unsupportedModifier = (modifier: string, range: Range): Diagnostic =>
  error(
    "bad-substitution",
    `the modifier ${modifier} is not known`,
    range,
    "known are :- - :+ + :? ? # ## % %% / and //",
  );
export const replaceNeedsSlash = (range: Range): Diagnostic =>
  error("bad-substitution", "a replacement needs both slashes", range, "write ${NAME/PATTERN/REPLACEMENT}");
export const badPatternEscape = (text: string, range: Range): Diagnostic =>
  error("bad-pattern", `${text} is no escape of a pattern`, range, "a pattern knows \\* \\? \\\\ \\} and \\/");
export const tooDeep = (range: Range): Diagnostic =>
  error("bad-substitution", "variables are nested too deeply", range);

// arguments ------------------------------------------------------------------------------------------------------

export const needsArgument = (keyword: string, range: Range, example: string): Diagnostic =>
  error("missing-argument", `${keyword} needs an argument`, range, `write ${example}`);
export const tooFewArguments = (keyword: string, range: Range, given: string | undefined): Diagnostic =>
  error(
    "missing-argument",
    `${keyword} needs a source and a destination`,
    range,
    `write ${keyword} ${given ?? "SOURCE"} DESTINATION`,
  );
export const notStrings = (keyword: string, range: Range): Diagnostic =>
  error("json-not-strings", `the JSON form of ${keyword} takes strings only`, range);
export const needsJson = (keyword: string, range: Range, meant: readonly string[]): Diagnostic =>
  error(
    "needs-json",
    `${keyword} takes a JSON array with at least one string`,
    range,
    `write ${keyword} [${meant.map((word) => JSON.stringify(word)).join(", ")}]`,
  );
/** It looks like the JSON form and is none, so a shell, or a path, gets it as it stands. */
export const nearJson = (keyword: string, flaw: string, range: Range): Diagnostic => ({
  severity: "warning",
  code: "near-json",
  message: `this is no JSON array, so ${keyword} takes it as plain text`,
  range,
  hint: flaw,
});
export const blankBeforeEquals = (keyword: string, name: string, value: string, range: Range): Diagnostic => ({
  severity: "warning",
  code: "blank-before-equals",
  message: `${name} gets the value ${value}, with the =`,
  range,
  hint: `no blanks stand round it: ${keyword} ${name}=${value.slice(1).trim()}`,
});
export const flagBehindCommand = (flag: string, range: Range): Diagnostic => ({
  severity: "warning",
  code: "flag-behind-command",
  message: `${flag} is part of the command here`,
  range,
  hint: `flags stand in front of CMD: HEALTHCHECK ${flag}=… CMD …`,
});
export const fromArity = (range: Range, meant = "FROM IMAGE AS NAME"): Diagnostic =>
  error("from-arguments", "FROM takes an image, and AS with a name after it", range, `write ${meant}`);
export const commentInFrom = (range: Range): Diagnostic =>
  error("from-arguments", "FROM takes an image, and AS with a name after it", range, ownLine);
export const namelessStage = (as: string, image: string, range: Range): Diagnostic =>
  error("from-arguments", `${as} needs a name behind it`, range, `write FROM ${image} AS NAME`);
export const badStageName = (name: string, range: Range): Diagnostic =>
  error(
    "bad-stage-name",
    `${name} is no stage name`,
    range,
    "a stage name starts with a letter and holds letters, digits, - _ and .",
  );
export const emptyName = (keyword: string, range: Range): Diagnostic =>
  error("empty-name", `a name in ${keyword} is empty`, range);
/** `before`: the pair in front of it, to which the words may belong. */
export const pairWithoutEquals = (keyword: string, words: string, range: Range, before?: string): Diagnostic =>
  error(
    "pair-without-equals",
    `${words} in ${keyword} has no =`,
    range,
    words.startsWith("#")
      ? ownLine
      : hasTypographicQuote(`${before ?? ""}${words}`)
        ? typographicHint
        : before?.endsWith("=") === true
          ? `no blanks stand round the =: ${before}${words}`
          : before !== undefined && !/['"\\`]/.test(before + words)
            ? `a value with blanks needs quotes: ${before.replace("=", '="')} ${words}"`
            : "write NAME=VALUE, with quotes round a value that has blanks",
  );
const ownLine = "a comment needs a line of its own";
export const pairWithoutValue = (keyword: string, name: string, range: Range): Diagnostic =>
  error("pair-without-value", `${keyword} ${name} has no value`, range, `write ${keyword} ${name}=VALUE`);
export const heredocDestination = (keyword: string, range: Range): Diagnostic =>
  error("heredoc-destination", `a heredoc cannot be the destination of ${keyword}`, range);
/** Quotes do not hold a path together there, so a blank may be what left this one open. */
/** `flaw`: of an array that is nearly one. */
export const quoteInPaths = (keyword: string, quote: Diagnostic, flaw: string | undefined): Diagnostic => ({
  ...quote,
  hint: flaw ?? `a path with blanks needs the JSON form: ${keyword} ["A PATH", …]`,
});
export const variableInFrom = (flag: string, range: Range): Diagnostic =>
  error(
    "variable-in-from",
    `${flag} takes no variables`,
    range,
    "name a stage with FROM $IMAGE AS NAME, and use that name",
  );
export const urlInCopy = (url: string, range: Range): Diagnostic =>
  error("url-in-copy", `COPY cannot download ${url}`, range, "use ADD");
export const checksumOfLocal = (range: Range): Diagnostic =>
  error("checksum-of-local", "--checksum needs one source that is a URL or a git repository", range);
export const badChmod = (value: string, range: Range): Diagnostic =>
  error("bad-chmod", `${value} is no mode`, range, "write octal digits such as 0644, or u+x");
export const emptyVolume = (range: Range): Diagnostic => error("empty-volume", "a path in VOLUME is empty", range);
export const badPort = (port: string, range: Range, hint: string): Diagnostic =>
  error("bad-port", `${port} is no port`, range, port.startsWith("#") ? ownLine : hint);

// taken as text --------------------------------------------------------------------------------------------------

const takenAsText = (code: string, message: string, range: Range, hint: string): Diagnostic => ({
  severity: "warning",
  code,
  message,
  range,
  hint,
});

const typographic = /[\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb]/;
export const hasTypographicQuote = (text: string): boolean => typographic.test(text);
export const typographicHint = "only \" and ' are quotes, not the typographic ones";

export const typographicQuote = (quote: string, range: Range): Diagnostic =>
  takenAsText("typographic-quote", `${quote} is an ordinary character here`, range, typographicHint);
export const commentInArguments = (keyword: string, range: Range): Diagnostic =>
  takenAsText("comment-in-arguments", `# and what follows it are arguments of ${keyword}`, range, ownLine);
export const commandInValue = (keyword: string, command: string, range: Range): Diagnostic =>
  takenAsText(
    "command-in-value",
    `${keyword} runs no commands: ${command} stays as it is`,
    range,
    "take what it prints in a RUN, or give it from outside with ARG and --build-arg",
  );
export const bracesInPath = (path: string, paths: string, range: Range): Diagnostic =>
  takenAsText("braces-in-path", `braces are no wildcard: ${path} is one name`, range, `write ${paths}`);
export const wildcardDestination = (path: string, range: Range): Diagnostic =>
  takenAsText(
    "wildcard-in-destination",
    `the destination is ${path}, with the *`,
    range,
    "only sources have wildcards: name the file, or a folder with a slash behind it",
  );
export const commaBehindPath = (path: string, range: Range): Diagnostic =>
  takenAsText("comma-behind-path", `${path} is a name with a comma`, range, "paths stand with blanks between them");
export const blankBehindBackslash = (keyword: string, path: string, range: Range): Diagnostic =>
  takenAsText(
    "blank-in-path",
    `the path ends at the blank, also behind ${path}`,
    range,
    `a path with blanks needs the JSON form: ${keyword} ["A PATH", …]`,
  );
export const singleDash = (word: string, as: string, range: Range): Diagnostic =>
  takenAsText("single-dash", `${word} is ${as} here`, range, `a flag has two dashes: -${word}`);
export const optionBehindBlank = (flag: string, option: string, range: Range): Diagnostic =>
  takenAsText(
    "option-behind-blank",
    `${option} is part of the command`,
    range,
    `a comma joins options: ${flag},${option}`,
  );
export const blankInUser = (user: string, range: Range): Diagnostic =>
  takenAsText(
    "blank-in-user",
    `the user is ${JSON.stringify(user)}, with the blank`,
    range,
    "USER takes NAME or NAME:GROUP",
  );
export const heredocGoesOn = (name: string, range: Range): Diagnostic =>
  takenAsText(
    "heredoc-goes-on",
    `this line does not end the heredoc ${name}, because of the blanks behind it`,
    range,
    "remove the blanks, or give the heredoc another name",
  );
export const nearDirective = (name: string, nearest: string, range: Range): Diagnostic =>
  takenAsText("near-directive", `${name} is no directive, so the line is a comment`, range, `did you mean ${nearest}?`);
export const badSignal = (signal: string, range: Range, nearest?: string): Diagnostic =>
  error(
    "bad-signal",
    `${signal} is no signal`,
    range,
    signal.includes(" #") ? ownLine : (didYouMean(nearest) ?? "write a name such as SIGTERM, or a number"),
  );
export const healthcheckType = (word: string, range: Range): Diagnostic =>
  error(
    "healthcheck-type",
    `HEALTHCHECK knows CMD and NONE, not ${word}`,
    range,
    `write CMD in front of the command: CMD ${word} …`,
  );
export const healthcheckNone = (range: Range): Diagnostic =>
  error("healthcheck-none", "HEALTHCHECK NONE takes no arguments", range);
export const badTrigger = (keyword: string, range: Range): Diagnostic =>
  error("bad-trigger", `ONBUILD cannot hold ${keyword}`, range);
export const notOneTrigger = (range: Range): Diagnostic =>
  error("bad-trigger", "an ONBUILD trigger is one instruction", range);

// mounts ---------------------------------------------------------------------------------------------------------

export const badMount = (what: string, range: Range, meant?: string): Diagnostic =>
  error("bad-mount", what, range, didYouMean(meant));
export const unknownMountOption = (key: string, range: Range, nearest?: string): Diagnostic =>
  key === ""
    ? error("bad-mount", "--mount has an empty option", range, "options are joined by commas, without blanks")
    : error("bad-mount", `--mount has no option ${key}`, range, didYouMean(nearest));
export const badDevice = (what: string, range: Range): Diagnostic =>
  error("bad-device", what, range, "such as --device=vendor.com/class=name,required");
export const unknownDeviceOption = (key: string, range: Range, nearest?: string): Diagnostic =>
  error("bad-device", `--device has no option ${key}`, range, didYouMean(nearest));
export const idleMountOption = (type: string, key: string, range: Range): Diagnostic => ({
  severity: "warning",
  code: "idle-mount-option",
  message: `${key} has no effect on a mount of type ${type}`,
  range,
});
