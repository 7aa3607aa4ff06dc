import { nearestWord } from "../nearest-word.ts";

/** Comparisons for one file: who has more mistakes than these needs no suggestion for the rest. */
const budget = 50_000;

/** `nearestWord` for many words of one file: after a time it knows nothing any more, rather than take longer and longer. */
export function suggester(): (word: string, candidates: Iterable<string>) => string | undefined {
  let left = budget;
  return (word, candidates) => {
    // Every short name is near every other.
    if (word.length < 3) return undefined;
    const compared: string[] = [];
    for (const candidate of candidates) {
      if (--left < 0) return undefined;
      compared.push(candidate);
    }
    return nearestWord(word, compared);
  };
}
