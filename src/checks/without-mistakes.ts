/** A file without what was found wrong in it, and nothing else changed: what is wrong beside it shows then. */
import type { Diagnostic, Dockerfile, FromInstruction, Instruction, Range, Word } from "../parser/ast.ts";

/** Undefined when that changes nothing. */
export function withoutMistakes(dockerfile: Dockerfile, errors: readonly Diagnostic[]): Dockerfile | undefined {
  let changed = false;
  const instructions = dockerfile.instructions.map((line) => {
    let rest = line;
    for (const { range } of errors) if (holds(line.range, range)) rest = without(rest, range);
    changed ||= rest !== line;
    return rest;
  });
  return changed ? { ...dockerfile, instructions } : undefined;
}

/** Whether a mistake at `inner` is one of `outer`; an empty range holds what is at its place. */
export const holds = (outer: Range, inner: Range): boolean =>
  outer.start <= inner.start && inner.start < Math.max(outer.end, outer.start + 1);

/** The variable that is wrong, else the argument, else the line. The same line when nothing is left to take away. */
function without(line: Instruction, mistake: Range): Instruction {
  if (line.kind === "invalid") return line;
  const bare = withoutVariable(line, mistake);
  if (bare !== line) return bare;
  const rest = withoutArgument(line, mistake);
  if (rest !== undefined) return rest;
  const { range, keyword, joined } = line;
  return { kind: "invalid", range, keyword, joined };
}

/** An empty text stands for it. Any node of the tree; the same one when the variable is not in it. */
function withoutVariable<Node>(node: Node, mistake: Range): Node {
  if (typeof node !== "object" || node === null) return node;
  if (isVariableAt(node, mistake)) {
    const text: Word["parts"][number] = { kind: "text", value: "", quoted: true };
    // A part of a word for a part of a word.
    return text as Node;
  }
  let changed = false;
  const entries = Object.entries(node).map(([key, child]): readonly [string, unknown] => {
    const rest: unknown = withoutVariable(child, mistake);
    changed ||= rest !== child;
    return [key, rest];
  });
  if (!changed) return node;
  // The same shape, one node deeper changed.
  return (Array.isArray(node) ? entries.map(([, child]) => child) : Object.fromEntries(entries)) as Node;
}

function isVariableAt(node: object, { start, end }: Range): boolean {
  if (!("kind" in node) || node.kind !== "variable" || !("range" in node)) return false;
  const range = node.range as Range; // what a variable has
  return range.start === start && range.end === end;
}

/** Undefined when the instruction does not do without it. */
function withoutArgument(line: Instruction, mistake: Range): Instruction | undefined {
  const others = <Argument extends { readonly range: Range }>(list: readonly Argument[]): readonly Argument[] =>
    list.filter(({ range }) => !holds(range, mistake));
  const fewer = (list: readonly unknown[], before: readonly unknown[]): boolean =>
    list.length > 0 && list.length < before.length;
  switch (line.kind) {
    case "from":
      return withoutName(line, mistake);
    case "env":
    case "label": {
      const pairs = others(line.pairs);
      return fewer(pairs, line.pairs) ? { ...line, pairs } : undefined;
    }
    case "arg": {
      const args = others(line.args);
      return fewer(args, line.args) ? { ...line, args } : undefined;
    }
    case "expose": {
      const ports = others(line.ports);
      return fewer(ports, line.ports) ? { ...line, ports } : undefined;
    }
    case "volume": {
      const paths = others(line.paths);
      return fewer(paths, line.paths) ? { ...line, paths } : undefined;
    }
    case "copy":
    case "add": {
      const { chmod, ...rest } = line;
      if (chmod !== undefined && holds(chmod.range, mistake)) return rest;
      const sources = others(line.sources);
      return fewer(sources, line.sources) ? { ...line, sources } : undefined;
    }
    case "run": {
      const mounts = others(line.mounts);
      return mounts.length < line.mounts.length ? { ...line, mounts } : undefined;
    }
    default:
      return undefined;
  }
}

/** The stage keeps its name and its lines. */
function withoutName({ platform, ...line }: FromInstruction, mistake: Range): FromInstruction | undefined {
  if (platform !== undefined && holds(platform.range, mistake)) return line;
  if (isLiteral(line.image, "scratch")) return undefined;
  return { ...line, ...(platform !== undefined && { platform }), image: literalWord("scratch", line.image.range) };
}

export const literalWord = (value: string, range: Range): Word => ({
  parts: [{ kind: "text", value, quoted: false }],
  raw: value,
  range,
});

const isLiteral = ({ parts: [first, more] }: Word, value: string): boolean =>
  more === undefined && first?.kind === "text" && first.value === value;
