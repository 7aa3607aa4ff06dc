/** Values as Go prints them, and `printf`. Source: Go's fmt package, as far as templates use it. */

/** A value that a template may hold. Maps are `Map`s or plain objects; undefined and null are nil. */
export function formatValue(value: unknown, nil = "<nil>"): string {
  if (value === undefined || value === null) return nil;
  if (typeof value === "string") return value;
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return `[${value.map((item) => formatValue(item)).join(" ")}]`;
  if (typeof value === "object") {
    return `map[${sortedEntries(value)
      .map(([key, item]) => `${key}:${formatValue(item)}`)
      .join(" ")}]`;
  }
  return String(value);
}

export function sortedEntries(value: object): readonly (readonly [string, unknown])[] {
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return entries
    .filter(([, item]) => typeof item !== "function" && item !== undefined)
    .map(([key, item]): readonly [string, unknown] => [String(key), item])
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

/** Go quotes as JSON does, but for control characters and `<`. */
export function quote(text: string): string {
  return JSON.stringify(text)
    .replace(/\\u00([01][0-9a-f])/g, (_all, hex: string) => goEscapes[hex] ?? `\\x${hex}`)
    .replaceAll("\u007f", "\\x7f");
}

const goEscapes: Readonly<Record<string, string>> = { "07": "\\a", "0b": "\\v" };

const verbPattern = /%(?<flags>[-+# 0]*)(?<width>\d+|\*)?(?:\.(?<precision>\d*|\*))?(?<verb>[a-zA-Z%])/g;

interface VerbGroups {
  readonly flags?: string;
  readonly width?: string;
  readonly precision?: string;
  readonly verb?: string;
}

export function sprintf(format: string, values: readonly unknown[]): string {
  let next = 0;
  const take = (): unknown => {
    next += 1;
    return values[next - 1];
  };
  const text = format.replace(verbPattern, (...match) => {
    // The last argument of a replacer is the object of named groups.
    const groups = match.at(-1) as VerbGroups;
    const verb = groups.verb ?? "";
    if (verb === "%") return "%";
    const flags = groups.flags ?? "";
    const width = groups.width === "*" ? Number(take()) : Number(groups.width ?? 0);
    const precision = groups.precision === undefined ? undefined : Number(groups.precision);
    if (next >= values.length) return `%!${verb}(MISSING)`;
    const body = applyVerb(verb, flags, precision, take());
    return pad(body, width, flags, /[dxXofeEgGb]/.test(verb));
  });
  const extra = values.slice(next).map((value) => `${typeName(value)}=${formatValue(value)}`);
  return extra.length === 0 ? text : `${text}%!(EXTRA ${extra.join(", ")})`;
}

function applyVerb(verb: string, flags: string, precision: number | undefined, value: unknown): string {
  const wrong = (): string => `%!${verb}(${typeName(value)}=${formatValue(value)})`;
  const signed = (text: string): string => (flags.includes("+") && !text.startsWith("-") ? `+${text}` : text);
  switch (verb) {
    case "v":
      return formatValue(value);
    case "s":
      if (typeof value === "number" || typeof value === "boolean") return wrong();
      return precision === undefined ? formatValue(value, "%!s(<nil>)") : formatValue(value).slice(0, precision);
    case "q":
      return typeof value === "string" ? quote(value) : wrong();
    case "t":
      return typeof value === "boolean" ? String(value) : wrong();
    case "T":
      return typeName(value);
    case "d":
      return Number.isInteger(value) ? signed(String(value)) : wrong();
    case "b":
    case "o":
      return Number.isInteger(value) ? Number(value).toString(verb === "b" ? 2 : 8) : wrong();
    case "c":
      return Number.isInteger(value) ? String.fromCodePoint(Number(value)) : wrong();
    case "x":
    case "X": {
      const hex =
        typeof value === "string"
          ? Buffer.from(value).toString("hex")
          : Number.isInteger(value)
            ? (flags.includes("#") ? "0x" : "") + Number(value).toString(16)
            : undefined;
      return hex === undefined ? wrong() : verb === "X" ? hex.toUpperCase() : hex;
    }
    case "f":
    case "F":
      return typeof value === "number" ? signed(value.toFixed(precision ?? 6)) : wrong();
    case "e":
    case "g":
      return typeof value === "number" ? signed(shortFloat(verb, value, precision)) : wrong();
    default:
      return `%!${verb}(${typeName(value)}=${formatValue(value)})`;
  }
}

function shortFloat(verb: string, value: number, precision: number | undefined): string {
  const text =
    verb === "e"
      ? value.toExponential(precision ?? 6)
      : String(precision ? Number(value.toPrecision(precision)) : value);
  return text.replace(/e([+-])(\d)$/, "e$10$2");
}

function pad(text: string, width: number, flags: string, numeric: boolean): string {
  const length = [...text].length;
  if (length >= width) return text;
  const missing = width - length;
  if (flags.includes("-")) return text + " ".repeat(missing);
  if (flags.includes("0") && numeric) return text.replace(/^[+-]?/, (sign) => sign + "0".repeat(missing));
  return " ".repeat(missing) + text;
}

export function typeName(value: unknown): string {
  if (value === undefined || value === null) return "<nil>";
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "float64";
  if (typeof value === "boolean") return "bool";
  if (Array.isArray(value)) return "[]interface {}";
  return typeof value === "object" ? "map[string]interface {}" : typeof value;
}
