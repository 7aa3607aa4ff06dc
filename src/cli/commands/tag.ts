/** `tsbuild tag SOURCE TARGET`: a further name for an image. A name that exists moves silently. */
import type { Command } from "commander";
import { TsbuildError } from "../../errors.ts";
import { familiarReference, parseReference, type Reference } from "../../oci/reference.ts";
import type { CommandContext } from "../command.ts";

export function define(command: Command): void {
  command
    .usage("SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]")
    .argument("<source>", "a name, an ID or the beginning of one")
    .argument("<target>", "the new name");
  // Docker's early -f had a meaning that is now the rule.
  command.option("-f, --force", "accepted: a name always moves");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const [source = "", target = ""] = command.args;
  const reference = parseTarget(target);
  const { images } = context.openStore();
  const image = images.lookup(source);
  const named = image.references.find((own) => familiarReference(own) === familiarReferenceOf(source));
  const index = named === undefined ? undefined : images.index(named);
  if (index === undefined) images.tag(reference, image.id);
  else
    images.tagIndex(
      reference,
      index.raw,
      [image, ...index.images].map(({ id }) => id),
    );
  return 0;
}

/** An ID is no reference. */
function familiarReferenceOf(text: string): string | undefined {
  try {
    return familiarReference(parseReference(text));
  } catch {
    return undefined;
  }
}

function parseTarget(text: string): Reference {
  const invalid = (why: string, hint?: string): TsbuildError =>
    new TsbuildError({
      code: "INVALID_REFERENCE",
      what: `error parsing reference: ${JSON.stringify(text)} is not a valid repository/tag: ${why}`,
      hint,
    });
  let reference: Reference;
  try {
    reference = parseReference(text);
  } catch (error) {
    if (!(error instanceof TsbuildError)) throw error;
    throw invalid(error.message.replace(/^(invalid reference format): ".*"$/, "$1"), error.hint);
  }
  if (reference.digest !== undefined) throw invalid("refusing to create a tag with a digest reference");
  return reference;
}
