/**
 * `RUN --mount=`: a line of CSV with options that fit one type and not the other.
 * Source: Dockerfile reference, "RUN --mount".
 */
import { nearestWord } from "../../nearest-word.ts";
import type { MountFlag, MountOption, Range, Word } from "../ast.ts";
import { badMount, idleMountOption, oneOf, type Report, unknownMountOption } from "../diagnostics.ts";
import { parseGoBoolean } from "../directives.ts";
import { literalOf } from "../literal.ts";
import { type MappedText, rangeIn, sliceMapped } from "../mapped-text.ts";
import { parseWord } from "../word.ts";
import { csvFields } from "./csv-fields.ts";
import type { Line } from "./line.ts";

type MountType = MountFlag["type"];

const types: readonly MountType[] = ["bind", "cache", "tmpfs", "secret", "ssh"];
const sharings = ["shared", "private", "locked"] as const;

interface Option {
  /** The name it goes by in the node. */
  readonly name: keyof MountFlag;
  /** The types that know it; absent: all. */
  readonly types?: readonly MountType[];
  /** The types that BuildKit lets it stand at without effect. */
  readonly idle?: readonly MountType[];
  /** May stand without value. */
  readonly bare?: true;
}

const owner: readonly MountType[] = ["cache", "secret", "ssh"];

const options: ReadonlyMap<string, Option> = new Map<string, Option>([
  ["type", { name: "type" }],
  ["target", { name: "target" }],
  ["dst", { name: "target" }],
  ["destination", { name: "target" }],
  ["source", { name: "source", types: ["bind", "cache", "secret"], idle: ["tmpfs"] }],
  ["src", { name: "source", types: ["bind", "cache", "secret"], idle: ["tmpfs"] }],
  ["from", { name: "from", types: ["bind", "cache"], idle: ["tmpfs", "ssh"] }],
  ["readonly", { name: "readonly", bare: true }],
  ["ro", { name: "readonly", bare: true }],
  ["readwrite", { name: "readonly", bare: true }],
  ["rw", { name: "readonly", bare: true }],
  ["id", { name: "id" }],
  ["sharing", { name: "sharing", types: ["cache"] }],
  ["mode", { name: "mode", types: owner }],
  ["uid", { name: "uid", types: owner }],
  ["gid", { name: "gid", types: owner }],
  ["size", { name: "size", types: ["tmpfs"] }],
  ["required", { name: "required", types: ["secret", "ssh"], bare: true }],
  ["env", { name: "env", types: ["secret"] }],
]);

type Draft = { -readonly [Key in keyof MountFlag]: MountFlag[Key] };

/** Undefined when something is wrong with it, and then that is reported. */
export function parseMount(line: Line, value: MappedText, range: Range): MountFlag | undefined {
  const fields = csvFields(value);
  if (fields === undefined) return void line.report(badMount("the quotes in --mount do not close", range));
  const known = fields.map((field) => parseOption(line, field));
  const given = known.filter((option) => option !== undefined);
  if (given.length < known.length) return undefined;
  const isLate = given.some(
    ({ key, value: word }) => deciding.has(key) && word !== undefined && literalOf(word) === undefined,
  );
  return isLate ? lateMount(given, range) : readMount(given, range, line.report);
}

/** The options that say what the others mean, or that are no text. */
const deciding: ReadonlySet<string> = new Set(
  [...options].filter(([, { name }]) => /^(?:type|sharing|readonly|required)$/.test(name)).map(([key]) => key),
);

function parseOption(line: Line, field: MappedText): MountOption | undefined {
  const range = rangeIn(field, 0, field.text.length);
  const equals = field.text.indexOf("=");
  const key = (equals === -1 ? field.text : field.text.slice(0, equals)).toLowerCase();
  if (!options.has(key)) return void line.report(unknownMountOption(key, range, nearestWord(key, options.keys())));
  if (equals === -1) return { key, range };
  const text = sliceMapped(field, equals + 1, field.text.length);
  if (key === "from" && /\$./.test(text.text))
    return void line.report(
      badMount("from in --mount takes no variables; name a stage with FROM $IMAGE AS NAME, and use that name", range),
    );
  const value = parseWord(text, 0, text.text.length, { escape: line.escape, quotes: true, report: line.report });
  return { key, value, range };
}

/** What it is, is known when its variables are: then `readMount` is asked again. */
function lateMount(given: readonly MountOption[], range: Range): MountFlag {
  const mount: Draft = { type: "bind", range, late: given };
  for (const { key, value } of given) {
    const name = options.get(key)?.name;
    if (value === undefined || name === undefined || deciding.has(key)) continue;
    if (name === "from") mount.from = value.raw;
    else mount[name as "target"] = value;
  }
  return mount;
}

/**
 * From options in their order to a mount. Undefined when they do not fit one another, which is reported. No deciding one
 * may hold a variable.
 */
export function readMount(given: readonly MountOption[], range: Range, report: Report): MountFlag | undefined {
  const mount: Draft = { type: "bind", range };
  let valid = true;
  const reject = (problem: string, place: Range, hint?: string): void => {
    report(badMount(problem, place, hint));
    valid = false;
  };
  const fitting = given.filter(({ key, value, range: place }) => {
    const option = optionOf(key);
    const problem = setOption(mount, key, option, value);
    if (problem !== undefined) reject(problem, place, nearestChoice(option, value?.raw ?? ""));
    return problem === undefined;
  });
  for (const { key, range: place } of fitting) {
    const option = optionOf(key);
    if (option.types === undefined || option.types.includes(mount.type)) continue;
    if (option.idle?.includes(mount.type) === true) report(idleMountOption(mount.type, key, place));
    else reject(noOption(mount.type, key), place);
  }
  if (!valid) return undefined;
  const problem = wholeProblem(mount);
  return problem === undefined ? mount : void report(badMount(problem, range));
}

function optionOf(key: string): Option {
  const option = options.get(key);
  if (option === undefined) throw new Error(`an unknown option of a mount: ${key}`);
  return option;
}

function nearestChoice({ name }: Option, value: string): string | undefined {
  return name === "type" ? nearestWord(value, types) : name === "sharing" ? nearestWord(value, sharings) : undefined;
}

const noOption = (type: MountType, key: string): string => `a mount of type ${type} has no ${key}`;

/** Sets one option, or says what is wrong with it. */
function setOption(mount: Draft, key: string, option: Option, word: Word | undefined): string | undefined {
  // Read from left to right: these two look at the type that was given before them.
  if ((key === "required" || key === "size") && !(option.types ?? types).includes(mount.type)) {
    return `${noOption(mount.type, key)}; type must stand before it`;
  }
  if (word === undefined) {
    if (option.bare === undefined) return `${key} in --mount needs a value: ${key}=VALUE`;
    if (option.name === "required") mount.required = true;
    else mount.readonly = key === "readonly" || key === "ro";
    return undefined;
  }
  switch (option.name) {
    case "target":
    case "source":
    case "id":
    case "env":
      mount[option.name] = word;
      return undefined;
    case "mode":
    case "uid":
    case "gid":
    case "size":
      mount[option.name] = word;
      return numberProblem(key, option.name, literalOf(word));
    case "from":
      mount.from = word.raw;
      return undefined;
    default:
      return setChoice(mount, key, option, literalOf(word) ?? "");
  }
}

function setChoice(mount: Draft, key: string, option: Option, value: string): string | undefined {
  if (option.name === "type") {
    const type = types.find((candidate) => candidate === value.toLowerCase());
    if (type === undefined) return `${value} is no type of mount, those are ${oneOf(types)}`;
    mount.type = type;
  } else if (option.name === "sharing") {
    const sharing = sharings.find((candidate) => candidate === value.toLowerCase());
    if (sharing === undefined) return `sharing is ${value}, but must be ${oneOf(sharings)}`;
    mount.sharing = sharing;
  } else {
    const boolean = parseGoBoolean(value);
    if (boolean === undefined) return `${key} is ${value}, but must be true or false`;
    if (option.name === "required") mount.required = boolean;
    else mount.readonly = key === "readonly" || key === "ro" ? boolean : !boolean;
  }
  return undefined;
}

function numberProblem(
  key: string,
  name: "mode" | "uid" | "gid" | "size",
  value: string | undefined,
): string | undefined {
  if (value === undefined) return undefined;
  if (name === "size") {
    return /^\d+(\.\d+)? ?([kmgtp]?i?b?)$/i.test(value)
      ? undefined
      : `size is ${value}, but must be a number of bytes such as 64m`;
  }
  const digits = name === "mode" ? /^[0-7]+$/ : /^[0-9]+$/;
  const number = digits.test(value) ? Number.parseInt(value, name === "mode" ? 8 : 10) : Number.NaN;
  if (number <= 0xffff_ffff) return undefined;
  return `${key} is ${value}, but must be ${name === "mode" ? "octal digits such as 0600" : "a number"}`;
}

function wholeProblem(mount: MountFlag): string | undefined {
  if (mount.type !== "secret") return undefined;
  if (mount.source !== undefined && mount.id !== undefined) return "a secret has an id or a source, not both";
  const named = [mount.id, mount.source, mount.target].some((word) => word !== undefined && literalOf(word) !== "");
  return named ? undefined : "a secret needs an id";
}
