/** Flags of `build` that mean something to other builders only, taken so that old command lines work. */
import { type Command, Option } from "commander";
import { TsbuildError } from "../errors.ts";

const legacy: readonly { readonly flags: string; readonly warns: boolean }[] = [
  { flags: "--rm", warns: true },
  { flags: "--force-rm", warns: true },
  { flags: "--compress", warns: true },
  { flags: "--isolation <technology>", warns: true },
  { flags: "--security-opt <option>", warns: true },
  { flags: "--disable-content-trust", warns: true },
  { flags: "--squash", warns: false },
  // There is one builder.
  { flags: "--builder <name>", warns: false },
];

export function defineLegacyFlags(command: Command): void {
  for (const { flags } of legacy) command.addOption(new Option(flags).hideHelp());
}

/**
 * A warning for each one that was given.
 * @throws {TsbuildError} `UNSUPPORTED` for `--squash`, whose image would be another
 */
export function legacyFlagNotes(command: Command): readonly string[] {
  const given = (option: Option): boolean => command.getOptionValueSource(option.attributeName()) === "cli";
  return legacy.flatMap(({ flags, warns }) => {
    const option = new Option(flags);
    if (!given(option)) return [];
    if (option.long === "--squash" && command.getOptionValue(option.attributeName()) === true)
      throw new TsbuildError({
        code: "UNSUPPORTED",
        what: "--squash is not supported",
        where: { kind: "flag", flag: "--squash" },
        hint: "end with a stage that takes everything: FROM scratch and COPY --from=STAGE / /",
      });
    return warns ? [`warning: ${option.long} has no effect here, it is for the legacy builder`] : [];
  });
}
