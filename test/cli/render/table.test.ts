import { expect, test } from "vitest";
import { cutCell, displayWidth } from "../../../src/cli/render/display-width.ts";
import { formatRows } from "../../../src/cli/render/table.ts";

const rows = [
  { ID: "abc", Name: "first", Size: "1.2kB", Label: (key: unknown) => `${key}=1` },
  { ID: "def0123456789", Name: "zwei漢字", Size: "12B", Label: () => "" },
];
const settings = { headers: { ID: "IMAGE ID" }, columns: ["ID", "Name", "Size"] };

test("the default is a table: capitals above, three blanks between columns, at least ten wide", () => {
  expect(formatRows(rows, { ...settings, format: undefined })).toBe(
    ["IMAGE ID        NAME       SIZE", "abc             first      1.2kB", "def0123456789   zwei漢字   12B", ""].join(
      "\n",
    ),
  );
});

test("an empty list still has its headings", () => {
  expect(formatRows([], { ...settings, format: "table" })).toBe("IMAGE ID   NAME      SIZE\n");
});

test.for([
  ["table {{.Name}}\\t{{.ID}}", "NAME       IMAGE ID\nfirst      abc\nzwei漢字   def0123456789\n"],
  ["table {{.ID | upper}}", "IMAGE ID\nABC\nDEF0123456789\n"],
  ['table {{.Label "my-key"}}', "my key\nmy-key=1\n\n"],
  ["{{.ID}}:{{.Size}}", "abc:1.2kB\ndef0123456789:12B\n"],
  ["json", '{"ID":"abc","Name":"first","Size":"1.2kB"}\n{"ID":"def0123456789","Name":"zwei漢字","Size":"12B"}\n'],
] as const)("--format %s", ([format, expected]) => {
  expect(formatRows(rows, { ...settings, format })).toBe(expected);
});

test("quiet prints one field a line, and a template wins over it", () => {
  expect(formatRows(rows, { ...settings, format: undefined, quiet: "ID" })).toBe("abc\ndef0123456789\n");
  expect(formatRows(rows, { ...settings, format: "{{.Size}}", quiet: "ID" })).toBe("1.2kB\n12B\n");
});

test("control characters of a cell do not reach the terminal", () => {
  const row = { ID: "a\u001b[31m\nb", Name: "", Size: "" };
  expect(formatRows([row], { ...settings, format: undefined })).toContain("a\ufffd[31m\ufffdb");
});

test.for([
  ["abc", 3, "abc"],
  ["abcd", 3, "ab…"],
  ["漢字漢字", 5, "漢字…"],
  ["漢字漢字", 4, "漢…"],
  ["e\u0301e\u0301", 2, "e\u0301e\u0301"],
] as const)("%s cut to %d cells is %s", ([text, width, expected]) => {
  expect(cutCell(text, width)).toBe(expected);
  expect(displayWidth(cutCell(text, width))).toBeLessThanOrEqual(width);
});
