/** Programs of this machine for a container: each with the libraries it is linked to. */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, realpathSync } from "node:fs";
import { dirname } from "node:path";

/** Copies these programs (absolute paths) and their libraries to the same places below `folder`. */
export function programTree(folder: string, programs: readonly string[]): void {
  const files = programs.flatMap((program) => [program, ...librariesOf(program)]);
  for (const file of new Set(files)) {
    mkdirSync(dirname(`${folder}${file}`), { recursive: true });
    copyFileSync(realpathSync(file), `${folder}${file}`);
  }
}

/** Lines of `ldd`: `libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x…)`, `/lib64/ld-linux-x86-64.so.2 (0x…)`. */
function librariesOf(program: string): readonly string[] {
  const { stdout } = spawnSync("ldd", [program], { encoding: "utf8" });
  return stdout.split("\n").flatMap((line) => /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1] ?? []);
}
