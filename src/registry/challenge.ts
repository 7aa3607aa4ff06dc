/** `WWW-Authenticate` as data. Source: RFC 9110, 11.6.1; distribution's token authentication. */

export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

// scheme, then parameters separated by commas; a word without `=` starts the next challenge
const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const parameterPattern = new RegExp(`\\s*,?\\s*(${token})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${token}[^\\s,]*))`, "y");
const schemePattern = new RegExp(`\\s*,?\\s*(${token})(?=\\s|,|$)`, "y");

/** All challenges of one or more header lines, in order. What cannot be read ends the list. */
export function parseChallenges(header: string | readonly string[]): readonly Challenge[] {
  const text = typeof header === "string" ? header : header.join(", ");
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  let at = 0;
  while (at < text.length) {
    parameterPattern.lastIndex = at;
    const parameter = parameterPattern.exec(text);
    if (parameter !== null) {
      const [whole, name = "", quoted, plain] = parameter;
      challenges.at(-1)?.parameters.set(name.toLowerCase(), quoted?.replaceAll(/\\(.)/g, "$1") ?? plain ?? "");
      at += whole.length;
      continue;
    }
    schemePattern.lastIndex = at;
    const scheme = schemePattern.exec(text);
    if (scheme === null) break;
    challenges.push({ scheme: (scheme[1] ?? "").toLowerCase(), parameters: new Map() });
    at += scheme[0].length;
  }
  return challenges;
}
