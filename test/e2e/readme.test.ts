/** The README's console blocks, run in order in one folder. What differs from run to run is masked on both sides. */
import { execFile } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { commands } from "../../src/cli/command-table.ts";
import { instructionKinds, instructionRow } from "../../src/parser/instruction-table.ts";
import { needs } from "../support/needs.ts";
import { type TemporaryTestFolder, temporaryTestFolder } from "../support/temporary-folder.ts";
import { program } from "../support/tsbuild.ts";

const root = new URL("../../", import.meta.url).pathname;

interface Example {
  readonly command: string;
  readonly output: string;
}

function examples(): readonly Example[] {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  return [...readme.matchAll(/^```console\n([\s\S]*?)^```$/gm)].flatMap(([, block = ""]) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((part) => {
        const end = part.indexOf("\n");
        return { command: part.slice(0, end), output: part.slice(end + 1) };
      }),
  );
}

/** IDs, times, sizes and the widths of columns. */
function masked(text: string): string {
  return text
    .replace(/\b[0-9a-f]{64}\b|\b[0-9a-f]{12}\b/g, "ID")
    .replace(/(?:Less than a second|About a minute|\d+ \w+) ago/g, "AGO")
    .replace(/\bUp (?:Less than a second|\d+ seconds?)/g, "Up AGO")
    .replace(/\d+(?:\.\d+)?(?:B|kB|MB|GB)\b/g, "SIZE")
    .replace(/\b\d+\.\d+s\b/g, "TIME")
    .replace(/\d+ cached/g, "N cached")
    .replace(/used (?:once|\d+ times)/g, "used N")
    .replace(/ {2,}/g, "  ")
    .trimEnd();
}

/** `...` on a line of its own stands for any lines. */
function pattern(output: string): RegExp {
  const escaped = masked(output)
    .split(/^\.\.\.$/m)
    .map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  return new RegExp(`^${escaped.join("[\\s\\S]*")}$`);
}

let folder: TemporaryTestFolder;
let environment: NodeJS.ProcessEnv;

beforeAll(() => {
  folder = temporaryTestFolder("readme");
  const bin = join(folder.path, "bin");
  mkdirSync(bin);
  chmodSync(program, 0o755);
  symlinkSync(program, join(bin, "tsbuild"));
  symlinkSync(join(root, "fixtures"), join(folder.path, "fixtures"));
  environment = {
    ...process.env,
    NO_COLOR: "1",
    TSBUILD_ROOT: join(folder.path, "store"),
    PATH: [bin, dirname(process.execPath), process.env["PATH"]].join(delimiter),
  };
});
afterAll(() => folder[Symbol.dispose]());

needs("root").each(examples())("$command", async ({ command, output }) => {
  const { stdout, stderr } = await new Promise<{ stdout: string; stderr: string }>((resolve) => {
    const options = { cwd: folder.path, env: environment, timeout: 50_000 };
    const child = execFile("bash", ["-c", command], options, (_error, out, err) =>
      resolve({ stdout: out, stderr: err }),
    );
    child.stdin?.end();
  });
  expect(masked(stdout + stderr)).toMatch(pattern(output));
});

test("the table of commands names every command there is, and no other", () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const section = readme.slice(readme.indexOf("\n## Commands"), readme.indexOf("\nGlobal flags"));
  const rows = section.split("\n").filter((line) => /^\| [A-Z]/.test(line));
  const named = rows.flatMap((row) => [...row.matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? ""));
  expect(named.sort()).toEqual([...commands.keys()].sort());
});

test("the table of the language has every instruction and every flag, and no other", () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const section = readme.split("## The Dockerfile language")[1]?.split("\n## ")[0] ?? "";
  const cells = section.split("\n").flatMap((line) => (/^\| `/.test(line) ? [line.split("|").slice(1, 3)] : []));
  const named = cells.flatMap(([names = "", flags = ""]) =>
    [...names.matchAll(/`([A-Z]+)`/g)].map(([, name = ""]): [string, readonly string[]] => [
      name,
      [...flags.matchAll(/`([^`]+)`/g)].map(([, flag = ""]) => flag).sort(),
    ]),
  );
  const wanted = instructionKinds.map((kind): [string, readonly string[]] => {
    const flags = instructionRow(kind)?.flags;
    return [kind.toUpperCase(), flags === undefined || flags === "ignored" ? [] : Object.keys(flags).sort()];
  });
  expect(new Map(named)).toEqual(new Map(wanted));
});
