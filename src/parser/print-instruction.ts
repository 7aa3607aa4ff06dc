/** One instruction as one line, without the bodies of its heredocs. */
import { assertNever } from "../errors.ts";
import type {
  AddInstruction,
  Command,
  CopyInstruction,
  DeviceFlag,
  HealthcheckInstruction,
  Instruction,
  MountFlag,
  Pair,
  RunInstruction,
  Word,
} from "./ast.ts";
import { isSpace } from "./blanks.ts";
import { heredocMarkers, parseMarker } from "./heredoc-markers.ts";
import { jsonArrayAt } from "./instruction-table.ts";

type Escape = "\\" | "`";

export function instructionLine(instruction: Instruction, escaper: Escape): string {
  const keyword = instruction.keyword.text;
  const line = (flags: readonly string[], args: string): string => {
    // Behind `--` an argument may look like a flag.
    const end = args.startsWith("--") ? ["--"] : [];
    return [keyword, ...flags, ...end, ...(args === "" ? [] : [args])].join(" ");
  };
  switch (instruction.kind) {
    case "add":
    case "copy":
      return line(copyFlags(instruction, escaper), copyPaths(instruction));
    case "arg": {
      const args = instruction.args.map(({ name, defaultValue }) =>
        defaultValue === undefined ? name : `${name}=${defaultValue.raw}`,
      );
      return line([], args.join(" "));
    }
    case "cmd":
    case "entrypoint":
      return line([], commandText(instruction.command));
    case "env":
    case "label":
      return line([], instruction.pairs.map(pairText).join(" "));
    case "expose":
      return line([], rawOf(instruction.ports));
    case "from": {
      const { image, platform, stageNameText, asText = "AS" } = instruction;
      const stage = stageNameText === undefined ? "" : ` ${asText} ${stageNameText}`;
      return line(flag("--platform", platform?.raw, escaper), image.raw + stage);
    }
    case "healthcheck":
      return line(healthcheckFlags(instruction), healthcheckText(instruction));
    case "invalid":
      return instruction.joined;
    case "maintainer":
      return line([], instruction.name);
    case "onbuild":
      return `${keyword} ${instruction.trigger}`;
    case "run":
      return line(runFlags(instruction, escaper), commandText(instruction.command));
    case "shell":
      return line([], jsonText(instruction.argv));
    case "stopsignal":
      return line([], instruction.signal.raw);
    case "user":
      return line([], instruction.user.raw);
    case "volume": {
      const words = rawOf(instruction.paths);
      const json = !areWords(instruction.paths, words);
      return line([], json ? jsonText(instruction.paths.map(({ raw }) => raw)) : words);
    }
    case "workdir":
      return line([], instruction.path.raw);
    default:
      return assertNever(instruction);
  }
}

// Flags ------------------------------------------------------------------------------------------------------------

/** `--name=value`, or nothing when it is not given. */
function flag(name: string, value: string | undefined, escaper: Escape): readonly string[] {
  return value === undefined ? [] : [`${name}=${flagValue(value, escaper)}`];
}

/** In quotes where it must: what stands in them is taken as it is, but for the escape and the quote itself. */
function flagValue(value: string, escaper: Escape): string {
  const plain = [...value].every((character) => !isSpace(character) && !`'"${escaper}`.includes(character));
  if (plain) return value;
  const quoted = [...value].map((character) => (`"${escaper}`.includes(character) ? escaper + character : character));
  return `"${quoted.join("")}"`;
}

function copyFlags(node: CopyInstruction | AddInstruction, escaper: Escape): readonly string[] {
  return [
    ...(node.kind === "copy" ? flag("--from", node.from?.value, escaper) : []),
    ...flag("--chown", node.chown?.raw, escaper),
    ...flag("--chmod", node.chmod?.raw, escaper),
    ...(node.link ? ["--link"] : []),
    ...(node.kind === "copy" && node.parents ? ["--parents"] : []),
    ...(node.kind === "add" && node.keepGitDir ? ["--keep-git-dir"] : []),
    ...(node.kind === "add" ? flag("--checksum", node.checksum?.raw, escaper) : []),
    ...(node.kind === "add" && node.unpack !== undefined ? [node.unpack ? "--unpack" : "--unpack=false"] : []),
    ...node.exclude.flatMap((pattern) => flag("--exclude", pattern, escaper)),
  ];
}

function runFlags({ mounts, network, security, devices }: RunInstruction, escaper: Escape): readonly string[] {
  return [
    ...mounts.flatMap((mount) => flag("--mount", mountText(mount), escaper)),
    ...flag("--network", network, escaper),
    ...flag("--security", security, escaper),
    ...devices.flatMap((device) => flag("--device", deviceText(device), escaper)),
  ];
}

/** A record of CSV. The type comes first, because some options look at the one before them. */
function mountText(mount: MountFlag): string {
  if (mount.late !== undefined)
    return csvRecord(mount.late.map(({ key, value }) => (value === undefined ? key : `${key}=${value.raw}`)));
  const { type, target, source, from, readonly, id, sharing, mode, uid, gid, size, required, env } = mount;
  const words = { target, source, id, mode, uid, gid, size, env };
  const fields = [
    `type=${type}`,
    ...Object.entries(words).flatMap(([name, word]) => (word === undefined ? [] : [`${name}=${word.raw}`])),
    ...(from === undefined ? [] : [`from=${from}`]),
    ...(sharing === undefined ? [] : [`sharing=${sharing}`]),
    ...(readonly === undefined ? [] : [readonly ? "readonly" : "readwrite"]),
    ...(required === undefined ? [] : [required ? "required" : "required=false"]),
  ];
  return csvRecord(fields);
}

function deviceText({ name, required }: DeviceFlag): string {
  return csvRecord(required ? [name, "required"] : [name]);
}

function csvRecord(fields: readonly string[]): string {
  return fields.map((field) => (/[",]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field)).join(",");
}

function healthcheckFlags(node: HealthcheckInstruction): readonly string[] {
  const durations = [
    ["--interval", node.interval],
    ["--timeout", node.timeout],
    ["--start-period", node.startPeriod],
    ["--start-interval", node.startInterval],
  ] as const;
  return [
    ...durations.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${durationText(value)}`])),
    ...(node.retries === undefined ? [] : [`--retries=${node.retries}`]),
  ];
}

const units = [
  ["h", 3600e9],
  ["m", 60e9],
  ["s", 1e9],
  ["ms", 1e6],
] as const;

/** In the largest unit that leaves no fraction. */
function durationText(nanoseconds: number): string {
  const [name, length] = units.find(([, size]) => nanoseconds !== 0 && nanoseconds % size === 0) ?? ["ns", 1];
  return nanoseconds === 0 ? "0s" : `${nanoseconds / length}${name}`;
}

// Arguments --------------------------------------------------------------------------------------------------------

/** An escape at the end of a word takes one blank with it, so there are two. */
const joinedWords = (words: readonly string[]): string =>
  words.map((word, at) => (at < words.length - 1 ? word + (/[\\`]$/.test(word) ? "  " : " ") : word)).join("");

const rawOf = (words: readonly Word[]): string => words.map(({ raw }) => raw).join(" ");

function pairText({ key, value, legacy }: Pair): string {
  return legacy ? joinedWords([key.raw, value.raw]) : `${key.raw}=${value.raw}`;
}

function commandText(command: Command): string {
  return command.form === "exec" ? jsonText(command.argv) : command.text;
}

function healthcheckText({ command }: HealthcheckInstruction): string {
  return command === undefined ? "NONE" : `CMD ${commandText(command)}`;
}

/** Sources, heredoc markers, destination; as JSON when one of them would not stay one word. */
function copyPaths({ sources, heredocs, destination }: CopyInstruction | AddInstruction): string {
  const words = [...sources, destination];
  const markers = heredocs.map(({ marker }) => marker);
  const text = joinedWords([...sources.map(({ raw }) => raw), ...markers, destination.raw]);
  return heredocs.length > 0 || areWords(words, text) ? text : jsonText(words.map(({ raw }) => raw));
}

/** Whether `text`, the words with blanks between, is split into the same words again. */
function areWords(words: readonly Word[], text: string): boolean {
  const whole = words.every(({ raw }) => raw !== "" && !/[\t\n\v\f\r ]/.test(raw) && parseMarker(raw, 0) === undefined);
  const trimmed = !isSpace(text.at(-1) ?? "");
  return whole && trimmed && jsonArrayAt(text, 0) === undefined && heredocMarkers(text, 0, text.length).length === 0;
}

const jsonText = (values: readonly string[]): string => `[${values.map(jsonString).join(", ")}]`;

/** Only what must be escaped is: half a surrogate pair has no escape that gives it back. */
const jsonString = (value: string): string =>
  `"${value.replace(/["\\\u0000-\u001f]/g, (character) => JSON.stringify(character).slice(1, -1))}"`;
