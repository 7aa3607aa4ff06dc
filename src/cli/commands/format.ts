/** `tsbuild format`: Dockerfiles in one style, printed, compared or written. */
import { realpathSync, statSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { TsbuildError } from "../../errors.ts";
import { findDockerfile, readDockerfile, textOf } from "../build-input.ts";
import type { CommandContext } from "../command.ts";
import { readStandardInput } from "../context-archive.ts";
import { replaceFile } from "../replace-file.ts";

export function define(command: Command): void {
  command
    .usage("[OPTIONS] [FILE | PATH | -]...")
    .argument("[files...]", "Dockerfiles, directories that hold one, or - for standard input (default: Dockerfile)")
    .option("--check", "name the files that would change, and exit with 1 if there are any")
    .option("-w, --write", "write them back instead of printing them");
}

/** 1 with `--check` when a file would change. A file with an error stops it before anything is written. */
export async function run(command: Command, context: CommandContext): Promise<number> {
  const { check = false, write = false } = command.opts<{ check?: boolean; write?: boolean }>();
  if (check && write) throw usage("--check and --write exclude each other");
  const names = command.args.length === 0 ? ["."] : command.args;
  if (write && names.includes("-")) throw usage("--write needs a file, and - is standard input");
  const sources: Formatted[] = [];
  for (const name of names) sources.push(await format(await readSource(name, context)));
  const changed = sources.filter(({ text, formatted }) => text !== formatted);
  if (check) {
    for (const { file } of changed) context.stdout.write(`${file}\n`);
    return changed.length === 0 ? 0 : 1;
  }
  if (write) {
    for (const { file, path, formatted } of changed) {
      const target = realpathSync(path);
      replaceFile(target, formatted, statSync(target));
      context.stderr.write(`formatted ${file}\n`);
    }
    return 0;
  }
  for (const { formatted } of sources) context.stdout.write(formatted);
  return 0;
}

interface Source {
  readonly text: string;
  /** As messages show it. */
  readonly file: string;
  readonly path: string;
}

interface Formatted extends Source {
  readonly formatted: string;
}

async function readSource(name: string, context: CommandContext): Promise<Source> {
  if (name === "-") {
    return { ...decoded(await readStandardInput(context), "Dockerfile"), file: "Dockerfile", path: "-" };
  }
  const path = resolve(context.cwd, name);
  const folder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const found = findDockerfile(folder ? undefined : name, folder ? path : context.cwd, context.cwd);
  const shown = !folder ? name : name === "." ? found.shown : `${name.replace(/\/+$/, "")}/${found.shown}`;
  return { ...decoded(await readDockerfile(found), shown), file: shown, path: found.path };
}

/** Bytes that are no UTF-8 would not survive being written. */
function decoded(bytes: Buffer, file: string): { readonly text: string } {
  const text = textOf(bytes, file);
  if (Buffer.compare(Buffer.from(text), bytes) === 0) return { text };
  throw new TsbuildError({
    code: "DOCKERFILE_INVALID",
    what: `${file} holds bytes that are not UTF-8`,
    hint: "convert it with iconv -t UTF-8",
  });
}

/** @throws {DockerfileInvalid} `DOCKERFILE_INVALID`: what a line with an error says is not known */
async function format(source: Source): Promise<Formatted> {
  const { parse } = await import("../../parser/parse.ts");
  const { throwIfErrors } = await import("../../parser/position.ts");
  const { formatDockerfile } = await import("../../parser/format.ts");
  const { sameMeaning } = await import("../../parser/same-meaning.ts");
  const { text, file } = source;
  const before = parse(text, { file });
  throwIfErrors(before);
  const formatted = formatDockerfile(text);
  // Nobody reads a formatted file again with suspicion, so it is done here.
  if (!sameMeaning(before.dockerfile, parse(formatted, { file }).dockerfile))
    throw new Error(`formatting ${file} would change what it says`);
  return { ...source, formatted };
}

const usage = (what: string): TsbuildError => new TsbuildError({ code: "USAGE", what });
