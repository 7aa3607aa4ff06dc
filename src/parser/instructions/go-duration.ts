const NS = { ns: 1, us: 1e3, "\u00b5s": 1e3, "\u03bcs": 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 } as const;

/** Nanoseconds of `1m30s`, `500ms`, `-1.5h`, `0`; undefined when it is none. As Go's `time.ParseDuration`. */
export function parseGoDuration(text: string): number | undefined {
  const match = /^([+-]?)((?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+|0)$/.exec(text);
  if (match === null) return undefined;
  const [, sign = "", body = ""] = match;
  let nanoseconds = 0;
  for (const [, number = "", unit = ""] of body.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/g)) {
    nanoseconds += Number(number) * NS[unit as keyof typeof NS]; // the expression names the keys of the table
  }
  nanoseconds = Math.trunc(nanoseconds);
  // Go counts in 64 bits.
  if (nanoseconds >= 2 ** 63) return undefined;
  return sign === "-" ? -nanoseconds : nanoseconds;
}
