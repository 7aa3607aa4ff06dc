/** EXPOSE and VOLUME. Source: Dockerfile reference, "EXPOSE" and "VOLUME". */
import type { Word } from "../ast.ts";
import { badPort, emptyVolume } from "../diagnostics.ts";
import { literalOf } from "../literal.ts";
import { parseWord } from "../word.ts";
import { type PathArguments, splitReport } from "./copy.ts";
import { type Built, type Line, reportMissing, type Span, wordOf } from "./line.ts";
import { warnOfPaths } from "./taken-as-text.ts";

export function buildExpose(line: Line, words: readonly Span[]): Built {
  if (words.length === 0) return reportMissing(line);
  const ports = words.map((span) => wordOf(line, span));
  for (const port of ports) {
    const text = literalOf(port);
    // A blank, escaped or quoted, splits again when the planner expands the word.
    if (text !== undefined && !/\s/.test(text) && text !== "" && !isPort(text))
      line.report(badPort(text, port.range, portHint(text)));
  }
  return { kind: "expose", ...line.node, ports };
}

function portHint(text: string): string {
  if (text.endsWith(",")) return "ports stand with blanks between them";
  if (/^\d+(?:[,;]\d+)+$/.test(text)) return `ports stand with blanks between them: ${text.split(/[,;]+/).join(" ")}`;
  if (text === "-") return "a range has no blanks: 80-90";
  const [range = "", protocol = ""] = text.split("/");
  const [from = "", to = from] = range.split("-");
  if (!/^\d+$/.test(from) || !/^\d+$/.test(to)) return "write PORT, PORT-PORT, PORT/udp";
  if (Number(from) > 65_535 || Number(to) > 65_535) return "ports go from 0 to 65535";
  if (Number(from) > Number(to)) return `the lower one comes first: ${to}-${from}`;
  return protocol === "" ? "write PORT, PORT-PORT, PORT/udp" : "the protocol is tcp, udp or sctp";
}

/** `[[IP:]HOST:]PORT[-PORT][/PROTO]`, as far as it can be told without the planner's rules about IPs. */
function isPort(text: string): boolean {
  const match = /^(?:.*:)?([+]?\d+)(?:-([+]?\d+))?(?:\/(tcp|udp|sctp)?)?$/i.exec(text);
  if (match === null) return false;
  const from = Number(match[1]);
  const to = Number(match[2] ?? match[1]);
  return from <= to && to <= 65_535;
}

export function buildVolume(line: Line, { words, json }: PathArguments): Built {
  const split: Line = { ...line, report: splitReport(line, words) };
  const options = { escape: line.escape, quotes: true, report: line.report };
  const paths: readonly Word[] =
    json === undefined
      ? words.map((span) => wordOf(split, span))
      : json.elements.map((element) => parseWord(element, 0, element.text.length, options));
  if (paths.length === 0) return reportMissing(line);
  if (json === undefined) warnOfPaths(line, words);
  for (const path of paths) if (literalOf(path)?.trim() === "") line.report(emptyVolume(path.range));
  return { kind: "volume", ...line.node, paths };
}
