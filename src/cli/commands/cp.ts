/** `tsbuild cp`: between a container and the host, both ways, or a tar on standard input or output. */
import type { Command } from "commander";
import { TsbuildError } from "../../errors.ts";
import { type CopyEnd, type CopyOptions, copyFiles, copyFromTar, copyToTar } from "../../runtime/copy-files.ts";
import type { Store } from "../../store/store.ts";
import type { CommandContext } from "../command.ts";
import { knownContainer } from "../containers/known-container.ts";
import { standardOutput } from "../containers/tar-output.ts";
import { formatSize } from "../render/size.ts";

interface Flags {
  readonly archive?: boolean;
  readonly followLink?: boolean;
  readonly quiet?: boolean;
}

export function define(command: Command): void {
  command
    .usage("[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-  or  SRC_PATH|- CONTAINER:DEST_PATH")
    .argument("<source>", "CONTAINER:PATH, a path, or - for a tar on standard input")
    .argument("<destination>", "CONTAINER:PATH, a path, or - for a tar on standard output")
    .option("-a, --archive", "keep owners")
    .option("-L, --follow-link", "copy what a symlink points to")
    .option("-q, --quiet", "say nothing at the end");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const flags = command.opts<Flags>();
  const [sourceText = "", targetText = ""] = command.args;
  const store = context.openStore();
  const options: CopyOptions = {
    store,
    archive: flags.archive === true,
    followLink: flags.followLink === true,
    signal: context.signal,
  };
  const [source, target] = [copyEnd(sourceText, store, context), copyEnd(targetText, store, context)];
  if (source.kind === "host" && target.kind === "host") {
    throw new TsbuildError({
      code: "USAGE",
      what: "must specify at least one container source",
      hint: "tsbuild cp CONTAINER:/path . or tsbuild cp file CONTAINER:/path",
    });
  }
  if (targetText === "-") {
    const refusal = "refusing to write a tar to a terminal: redirect it";
    await copyToTar(source, standardOutput(context, refusal), options);
    return 0;
  }
  const bytes =
    sourceText === "-" ? await copyFromTar(context.stdin, target, options) : await copyFiles(source, target, options);
  if (context.stderr.isTTY && flags.quiet !== true) {
    context.stderr.write(`Successfully copied ${formatSize(bytes)} to ${targetText}\n`);
  }
  return 0;
}

/** A colon makes it a container's, unless the text is plainly a path of the host. */
function copyEnd(text: string, store: Store, context: CommandContext): CopyEnd {
  const colon = text.indexOf(":");
  if (colon <= 0 || text.startsWith("/") || text.startsWith(".")) return { kind: "host", path: text, cwd: context.cwd };
  const name = text.slice(0, colon);
  const path = text.slice(colon + 1);
  if (path === "") {
    throw new TsbuildError({ code: "INVALID_ARGUMENT", what: "path cannot be empty", hint: `all of it is ${name}:/` });
  }
  return { kind: "container", container: knownContainer(store, name), path };
}
