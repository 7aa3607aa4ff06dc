/** Texts of `--help`. */
import { commands, groupCommands, groups, sections } from "./command-table.ts";
import { globalFlags } from "./global-flags.ts";

export function mainHelp(): string {
  const lines = [
    "tsbuild: builds images from Dockerfiles and runs them. No daemon.",
    "",
    "Usage:  tsbuild [OPTIONS] PATH | -           build an image",
    "        tsbuild COMMAND [OPTIONS] [ARG...]",
  ];
  for (const section of sections) {
    const rows = [...commands].filter(([, entry]) => entry.section === section);
    if (rows.length === 0) continue;
    lines.push("", `${section}:`, ...twoColumns(rows.map(([name, entry]) => [name, entry.summary])));
  }
  lines.push(
    "",
    "Global options:",
    ...twoColumns(globalFlagRows()),
    "",
    `Groups, for fingers that know them: ${groups().join(", ")}.`,
    "More about one command: tsbuild COMMAND --help",
  );
  return `${lines.join("\n")}\n`;
}

export function groupHelp(group: string): string {
  const rows = [...groupCommands(group)].map(([word, entry]): readonly [string, string] => [word, entry.summary]);
  return [`Usage:  tsbuild ${group} COMMAND [OPTIONS] [ARG...]`, "", "Commands:", ...twoColumns(rows), ""].join("\n");
}

export function globalFlagRows(): readonly (readonly [string, string])[] {
  return globalFlags.map((flag) => {
    const names = flag.short === undefined ? `    ${flag.long}` : `${flag.short}, ${flag.long}`;
    return [flag.value === undefined ? names : `${names} ${flag.value}`, flag.description];
  });
}

export function twoColumns(rows: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`.trimEnd());
}
