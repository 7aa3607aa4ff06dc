/** `tsbuild push`. */
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { TsbuildError } from "../../errors.ts";
import { canonicalReference, parseReferenceAsWritten, type Reference } from "../../oci/reference.ts";
import type { Store } from "../../store/store.ts";
import type { CommandContext } from "../command.ts";
import { addRegistryFlags, jobsFlag, platformFlag, type RegistryFlags, registryAccess } from "../registry-flags.ts";
import { invalidFlagValue } from "../usage-errors.ts";

interface Flags extends RegistryFlags {
  readonly allTags?: boolean;
  readonly quiet?: boolean;
  readonly platform?: string;
  readonly jobs?: string;
  readonly compression?: string;
  readonly digestfile?: string;
}

export function define(command: Command): void {
  command
    .usage("[OPTIONS] NAME[:TAG]")
    .argument("<NAME[:TAG]>")
    .option("-a, --all-tags", "every tag of the name")
    .option("-q, --quiet", "only the name, when it is there")
    .option("--platform <PLATFORM>", "fail unless the image is for this os/arch[/variant]")
    .option("--jobs <N>", "layers at a time")
    .option("--compression <gzip|zstd>", "of layers that were built here (gzip)")
    .option("--digestfile <FILE>", "write the manifest's digest there");
  addRegistryFlags(command);
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const flags = command.opts<Flags>();
  const { stdout, stderr, signal, now, cwd } = context;
  const written = parseReferenceAsWritten(command.args[0] ?? "");
  const quiet = flags.quiet === true;
  const jobs = jobsFlag(flags.jobs);
  const compression = compressionFlag(flags.compression);
  const store = context.openStore();
  const references = referencesToPush(written, flags.allTags === true, store);
  if (written.tag === undefined && flags.allTags !== true && !quiet) stdout.write("Using default tag: latest\n");
  const [{ pushImage }, { transferProgress }] = await Promise.all([
    import("../../registry/push-image.ts"),
    import("../render/transfer-progress.ts"),
  ]);
  using progress = transferProgress({ stdout, stderr, now });
  for (const reference of references) {
    const { digest } = await pushImage({
      store,
      reference,
      compression,
      platform: platformFlag(flags.platform, { ...context, environment: {} }),
      access: registryAccess(flags, context),
      ...(jobs !== undefined && { jobs }),
      ...(!quiet && { onEvent: progress.onEvent }),
      signal,
    });
    if (flags.digestfile !== undefined) writeFileSync(resolve(cwd, flags.digestfile), digest);
    if (quiet) stdout.write(`${canonicalReference(reference)}\n`);
  }
  return 0;
}

function referencesToPush(written: Reference, allTags: boolean, store: Store): readonly Reference[] {
  if (written.digest !== undefined)
    throw new TsbuildError({ code: "USAGE", what: "cannot push a digest reference", hint: "push a tag" });
  if (!allTags) return [written.tag === undefined ? { ...written, tag: "latest" } : written];
  if (written.tag !== undefined)
    throw new TsbuildError({ code: "USAGE", what: "tag can't be used with --all-tags/-a" });
  const references = store.images
    .list()
    .flatMap((image) => image.references)
    .filter(({ domain, path }) => domain === written.domain && path === written.path);
  return references.length > 0 ? references : [{ ...written, tag: "latest" }];
}

function compressionFlag(given: string | undefined): "gzip" | "zstd" | undefined {
  if (given === undefined || given === "gzip" || given === "zstd") return given;
  throw invalidFlagValue("--compression", given, "gzip or zstd");
}
