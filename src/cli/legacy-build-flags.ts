/** Flags of `build` that mean something to other builders only, taken so that old command lines work. */
import { type Command, Option } from "commander";

const legacy: readonly { readonly flags: string; readonly warns: boolean }[] = [
  { flags: "--rm", warns: true },
  { flags: "--force-rm", warns: true },
  { flags: "--compress", warns: true },
  { flags: "--isolation <technology>", warns: true },
  { flags: "--security-opt <option>", warns: true },
  { flags: "--disable-content-trust", warns: true },
  // There is one builder.
  { flags: "--builder <name>", warns: false },
];

export function defineLegacyFlags(command: Command): void {
  for (const { flags } of legacy) command.addOption(new Option(flags).hideHelp());
}

/** A warning for each one that was given. */
export function legacyFlagNotes(command: Command): readonly string[] {
  const given = (option: Option): boolean => command.getOptionValueSource(option.attributeName()) === "cli";
  return legacy.flatMap(({ flags, warns }) => {
    const option = new Option(flags);
    return warns && given(option) ? [`warning: ${option.long} has no effect here, it is for the legacy builder`] : [];
  });
}
