/** `tsbuild pull`. */
import type { Command } from "commander";
import { TsbuildError } from "../../errors.ts";
import { canonicalReference, familiarReference, parseReferenceAsWritten, type Reference } from "../../oci/reference.ts";
import type { CommandContext } from "../command.ts";
import { addRegistryFlags, jobsFlag, platformFlag, type RegistryFlags, registryAccess } from "../registry-flags.ts";

interface Flags extends RegistryFlags {
  readonly allTags?: boolean;
  readonly quiet?: boolean;
  readonly platform?: string;
  readonly jobs?: string;
  readonly tag?: string;
}

export function define(command: Command): void {
  command
    .usage("[OPTIONS] NAME[:TAG|@DIGEST]")
    .argument("<NAME[:TAG|@DIGEST]>")
    .option("-a, --all-tags", "every tag of the repository")
    .option("-q, --quiet", "only the image's name, when it is there")
    .option("--platform <PLATFORM>", "os/arch[/variant] of an image for several")
    .option("--jobs <N>", "layers at a time")
    .option("-t, --tag <TAG>", "as Docker's first versions had it: the tag apart from the name");
  addRegistryFlags(command);
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const flags = command.opts<Flags>();
  const { stdout, stderr, signal, now } = context;
  const written = withTag(parseReferenceAsWritten(command.args[0] ?? ""), flags.tag);
  const quiet = flags.quiet === true;
  const jobs = jobsFlag(flags.jobs);
  const [{ pullAllTags, pullImage }, { transferProgress }] = await Promise.all([
    import("../../registry/pull-image.ts"),
    import("../render/transfer-progress.ts"),
  ]);
  using progress = transferProgress({ stdout, stderr, now });
  const options = {
    store: context.openStore(),
    platform: platformFlag(flags.platform, context),
    access: registryAccess(flags, context),
    ...(jobs !== undefined && { jobs }),
    ...(!quiet && { onEvent: progress.onEvent }),
    signal,
  };
  if (flags.allTags === true) {
    if (written.tag !== undefined || written.digest !== undefined)
      throw new TsbuildError({ code: "USAGE", what: "tag can't be used with --all-tags/-a" });
    await pullAllTags({ ...options, reference: written });
    stdout.write(`${familiarReference(written)}\n`);
    return 0;
  }
  const named = written.tag !== undefined || written.digest !== undefined;
  const reference: Reference = named ? written : { ...written, tag: "latest" };
  if (!named && !quiet) stdout.write("Using default tag: latest\n");
  await pullImage({ ...options, reference });
  stdout.write(`${canonicalReference(reference)}\n`);
  return 0;
}

function withTag(reference: Reference, tag: string | undefined): Reference {
  return tag === undefined ? reference : { ...reference, tag };
}
