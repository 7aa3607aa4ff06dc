/**
 * A tree back to text: an instruction a line, from its nodes and not from its source. What is printed and parsed again is
 * the same tree, but for ranges and `joined`. Comments and directives come out as they were written, in their order.
 */
import type { Comment, Dockerfile, Heredoc, Instruction } from "./ast.ts";
import { openDirectives, takeDirective } from "./directives.ts";
import { heredocMarkers } from "./heredoc-markers.ts";
import { mayHoldHeredocs } from "./instruction-table.ts";
import { continuedAt } from "./logical-lines.ts";
import { instructionLine } from "./print-instruction.ts";

/** The text of a tree without errors; of one with errors, its `invalid` lines as they were joined. */
export function printDockerfile(dockerfile: Dockerfile): string {
  const head = openDirectives();
  const isDirective = (line: string): boolean =>
    head.open && takeDirective(head, line, { start: 0, end: 0 }, () => undefined);
  const items = inOrder(dockerfile);
  const documenting = documentingComments(items, dockerfile);
  let text = "";
  for (const item of items) {
    if ("kind" in item) {
      head.open = false;
      text += printInstruction(item, dockerfile.escape);
    } else if ("name" in item) {
      const line = `# ${item.name}=${item.value}`;
      isDirective(line);
      text += `${line}\n`;
    } else {
      // In column 1 it documents what follows; elsewhere it does not.
      const line = (documenting.has(item) ? "" : " ") + dockerfile.text.slice(item.range.start, item.range.end);
      // An empty line ends the directives: what was a comment stays one.
      if (isDirective(line)) text += "\n";
      text += `${line}\n`;
    }
  }
  return text;
}

type Item = Instruction | Dockerfile["directives"][number] | Comment;

/** By their places; a comment inside an instruction comes behind it. */
function inOrder({ directives, comments, instructions }: Dockerfile): readonly Item[] {
  const items: Item[] = [...instructions];
  const all = [...directives, ...comments, ...items];
  return all.sort((a, b) => a.range.start - b.range.start);
}

/** Those in column 1 and outside of instructions, unless the instruction that follows is not documented by them. */
function documentingComments(items: readonly Item[], { text }: Dockerfile): ReadonlySet<Item> {
  const documenting = new Set<Item>();
  let candidates: Comment[] = [];
  let end = 0;
  for (const item of items) {
    if ("kind" in item) {
      const written = candidates.map((comment) => comment.text.trim());
      const lines = item.doc?.split("\n") ?? [];
      const doc = written.slice(written.lastIndexOf("") + 1);
      let at = 0;
      for (const [index, comment] of candidates.entries()) {
        // Some may stand behind an escape in front of the keyword.
        if (doc.length === lines.length || written[index] === lines[at]) {
          documenting.add(comment);
          at++;
        }
      }
      candidates = [];
      end = item.range.end;
    } else if (!("name" in item) && item.range.start >= end) {
      const before = text[item.range.start - 1] ?? "\n";
      if (before === "\n" || (item.range.start === 1 && before === "\ufeff")) candidates.push(item);
    }
  }
  for (const comment of candidates) documenting.add(comment);
  return documenting;
}

function printInstruction(instruction: Instruction, escaper: "\\" | "`"): string {
  const line = instructionLine(instruction, escaper);
  if (instruction.kind === "onbuild") return `${line}\n`;
  // A form feed is trimmed like a blank, but an escape in front of one does not continue the line.
  const end = continuedAt(line, { start: 0, end: line.length }, escaper) === undefined ? "\n" : "\f\n";
  return line + end + bodiesOf(line, heredocsOf(instruction), escaper);
}

function heredocsOf(instruction: Instruction): readonly Heredoc[] {
  if (instruction.kind === "copy" || instruction.kind === "add") return instruction.heredocs;
  return instruction.kind === "run" && instruction.command.form === "shell" ? instruction.command.heredocs : [];
}

/** One body for each marker that stands in the line; of two with one name the last body counts for both. */
function bodiesOf(line: string, heredocs: readonly Heredoc[], escaper: "\\" | "`"): string {
  if (!line.includes("<<") || !mayHoldHeredocs(line, escaper)) return "";
  const markers = heredocMarkers(line, 0, line.length);
  return markers
    .map(({ name }, index) => {
      const last = markers.findLastIndex((marker) => marker.name === name) === index;
      const body = last ? heredocs.find((heredoc) => heredoc.name === name)?.body : undefined;
      return `${body ?? ""}${name}\n`;
    })
    .join("");
}
