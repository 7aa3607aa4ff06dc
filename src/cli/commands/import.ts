/** `tsbuild import`. */
import { resolve } from "node:path";
import type { Command } from "commander";
import type { ImportOptions } from "../../archive/import.ts";
import { TsbuildError } from "../../errors.ts";
import type { ContainerConfig } from "../../oci/image-config.ts";
import { timestampOfMs } from "../../oci/image-config-json.ts";
import { parseReference, type Reference } from "../../oci/reference.ts";
import type { CommandContext } from "../command.ts";
import { platformFlag } from "../registry-flags.ts";

interface Flags {
  readonly change: readonly string[];
  readonly message?: string;
  readonly platform?: string;
}

export function define(command: Command): void {
  command
    .usage("[OPTIONS] FILE|URL|- [REPOSITORY[:TAG]]")
    .argument("<FILE|URL|->")
    .argument("[NAME[:TAG]]")
    .argument("[TAG]", "as Docker's first versions had it")
    .option(
      "-c, --change <INSTRUCTION>",
      "a Dockerfile line such as 'CMD [\"sh\"]'; may be repeated",
      (value: string, before: readonly string[]) => [...before, value],
      [],
    )
    .option("-m, --message <TEXT>", "for the image's history")
    .option("--platform <PLATFORM>", "os/arch[/variant] of what is in the archive");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const flags = command.opts<Flags>();
  const [from = "", name, tag] = command.args;
  const reference = name === undefined ? undefined : nameOf(name, tag);
  let config: ContainerConfig = {};
  if (flags.change.length > 0)
    config = (await import("../../planner/apply-changes.ts")).applyChanges(config, flags.change);
  const { importImage } = await import("../../archive/import.ts");
  await using opened = await openSource(from, context);
  const image = await importImage({
    store: context.openStore(),
    source: opened.source,
    config,
    message: flags.message,
    platform: platformFlag(flags.platform, context),
    created: timestampOfMs(context.now()),
    reference,
    signal: context.signal,
  });
  context.stdout.write(`${image.id}\n`);
  return 0;
}

function nameOf(name: string, tag: string | undefined): Reference {
  const reference = parseReference(tag === undefined ? name : `${name}:${tag}`);
  if (reference.digest === undefined) return reference;
  throw new TsbuildError({ code: "INVALID_REFERENCE", what: "cannot import digest reference" });
}

interface OpenedSource extends AsyncDisposable {
  readonly source: ImportOptions["source"];
}

async function openSource(from: string, context: CommandContext): Promise<OpenedSource> {
  if (from === "-") {
    if (context.stdin.isTTY === true)
      throw new TsbuildError({
        code: "INVALID_ARGUMENT",
        what: "requested import from stdin, but stdin is a terminal",
        hint: "name a file: tsbuild import FILE",
      });
    return opened({ kind: "stream", name: "-", stream: context.stdin });
  }
  if (!/^https?:\/\//.test(from)) return opened({ kind: "path", name: from, path: resolve(context.cwd, from) });
  const { Http } = await import("../../registry/http.ts");
  const { downloadFailed, redactedUrl } = await import("../../registry/errors.ts");
  const http = new Http({ environment: context.environment, insecure: false });
  const answer = await http.retrying(context.signal, () =>
    http.request({ method: "GET", url: from, signal: context.signal, doing: `getting ${redactedUrl(from)}` }),
  );
  if (answer.status !== 200) {
    answer.body.destroy();
    await http[Symbol.asyncDispose]();
    throw downloadFailed(from, answer.status);
  }
  return opened({ kind: "stream", name: redactedUrl(from), stream: answer.body }, () => http[Symbol.asyncDispose]());
}

function opened(source: OpenedSource["source"], close: () => Promise<void> = () => Promise.resolve()): OpenedSource {
  return { source, [Symbol.asyncDispose]: close };
}
