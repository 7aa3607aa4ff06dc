/**
 * `--filter key=value`, which every list has. Values of one key are alternatives, keys must all hold; several labels
 * must all hold.
 */
import { TsbuildError } from "../errors.ts";
import { nearestWord } from "../nearest-word.ts";

export type Filters = ReadonlyMap<string, readonly string[]>;

/** @throws {TsbuildError} `USAGE` without `=`, `INVALID_ARGUMENT` for a key the list does not have. */
export function parseFilters(typed: readonly string[] | undefined, keys: readonly string[]): Filters {
  const filters = new Map<string, string[]>();
  for (const text of typed ?? []) {
    const match = /^\s*([^=!]+?)\s*(!?)=\s*(.*)$/s.exec(text);
    if (match === null) {
      throw new TsbuildError({
        code: "USAGE",
        what: `invalid argument ${JSON.stringify(text)} for "-f, --filter" flag: invalid filter '${text}': must be a key=value pair`,
      });
    }
    const key = `${match[1]?.toLowerCase()}${match[2]}`;
    if (!keys.includes(key)) {
      const near = nearestWord(key, keys);
      throw new TsbuildError({
        code: "INVALID_ARGUMENT",
        what: `invalid filter '${key}'`,
        hint: near === undefined ? `there are ${keys.join(", ")}` : `did you mean ${near}?`,
      });
    }
    filters.set(key, [...(filters.get(key) ?? []), match[3] ?? ""]);
  }
  return filters;
}

/** Does any value of `key` fit? True when the key was not asked for. */
export function someFits(filters: Filters, key: string, fits: (value: string) => boolean): boolean {
  const values = filters.get(key);
  return values === undefined || values.some(fits);
}

/** `label` and `label!`: `k` asks for the key, `k=v` for the value too. */
export function labelsFit(filters: Filters, labels: Readonly<Record<string, string>>): boolean {
  const has = (wanted: string): boolean => {
    const [key = "", ...value] = wanted.split("=");
    return Object.hasOwn(labels, key) && (value.length === 0 || labels[key] === value.join("="));
  };
  return (filters.get("label") ?? []).every(has) && !(filters.get("label!") ?? []).some(has);
}

/**
 * The value of a filter that is yes or no; undefined when it was not asked for.
 * @throws {TsbuildError} `INVALID_ARGUMENT`
 */
export function switchFilter(filters: Filters, key: string): boolean | undefined {
  const value = filters.get(key)?.at(-1);
  if (value === undefined) return undefined;
  if (/^(?:1|t|true)$/i.test(value)) return true;
  if (/^(?:0|f|false)$/i.test(value)) return false;
  throw new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `invalid filter '${key}=${value}'`,
    hint: `${key}=true or ${key}=false`,
  });
}

/** Go's path.Match: `*` and `?` do not cross a slash. */
export function globMatches(pattern: string, text: string): boolean {
  const source = pattern.replace(/\[[^\]]*\]|[\s\S]/g, (piece) => {
    if (piece === "*") return "[^/]*";
    if (piece === "?") return "[^/]";
    if (piece.startsWith("[") && piece.length > 2) return piece.replace(/^\[!/, "[^").replaceAll("\\", "\\\\");
    return piece.replace(/[\\^$.|?*+()[\]{}]/g, "\\$&");
  });
  return new RegExp(`^${source}$`, "u").test(text);
}
