/**
 * What the language has: the instructions, how the arguments of each are split, whether heredocs may stand there, and
 * its flags. The lexer, the heredoc search and the builders all ask this table. Source: Dockerfile reference and
 * BuildKit, frontend/dockerfile/instructions.
 */
import { argumentsStart, skipBlanks } from "./flag-words.ts";

/**
 * `from`: an image and AS. `words`: split at blanks. `paths`: a JSON array, or words. `names`, `pairs`: NAME=VALUE with
 * quotes, `pairs` with the old form too. `command`: a JSON array, or the rest of the line. `text`: the rest of the line.
 */
export type Form = "from" | "words" | "paths" | "names" | "pairs" | "command" | "text" | "healthcheck" | "onbuild";

export interface InstructionRow {
  readonly form: Form;
  readonly heredocs?: true;
  /** Absent: any flag is an error. `ignored`: flags are read over. */
  readonly flags?: Readonly<Record<string, FlagKind>> | "ignored";
  /** A line to write, for the hint. */
  readonly example: string;
}

/** `text`: empty means not given. `choice`: needs a value. `list`: may repeat. */
export type FlagKind = "boolean" | "text" | "choice" | "list";

export type InstructionKind =
  | "add"
  | "arg"
  | "cmd"
  | "copy"
  | "entrypoint"
  | "env"
  | "expose"
  | "from"
  | "healthcheck"
  | "label"
  | "maintainer"
  | "onbuild"
  | "run"
  | "shell"
  | "stopsignal"
  | "user"
  | "volume"
  | "workdir";

const copyFlags: Readonly<Record<string, FlagKind>> = {
  "--chown": "text",
  "--chmod": "text",
  "--link": "boolean",
  "--exclude": "list",
};

const rows: Readonly<Record<InstructionKind, InstructionRow>> = {
  add: {
    form: "paths",
    heredocs: true,
    flags: { ...copyFlags, "--keep-git-dir": "boolean", "--checksum": "text", "--unpack": "boolean" },
    example: "ADD SOURCE DESTINATION",
  },
  arg: { form: "names", flags: "ignored", example: "ARG NAME=DEFAULT" },
  cmd: { form: "command", example: 'CMD ["PROGRAM"]' },
  copy: {
    form: "paths",
    heredocs: true,
    flags: { "--from": "text", ...copyFlags, "--parents": "boolean" },
    example: "COPY SOURCE DESTINATION",
  },
  entrypoint: { form: "command", example: 'ENTRYPOINT ["PROGRAM"]' },
  env: { form: "pairs", example: "ENV NAME=VALUE" },
  expose: { form: "words", example: "EXPOSE 80" },
  from: { form: "from", flags: { "--platform": "text" }, example: "FROM IMAGE" },
  healthcheck: {
    form: "healthcheck",
    flags: {
      "--interval": "text",
      "--timeout": "text",
      "--start-period": "text",
      "--start-interval": "text",
      "--retries": "text",
    },
    example: "HEALTHCHECK CMD COMMAND",
  },
  label: { form: "pairs", example: "LABEL NAME=VALUE" },
  maintainer: { form: "text", example: "MAINTAINER NAME" },
  onbuild: { form: "onbuild", example: "ONBUILD RUN COMMAND" },
  run: {
    form: "command",
    heredocs: true,
    flags: { "--mount": "list", "--network": "choice", "--security": "choice", "--device": "list" },
    example: "RUN COMMAND",
  },
  shell: { form: "command", example: 'SHELL ["/bin/sh", "-c"]' },
  stopsignal: { form: "text", flags: "ignored", example: "STOPSIGNAL SIGTERM" },
  user: { form: "text", example: "USER NAME" },
  volume: { form: "paths", example: "VOLUME /PATH" },
  workdir: { form: "text", example: "WORKDIR /PATH" },
};

const table: ReadonlyMap<string, InstructionRow> = new Map(Object.entries(rows));

export const instructionKinds: readonly InstructionKind[] = Object.keys(rows) as InstructionKind[]; // the keys that its type has

/** The row of a keyword in any case, or undefined when there is no such instruction. */
export const instructionRow = (keyword: string): InstructionRow | undefined =>
  keyword.length > 16 ? undefined : table.get(keyword.toLowerCase());

/** What people call them elsewhere. */
const synonyms: Readonly<Record<string, InstructionKind>> = {
  BASE: "from",
  CD: "workdir",
  CHDIR: "workdir",
  COMMAND: "cmd",
  CWD: "workdir",
  EXEC: "run",
  EXPORT: "env",
  IMAGE: "from",
  MOVE: "copy",
  MV: "copy",
  PORT: "expose",
  PORTS: "expose",
  PWD: "workdir",
  SET: "env",
  SIGNAL: "stopsignal",
  START: "cmd",
};

/** The one that a word is a synonym of, else the nearest, else one that it begins with. Upper case. */
export function instructionMeant(keyword: string, nearest: string | undefined): string | undefined {
  const synonym = Object.hasOwn(synonyms, keyword) ? synonyms[keyword] : undefined;
  if (synonym !== undefined) return synonym.toUpperCase();
  if (nearest !== undefined) return nearest;
  const names = instructionKinds.map((kind) => kind.toUpperCase());
  return /^[A-Z_]+$/.test(keyword) ? names.find((name) => keyword.startsWith(name)) : undefined;
}

/** Upper case. */
export const instructionsWithFlag = (flag: string): readonly string[] =>
  instructionKinds
    .filter((kind) => {
      const { flags } = rows[kind];
      return flags !== undefined && flags !== "ignored" && Object.hasOwn(flags, flag);
    })
    .map((kind) => kind.toUpperCase());

/** Whether heredocs are looked for in a joined line: RUN, COPY, ADD, also behind ONBUILD, and not in the JSON form. */
export function mayHoldHeredocs(line: string, escaper: "\\" | "`"): boolean {
  let keywordStart = skipBlanks(line, 0);
  let keyword = keywordAt(line, keywordStart);
  if (instructionRow(keyword)?.form === "onbuild") {
    keywordStart = argumentsStart(line, keywordStart + keyword.length, escaper);
    keyword = keywordAt(line, keywordStart);
  }
  if (instructionRow(keyword)?.heredocs === undefined) return false;
  return jsonArrayAt(line, argumentsStart(line, keywordStart + keyword.length, escaper)) === undefined;
}

const word = /[^\t\v\f\r \n]*/y;

function keywordAt(line: string, start: number): string {
  word.lastIndex = start;
  return word.exec(line)?.[0] ?? "";
}

/** The array, when the rest of the line from `start` is one JSON array and nothing else. */
export function jsonArrayAt(text: string, start: number): readonly unknown[] | undefined {
  if (text[start] !== "[") return undefined;
  const feed = text.indexOf("\n", start);
  try {
    const value: unknown = JSON.parse(text.slice(start, feed === -1 ? text.length : feed));
    return Array.isArray(value) ? value : undefined;
  } catch {
    // Whatever is no JSON is the other form, without a word: so the language has it.
    return undefined;
  }
}
