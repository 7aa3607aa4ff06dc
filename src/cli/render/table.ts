/**
 * Lists as `--format` asks for them: the command's own table, `table TEMPLATE`, `json`, or a template for each row.
 * The layout is docker's: three blanks between columns, cells at least ten wide.
 */
import { displayWidth, padCell } from "./display-width.ts";
import { printable } from "./printable.ts";
import { compileTemplate, unescapeFormat } from "./template.ts";
import { templateJson } from "./template-functions.ts";

/** A row's fields by the names that templates use. A function is a method: `.Label "k"`. */
export type Row = Readonly<Record<string, unknown>>;

export interface RowsFormat {
  /** What was given to `--format`. */
  readonly format: string | undefined;
  /** Column titles by field; those without one use their own name in capitals. */
  readonly headers: Readonly<Record<string, string>>;
  /** Fields of the table that is printed without `--format`. */
  readonly columns: readonly string[];
  /** With `-q`: only this field. A template wins over it. */
  readonly quiet?: string | undefined;
}

/**
 * All lines, each ended by a newline; empty when there is nothing to say.
 * @throws {TsbuildError} `TEMPLATE_INVALID`, `TEMPLATE_FAILED`
 */
export function formatRows(rows: readonly Row[], settings: RowsFormat): string {
  const format = settings.format ?? "table";
  if (settings.quiet !== undefined && (format === "table" || settings.format === undefined)) {
    const field = settings.quiet;
    return lines(rows.map((row) => String(row[field])));
  }
  if (format === "json") return lines(rows.map((row) => templateJson(row)));
  if (format === "table") return templateTable(rows, ownTable(settings.columns), settings.headers);
  if (/^table[ \t]/.test(format)) return templateTable(rows, format.slice(6).trimStart(), settings.headers);
  const template = compileTemplate(unescapeFormat(format));
  return lines(rows.map((row) => template(row)));
}

function ownTable(columns: readonly string[]): string {
  return columns.map((column) => `{{.${column}}}`).join("\t");
}

function templateTable(rows: readonly Row[], text: string, headers: Readonly<Record<string, string>>): string {
  const template = compileTemplate(unescapeFormat(text));
  const heading = template.heading(headers);
  return layOut([heading, ...rows.map((row) => template(row))].map((line) => line.split("\t").map(oneLine)));
}

/** Cells as columns: `max(10, widest + 3)` cells each, the last one as it is. */
export function layOut(cells: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of cells) {
    for (const [index, cell] of row.entries()) {
      if (index < row.length - 1) widths[index] = Math.max(widths[index] ?? 10, displayWidth(cell) + 3);
    }
  }
  return lines(
    cells.map((row) =>
      row.map((cell, index) => (index < row.length - 1 ? padCell(cell, widths[index] ?? 10) : cell)).join(""),
    ),
  );
}

function oneLine(cell: string): string {
  return printable(cell).replace(/\n/g, "\ufffd");
}

function lines(all: readonly string[]): string {
  return all.map((line) => `${line}\n`).join("");
}
