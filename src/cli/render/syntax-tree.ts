/** A Dockerfile's tree for reading: one instruction a paragraph, with its line, and below it what it was taken apart to. */
import type { Command, Dockerfile, Heredoc, Instruction, MountFlag, Pair, Word } from "../../parser/ast.ts";
import { positionOf } from "../../parser/position.ts";
import { printable } from "./printable.ts";

export function renderTree(dockerfile: Dockerfile): string {
  const lines: string[] = [];
  for (const { name, value } of dockerfile.directives) lines.push(`# ${name}=${value}`);
  const last = dockerfile.instructions.at(-1);
  const width = last === undefined ? 1 : String(positionOf(dockerfile, last.range.start).line).length;
  for (const instruction of dockerfile.instructions) {
    const { line } = positionOf(dockerfile, instruction.range.start);
    const name = instruction.kind === "invalid" ? `invalid ${instruction.keyword.text}` : instruction.kind;
    lines.push(`${String(line).padStart(width)}  ${name}`);
    const fields = fieldsOf(instruction);
    const column = Math.max(0, ...fields.map(([field]) => field.length));
    for (const [field, text] of fields)
      lines.push(`${" ".repeat(width + 4)}${field.padEnd(column)}  ${text}`.trimEnd());
  }
  return lines.map((line) => `${printable(line.replaceAll("\n", "\\n"))}\n`).join("");
}

type Field = readonly [string, string];

/** What every node has, what the head line shows, and what another field says as it was written. */
const shownElsewhere: ReadonlySet<string> = new Set([
  "kind",
  "range",
  "keyword",
  "joined",
  "asText",
  "asRange",
  "stageName",
  "stageNameRange",
]);

function fieldsOf(instruction: Instruction): readonly Field[] {
  if (instruction.kind === "invalid") return [["text", instruction.joined]];
  return Object.entries(instruction).flatMap(([name, value]) =>
    shownElsewhere.has(name) ? [] : fieldLines(name, value as FieldValue),
  );
}

/** Everything a field of an instruction may hold; `Object.entries` forgets it. */
type FieldValue =
  | string
  | number
  | boolean
  | Word
  | Command
  | { readonly value: string }
  | readonly (string | Word | Pair | MountFlag | Heredoc | ArgEntry)[];

interface ArgEntry {
  readonly name: string;
  readonly defaultValue?: Word;
}

function fieldLines(name: string, value: FieldValue): readonly Field[] {
  if (typeof value === "boolean") return value ? [[name, "yes"]] : [];
  if (typeof value === "string" || typeof value === "number") return [[name, String(value)]];
  if (Array.isArray(value)) return value.map((item) => [name, itemText(item)]);
  if ("form" in value) return commandLines(name, value);
  if ("parts" in value) return [[name, wordText(value)]];
  return "value" in value ? [[name, value.value]] : [];
}

function commandLines(name: string, command: Command): readonly Field[] {
  if (command.form === "exec") return [[name, `exec ${JSON.stringify(command.argv)}`]];
  return [[name, `shell ${command.text}`], ...command.heredocs.map((heredoc): Field => ["heredoc", itemText(heredoc)])];
}

function itemText(item: string | Word | Pair | MountFlag | Heredoc | ArgEntry): string {
  if (typeof item === "string") return item;
  if ("parts" in item) return wordText(item);
  if ("key" in item) return `${wordText(item.key)} = ${wordText(item.value)}`;
  if ("marker" in item) return `${item.marker} ${JSON.stringify(item.body)}`;
  if ("type" in item) return mountText(item);
  return item.defaultValue === undefined ? item.name : `${item.name} = ${wordText(item.defaultValue)}`;
}

function mountText(mount: MountFlag): string {
  const options = Object.entries(mount).flatMap(([name, value]: [string, Word | string | boolean | object]) => {
    if (name === "range" || name === "type") return [];
    return [`${name}=${typeof value === "object" ? ("parts" in value ? wordText(value) : "") : String(value)}`];
  });
  return [mount.type, ...options].join(" ");
}

/** As written, and the variables in it: `"a $b" (b)`. */
function wordText(word: Word): string {
  const names = new Set(variablesIn(word));
  return names.size === 0 ? word.raw : `${word.raw}  (needs ${[...names].join(", ")})`;
}

function variablesIn(word: Word): readonly string[] {
  return word.parts.flatMap((part) => {
    if (part.kind === "text") return [];
    const { modifier } = part;
    if (modifier === undefined) return [part.name];
    if (modifier.kind === "default") return [part.name, ...variablesIn(modifier.word)];
    if (modifier.kind === "remove") return [part.name, ...variablesIn(modifier.pattern)];
    return [part.name, ...variablesIn(modifier.pattern), ...variablesIn(modifier.replacement)];
  });
}
