/** `--call=outline` and `--call=targets`, with the tables and JSON shapes of BuildKit. */
import type { Outline } from "../../../checks/outline.ts";
import type { Target } from "../../../checks/targets.ts";
import type { Dockerfile, Range } from "../../../parser/ast.ts";
import { positionOf } from "../../../parser/position.ts";
import { displayWidth, padCell } from "../display-width.ts";
import { printable } from "../printable.ts";

export function outlineText({ name, description, args, secrets, ssh }: Outline): string {
  const blocks: string[] = [];
  if (name !== undefined || description !== undefined) {
    const rows = [
      ["TARGET:", name ?? "(default)"],
      ...(description === undefined ? [] : [["DESCRIPTION:", description]]),
    ];
    blocks.push(aligned(rows, 1));
  }
  if (args.length > 0) {
    const rows = args.map((arg) => [arg.name, arg.value ?? "", arg.description ?? ""]);
    blocks.push(aligned([["BUILD ARG", "VALUE", "DESCRIPTION"], ...rows], 3));
  }
  for (const [title, needs] of [
    ["SECRET", secrets],
    ["SSH", ssh],
  ] as const) {
    const rows = needs.map((need) => [need.name, need.required ? "true" : ""]);
    if (rows.length > 0) blocks.push(aligned([[title, "REQUIRED"], ...rows], 3));
  }
  return blocks.map((block) => `${block}\n`).join("");
}

export function outlineJson(outline: Outline, dockerfile: Dockerfile): string {
  const some = <Item>(items: readonly Item[]): readonly Item[] | undefined => (items.length > 0 ? items : undefined);
  const need = ({ name, required, range }: Outline["secrets"][number]): unknown => ({
    name,
    required: required || undefined,
    location: locationOf(dockerfile, range),
  });
  return json({
    name: outline.name,
    description: outline.description,
    args: some(
      outline.args.map(({ name, description, value, range }) => ({
        name,
        description,
        value: value || undefined,
        location: locationOf(dockerfile, range),
      })),
    ),
    secrets: some(outline.secrets.map(need)),
    ssh: some(outline.ssh.map(need)),
    sources: sourcesOf(dockerfile),
  });
}

export function targetsText(targets: readonly Target[]): string {
  const rows = targets.map(({ name, description = "", isDefault }) => {
    const title = isDefault ? (name === undefined ? "(default)" : `${name} (default)`) : (name ?? "");
    return [title, description];
  });
  return aligned([["TARGET", "DESCRIPTION"], ...rows], 3);
}

export function targetsJson(targets: readonly Target[], dockerfile: Dockerfile): string {
  return json({
    targets: targets.map(({ name, description, base, platform, isDefault, range }) => ({
      name,
      default: isDefault || undefined,
      description,
      base,
      platform,
      location: locationOf(dockerfile, range),
    })),
    sources: sourcesOf(dockerfile),
  });
}

const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;

const sourcesOf = ({ text }: Dockerfile): readonly string[] => [Buffer.from(text).toString("base64")];

function locationOf(dockerfile: Dockerfile, range: Range): unknown {
  const line = (offset: number): number => positionOf(dockerfile, offset).line;
  return { ranges: [{ start: { line: line(range.start) }, end: { line: line(range.end) } }] };
}

/** Columns with `gap` blanks between them. */
function aligned(rows: readonly (readonly string[])[], gap: number): string {
  const cells = rows.map((row) => row.map((cell) => printable(cell)));
  const widths: number[] = [];
  for (const row of cells)
    for (const [column, cell] of row.entries())
      widths[column] = Math.max(widths[column] ?? 0, displayWidth(cell) + gap);
  return cells
    .map(
      (row) =>
        `${row
          .map((cell, column) => padCell(cell, widths[column] ?? 0))
          .join("")
          .trimEnd()}\n`,
    )
    .join("");
}
