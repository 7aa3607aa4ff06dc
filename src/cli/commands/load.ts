/** `tsbuild load`. */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { TsbuildError } from "../../errors.ts";
import { familiarReference } from "../../oci/reference.ts";
import type { CommandContext } from "../command.ts";
import { platformFlag } from "../registry-flags.ts";

interface Flags {
  readonly input?: string;
  readonly quiet?: boolean;
  readonly platform?: string;
}

export function define(command: Command): void {
  command
    .usage("[OPTIONS]")
    .option("-i, --input <FILE>", "an archive or an OCI folder, instead of stdin")
    .option("-q, --quiet", "taken for docker's sake: only names are printed anyway")
    .option("--platform <PLATFORM>", "os/arch[/variant] of an image for several");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const flags = command.opts<Flags>();
  const { stdin, stdout, signal } = context;
  const fromStdin = flags.input === undefined || flags.input === "-";
  if (fromStdin && stdin.isTTY === true)
    throw new TsbuildError({
      code: "INVALID_ARGUMENT",
      what: "requested load from stdin, but stdin is a terminal",
      hint: "name a file: tsbuild load -i FILE",
    });
  const path = resolve(context.cwd, flags.input ?? "");
  if (!fromStdin) statSync(path);
  const { loadImages } = await import("../../archive/load.ts");
  const loaded = await loadImages({
    store: context.openStore(),
    source: fromStdin ? { kind: "stream", stream: stdin } : { kind: "path", path },
    platform: platformFlag(flags.platform, context),
    signal,
  });
  for (const { image, references } of loaded) {
    for (const reference of references) stdout.write(`Loaded image: ${familiarReference(reference)}\n`);
    if (references.length === 0) stdout.write(`Loaded image ID: ${image.id}\n`);
  }
  return 0;
}
