/**
 * Regular expressions of Go as those of JavaScript: what ignore patterns are made into, and what therefore shows in them.
 * Source: Go, regexp/syntax, "Syntax", with the flags of `regexp.Compile`. No groups: nothing that is compiled here has any
 * but those around `.*`.
 */

/** By code points, both ends included. */
type Span = readonly [low: number, high: number];

const LAST = 0x10ffff;
const code = (character: string): number => character.codePointAt(0) ?? 0;
const spans = (text: string): readonly Span[] =>
  (text.match(/.-.|./gsu) ?? []).map((part) => [code(part), code([...part].at(-1) ?? "")]);

const digits = spans("0-9");
const letters = spans("a-zA-Z");
const wordCharacters = [...digits, ...letters, ...spans("_")];
const blanks = spans("\t\n\f\r ");

/** `[[:alpha:]]`; ASCII only. */
const namedClasses: Readonly<Record<string, readonly Span[]>> = {
  alnum: [...digits, ...letters],
  alpha: letters,
  ascii: [[0, 0x7f]],
  blank: spans("\t "),
  cntrl: [[0, 0x1f], ...spans("\x7f")],
  digit: digits,
  graph: spans("!-~"),
  lower: spans("a-z"),
  print: spans(" -~"),
  punct: [...spans("!-/"), ...spans(":-@"), ...spans("[-`"), ...spans("{-~")],
  space: spans("\t\n\v\f\r "),
  upper: spans("A-Z"),
  word: wordCharacters,
  xdigit: [...digits, ...spans("A-Fa-f")],
};

const perlClasses: Readonly<Record<string, readonly Span[]>> = { d: digits, s: blanks, w: wordCharacters };

const controls: Readonly<Record<string, number>> = { a: 7, f: 12, n: 10, r: 13, t: 9, v: 11 };

/** Not regular expressions of ours: an escape stands for a place and not for a character. */
const places: Readonly<Record<string, string>> = {
  A: "(?<![^])",
  z: "(?![^])",
  b: "(?:(?<![0-9A-Za-z_])(?=[0-9A-Za-z_])|(?<=[0-9A-Za-z_])(?![0-9A-Za-z_]))",
  B: "(?:(?<![0-9A-Za-z_])(?![0-9A-Za-z_])|(?<=[0-9A-Za-z_])(?=[0-9A-Za-z_]))",
};

/** Undefined where Go says that it is none. */
export function goRegExp(source: string): RegExp | undefined {
  const translated = new Translation(source).whole();
  return translated === undefined ? undefined : new RegExp(translated, "u");
}

/** Ends the translation of what Go does not compile. */
class Malformed extends Error {}

class Translation {
  readonly #characters: readonly string[];
  #at = 0;

  constructor(source: string) {
    this.#characters = [...source];
  }

  whole(): string | undefined {
    try {
      return this.#alternatives();
    } catch (error) {
      if (error instanceof Malformed) return undefined;
      throw error;
    }
  }

  /** Up to the end, or to the `)` of a group. */
  #alternatives(): string {
    let result = "";
    /** What a repetition would repeat. */
    let last: string | undefined;
    let repeated = false;
    const take = (atom: string): void => {
      result += last ?? "";
      last = atom;
      repeated = false;
    };
    while (this.#at < this.#characters.length && this.#peek() !== ")") {
      const count = this.#repetition();
      if (count !== undefined) {
        if (last === undefined || repeated) throw new Malformed();
        last = `(?:${last})${count}`;
        repeated = true;
        continue;
      }
      const character = this.#next();
      if (character === "|") {
        result += `${last ?? ""}|`;
        last = undefined;
      } else if (character === "(") {
        take(`(?:${this.#alternatives()})`);
        this.#at++;
      } else if (character === "^") take("(?<![^])");
      else if (character === "$") take("(?![^])");
      else if (character === ".") take("[^\\n]");
      else if (character === "[") take(this.#class());
      else if (character !== "\\") take(literal(code(character)));
      else if (this.#peek() === "Q") for (const each of this.#quoted()) take(literal(code(each)));
      else take(this.#escape());
    }
    return result + (last ?? "");
  }

  #peek(): string | undefined {
    return this.#characters[this.#at];
  }

  #next(): string {
    const character = this.#characters[this.#at++];
    if (character === undefined) throw new Malformed();
    return character;
  }

  /** `*`, `?` and `{2,3}`; a brace of another kind is a character. */
  #repetition(): string | undefined {
    const character = this.#peek();
    if (character === "*" || character === "?") return this.#next();
    if (character !== "{") return undefined;
    const end = this.#characters.indexOf("}", this.#at);
    const text = this.#characters.slice(this.#at, end + 1).join("");
    const [, low, comma, high] = /^\{(0|[1-9][0-9]*)(,)?(0|[1-9][0-9]*)?\}$/.exec(text) ?? [];
    if (low === undefined || (comma === undefined && high !== undefined)) return undefined;
    const most = Math.max(Number(low), Number(high ?? 0));
    if (most > 1000 || (high !== undefined && Number(high) < Number(low))) throw new Malformed();
    this.#at = end + 1;
    return text;
  }

  /** Up to `\E`, or to the end. */
  #quoted(): readonly string[] {
    const start = this.#at + 1;
    let end = start;
    while (end < this.#characters.length && !(this.#characters[end] === "\\" && this.#characters[end + 1] === "E"))
      end++;
    this.#at = Math.min(end + 2, this.#characters.length);
    return this.#characters.slice(start, end);
  }

  #escape(): string {
    const character = this.#peek() ?? "";
    const place = places[character];
    if (place !== undefined && Object.hasOwn(places, character)) {
      this.#at++;
      return place;
    }
    return this.#classEscape() ?? literal(this.#character());
  }

  /** `\d`, `\S`, `\pL`: as a class, or as a part of one. */
  #classEscape(): string | undefined {
    const character = this.#peek() ?? "";
    const named = Object.hasOwn(perlClasses, character.toLowerCase())
      ? perlClasses[character.toLowerCase()]
      : undefined;
    if (named !== undefined) {
      this.#at++;
      return `[${members(character === character.toLowerCase() ? named : others(named))}]`;
    }
    if (character !== "p" && character !== "P") return undefined;
    this.#at++;
    return `[${this.#unicode(character === "P")}]`;
  }

  #unicode(capital: boolean): string {
    let name = this.#next();
    if (name === "{") {
      const end = this.#characters.indexOf("}", this.#at);
      if (end < 0) throw new Malformed();
      name = this.#characters.slice(this.#at, end).join("");
      this.#at = end + 1;
    }
    const negated = name.startsWith("^") !== capital;
    const bare = name.replace(/^\^/, "");
    if (bare === "Any") return members(negated ? [] : [[0, LAST]]);
    for (const property of [bare, `Script=${bare}`]) {
      const text = `\\${negated ? "P" : "p"}{${property}}`;
      if (/^(?:[A-Z][a-z]?|Script=[A-Z][A-Za-z_]+)$/.test(property) && compiles(text)) return text;
    }
    throw new Malformed();
  }

  /** One character, behind the backslash. */
  #character(): number {
    const character = this.#next();
    if (/^[1-7]$/.test(character) && !/^[0-7]$/.test(this.#peek() ?? "")) throw new Malformed();
    if (/^[0-7]$/.test(character)) {
      let value = Number(character);
      for (let count = 1; count < 3 && /^[0-7]$/.test(this.#peek() ?? ""); count++)
        value = value * 8 + Number(this.#next());
      return value;
    }
    if (character === "x") return this.#hexadecimal();
    const control = Object.hasOwn(controls, character) ? controls[character] : undefined;
    if (control !== undefined) return control;
    if (/^[!-/:-@[-`{-~]$/.test(character)) return code(character);
    throw new Malformed();
  }

  #hexadecimal(): number {
    const first = this.#next();
    const text =
      first === "{"
        ? this.#characters.slice(this.#at, this.#characters.indexOf("}", this.#at)).join("")
        : first + this.#next();
    if (first === "{") this.#at += [...text].length + 1;
    const value = /^[0-9A-Fa-f]+$/.test(text) ? Number.parseInt(text, 16) : Number.NaN;
    if (!(value <= LAST) || this.#at > this.#characters.length) throw new Malformed();
    return value;
  }

  /** Behind the `[`. */
  #class(): string {
    const negated = this.#peek() === "^";
    if (negated) this.#at++;
    let inside = "";
    for (let first = true; first || this.#peek() !== "]"; first = false) {
      inside += this.#posixClass() ?? this.#perlInClass() ?? members([this.#range()]);
    }
    this.#at++;
    return `[${negated ? "^" : ""}${inside}]`;
  }

  #perlInClass(): string | undefined {
    if (this.#peek() !== "\\") return undefined;
    this.#at++;
    const found = this.#classEscape();
    if (found === undefined) this.#at--;
    return found?.slice(1, -1);
  }

  #posixClass(): string | undefined {
    if (this.#peek() !== "[" || this.#characters[this.#at + 1] !== ":") return undefined;
    const text = this.#characters.slice(this.#at + 2).join("");
    const end = text.indexOf(":]");
    if (end < 0) return undefined;
    const negated = text.startsWith("^");
    const name = text.slice(negated ? 1 : 0, end);
    const named = Object.hasOwn(namedClasses, name) ? namedClasses[name] : undefined;
    if (named === undefined) throw new Malformed();
    this.#at += 2 + [...text.slice(0, end)].length + 2;
    return members(negated ? others(named) : named);
  }

  #range(): Span {
    const low = this.#bound();
    const after = this.#characters[this.#at + 1];
    if (this.#peek() !== "-" || after === undefined || after === "]") return [low, low];
    this.#at++;
    const high = this.#bound();
    if (high < low) throw new Malformed();
    return [low, high];
  }

  #bound(): number {
    const character = this.#next();
    return character === "\\" ? this.#character() : code(character);
  }
}

const compiles = (text: string): boolean => {
  try {
    return new RegExp(text, "u").source === text;
  } catch {
    return false;
  }
};

const point = (value: number): string => `\\u{${value.toString(16)}}`;

/** A letter stands for itself, so that what comes out can be read. */
const literal = (value: number): string =>
  /^[\w ]$/.test(String.fromCodePoint(value)) ? String.fromCodePoint(value) : point(value);

const members = (list: readonly Span[]): string =>
  list.map(([low, high]) => (low === high ? point(low) : `${point(low)}-${point(high)}`)).join("");

function others(list: readonly Span[]): readonly Span[] {
  const result: Span[] = [];
  let next = 0;
  for (const [low, high] of list.toSorted((a, b) => a[0] - b[0])) {
    if (low > next) result.push([next, low - 1]);
    next = Math.max(next, high + 1);
  }
  return next <= LAST ? [...result, [next, LAST]] : result;
}
