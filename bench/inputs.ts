/** Contexts of the scenarios. */
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { base } from "./builders.ts";
import { run } from "./commands.ts";
import type { Machine } from "./machine.ts";

/** A fresh folder below `parent` with this Dockerfile. */
export function makeContext(parent: string, name: string, lines: readonly string[]): string {
  const folder = join(parent, name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "Dockerfile"), `${[`FROM ${base}`, ...lines].join("\n")}\n`);
  return folder;
}

/** 100 folders of 100 files with about 1 kB each; `seed` makes their contents new. */
export function writeManyFiles(folder: string, seed: string): void {
  for (let outer = 0; outer < 100; outer += 1) {
    const inner = join(folder, "files", `d${outer}`);
    mkdirSync(inner, { recursive: true });
    for (let file = 0; file < 100; file += 1) {
      writeFileSync(join(inner, `f${file}`), `${seed} ${outer} ${file}\n`.repeat(60));
    }
  }
}

/** A name for a file or folder that other subjects do not use. */
export function slug(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]+/g, "-");
}

/** The base's tar with one more file: a layer that no storage has seen yet. */
export function variantOfBase(machine: Machine, name: string): string {
  const tar = join(machine.folder, "variant.tar");
  const file = join(machine.folder, "variant");
  copyFileSync(machine.baseTar, tar);
  writeFileSync(file, `${name}\n`);
  run(["tar", "-r", "-f", tar, "-C", machine.folder, "variant"]);
  return tar;
}
