/** The word that was meant, for "did you mean". */

/**
 * The candidate nearest to `word`: at most two edits away (one, for words of up to five letters; at equal distance the one
 * that begins with it), or else the only one that begins with it. Upper and lower case count as equal. Undefined when
 * nothing is near.
 */
export function nearestWord(word: string, candidates: Iterable<string>): string | undefined {
  const typed = word.toLowerCase();
  const limit = typed.length <= 5 ? 1 : 2;
  let best: string | undefined;
  let bestDistance = limit + 1;
  const beginning: string[] = [];
  for (const candidate of candidates) {
    const distance = editDistance(typed, candidate.toLowerCase(), bestDistance + 1);
    const begins = typed.length >= 2 && candidate.toLowerCase().startsWith(typed);
    if (distance < bestDistance || (begins && distance === bestDistance && distance <= limit)) {
      best = candidate;
      bestDistance = distance;
    }
    if (begins) beginning.push(candidate);
  }
  return best ?? (beginning.length === 1 ? beginning[0] : undefined);
}

/** Insertions, deletions, substitutions and swaps of neighbours. Gives up at `limit`. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let value = Math.min(at(last, j) + 1, at(row, j - 1) + 1, at(last, j - 1) + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        value = Math.min(value, at(beforeLast, j - 2) + 1);
      }
      row.push(value);
    }
    beforeLast = last;
    last = row;
  }
  return at(last, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}
