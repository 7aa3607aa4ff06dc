/** The functions of templates: Go's own and docker's. Source: text/template, funcs.go; docker/cli, templates.go. */
import { formatValue, sortedEntries, sprintf, typeName } from "./go-format.ts";

/** Throws an `Error` whose text says what was wrong; the evaluator adds where. */
export type TemplateFunction = (...values: unknown[]) => unknown;

/** `and` and `or` are not here: they do not evaluate all that they are given. */
export const templateFunctions: ReadonlyMap<string, TemplateFunction> = new Map<string, TemplateFunction>([
  ["not", (value) => !isTrue(value)],
  ["eq", (first, ...others) => others.some((other) => compare(first, other) === 0)],
  ["ne", (a, b) => compare(a, b) !== 0],
  ["lt", (a, b) => order(a, b) < 0],
  ["le", (a, b) => order(a, b) <= 0],
  ["gt", (a, b) => order(a, b) > 0],
  ["ge", (a, b) => order(a, b) >= 0],
  ["len", lengthOf],
  ["index", (value, ...keys) => keys.reduce(elementOf, value)],
  ["slice", slice],
  ["print", (...values) => print(values)],
  ["println", (...values) => `${values.map((value) => formatValue(value)).join(" ")}\n`],
  ["printf", (format, ...values) => sprintf(text(format), values)],
  ["html", (...values) => escapeHtml(print(values))],
  ["js", (...values) => escapeScript(print(values))],
  ["urlquery", (...values) => encodeURIComponent(print(values)).replaceAll("%20", "+")],
  ["call", (callee, ...values) => callFunction(callee, values)],
  ["json", (value) => templateJson(value)],
  ["split", (whole, separator) => text(whole).split(text(separator))],
  [
    "join",
    (list, separator) =>
      elements(list)
        .map((item) => formatValue(item))
        .join(text(separator)),
  ],
  [
    "title",
    (value) =>
      text(value).replace(/(^|[^\p{L}\p{N}_'])(\p{L})/gu, (_all, before, letter) => before + letter.toUpperCase()),
  ],
  ["lower", (value) => text(value).toLowerCase()],
  ["upper", (value) => text(value).toUpperCase()],
  [
    "pad",
    (value, left, right) =>
      text(value) === "" ? "" : " ".repeat(count(left)) + text(value) + " ".repeat(count(right)),
  ],
  ["truncate", (value, length) => [...text(value)].slice(0, count(length)).join("")],
]);

/** Compact JSON, in the order of the fields, without methods. */
export function templateJson(value: unknown): string {
  return (
    JSON.stringify(value, (_key, item: unknown) => (item instanceof Map ? Object.fromEntries(item) : item)) ?? "null"
  );
}

/** Go's truth: nil, false, 0, "" and what is empty are false. */
export function isTrue(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === 0 || value === "") return false;
  if (Array.isArray(value)) return value.length > 0;
  if (value instanceof Map) return value.size > 0;
  if (typeof value === "object" && !(value instanceof Date)) return Object.keys(value).length > 0;
  return true;
}

function text(value: unknown): string {
  if (typeof value === "string") return value;
  throw new Error(`wrong type for value; expected string; got ${typeName(value)}`);
}

function count(value: unknown): number {
  if (Number.isInteger(value) && Number(value) >= 0) return Number(value);
  throw new Error(`wrong type for value; expected int; got ${typeName(value)}`);
}

function elements(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw new Error(`wrong type for value; expected []string; got ${typeName(value)}`);
}

/** 0 for equal. @throws for values that Go does not compare. */
function compare(a: unknown, b: unknown): number {
  const nilA = a === undefined || a === null;
  const nilB = b === undefined || b === null;
  if (nilA || nilB) return nilA && nilB ? 0 : 1;
  if (typeof a === "object" || typeof b === "object") throw new Error("non-comparable type");
  if (typeof a !== typeof b) throw new Error("incompatible types for comparison");
  return a === b ? 0 : 1;
}

function order(a: unknown, b: unknown): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "string" && typeof b === "string") return a < b ? -1 : a > b ? 1 : 0;
  throw new Error(typeof a === typeof b ? "invalid type for comparison" : "incompatible types for comparison");
}

function lengthOf(value: unknown): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (value instanceof Map) return value.size;
  if (typeof value === "object" && value !== null) return sortedEntries(value).length;
  throw new Error(value === undefined || value === null ? "len of nil pointer" : `len of type ${typeName(value)}`);
}

function elementOf(value: unknown, key: unknown): unknown {
  if (value === undefined || value === null) throw new Error("index of untyped nil");
  if (Array.isArray(value) || typeof value === "string") {
    if (!Number.isInteger(key)) throw new Error(`cannot index slice/array with type ${typeName(key)}`);
    const at = Number(key);
    if (at < 0 || at >= value.length) throw new Error(`index out of range: ${at}`);
    return typeof value === "string" ? value.charCodeAt(at) : value[at];
  }
  if (typeof value !== "object") throw new Error(`can't index item of type ${typeName(value)}`);
  const name = text(key);
  if (value instanceof Map) return value.has(name) ? value.get(name) : zeroOf([...value.values()]);
  if (Object.hasOwn(value, name)) return Object.entries(value).find(([member]) => member === name)?.[1];
  return zeroOf(Object.values(value));
}

/** What Go finds under a key that a map lacks: "" among strings, else nil. */
function zeroOf(others: readonly unknown[]): unknown {
  return others.every((other) => typeof other === "string") ? "" : undefined;
}

function slice(value: unknown, ...bounds: readonly unknown[]): unknown {
  if (!Array.isArray(value) && typeof value !== "string")
    throw new Error(`can't slice item of type ${typeName(value)}`);
  const [from = 0, to = value.length] = bounds.map(count);
  if (from > to || to > value.length) throw new Error(`index out of range: ${Math.max(from, to)}`);
  return value.slice(from, to);
}

/** Blanks only between operands when neither is a string. */
function print(values: readonly unknown[]): string {
  return values
    .map((value, index) => {
      const before = values[index - 1];
      const gap = index > 0 && typeof before !== "string" && typeof value !== "string" ? " " : "";
      return gap + formatValue(value);
    })
    .join("");
}

function callFunction(callee: unknown, values: readonly unknown[]): unknown {
  if (typeof callee !== "function") throw new Error(`non-function of type ${typeName(callee)}`);
  return callee(...values);
}

function escapeHtml(value: string): string {
  const entities: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&#34;",
    "'": "&#39;",
  };
  return value.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

function escapeScript(value: string): string {
  return value
    .replace(/[\\'"]/g, (character) => `\\${character}`)
    .replace(
      /[<>&=\u0000-\u001f]/g,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0").toUpperCase()}`,
    );
}
