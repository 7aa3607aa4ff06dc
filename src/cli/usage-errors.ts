/** Everything that is wrong with a command line, in one place. All are `USAGE`, which exits with 2 (125 for `run`). */
import { TsbuildError } from "../errors.ts";

export function unknownCommand(word: string, near: string | undefined): TsbuildError {
  return usage(
    `unknown command '${word}'`,
    near === undefined ? "tsbuild --help lists them" : `did you mean '${near}'?`,
  );
}

export function unknownFlag(flag: string, near: string | undefined): TsbuildError {
  return usage(`unknown flag: ${flag}`, near === undefined ? undefined : `did you mean ${near}?`);
}

export function flagNeedsValue(flag: string): TsbuildError {
  return usage(`flag needs a value: ${flag}`);
}

export function invalidFlagValue(flag: string, value: string, why: string): TsbuildError {
  return usage(`invalid value ${JSON.stringify(value)} for ${flag}: ${why}`);
}

export function noDaemon(flag: string): TsbuildError {
  return usage(`${flag}: tsbuild has no daemon to talk to`, "for docker's own, call docker");
}

/** `'tsbuild tag' requires 2 arguments`, with the usage line below it. */
export function wrongNumberOfWords(name: string, requirement: string, usageLine: string): TsbuildError {
  return usage([`'${name}' ${requirement}`, "", usageLine, "", `See '${name} --help' for more information`].join("\n"));
}

function usage(what: string, hint?: string): TsbuildError {
  return new TsbuildError({ code: "USAGE", what, hint });
}
