/** The comma-separated values of `--mount` and `--device`. Source: Go's encoding/csv. */
import { addSlice, type MappedText, mappedText, noPieces, sliceMapped } from "../mapped-text.ts";

/** The fields of one CSV record as Go reads it, or undefined when its quotes do not match. */
export function csvFields(value: MappedText): readonly MappedText[] | undefined {
  const fields: MappedText[] = [];
  const { text } = value;
  let at = 0;
  while (at <= text.length) {
    if (text[at] !== '"') {
      const comma = text.indexOf(",", at);
      const end = comma === -1 ? text.length : comma;
      if (text.slice(at, end).includes('"')) return undefined;
      fields.push(sliceMapped(value, at, end));
      at = end + 1;
      continue;
    }
    const pieces = noPieces();
    at++;
    for (;;) {
      const quote = text.indexOf('"', at);
      if (quote === -1) return undefined;
      addSlice(pieces, value, at, quote);
      at = quote + 1;
      if (text[at] !== '"') break;
      addSlice(pieces, value, at, at + 1);
      at++;
    }
    if (at < text.length && text[at] !== ",") return undefined;
    fields.push(pieces.length > 0 ? mappedText(pieces) : sliceMapped(value, at, at));
    at++;
  }
  return fields;
}
