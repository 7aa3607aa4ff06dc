/** Which checks are wanted: `# check=` of the file, of an instruction, and the build argument in its place. */
import { TsbuildError } from "../errors.ts";
import type { Dockerfile, Instruction } from "../parser/ast.ts";
import { type CheckOptions, checkOfDoc, parseCheck } from "../parser/directives.ts";
import type { Rule } from "./rules.ts";

const buildArg = "BUILDKIT_DOCKERFILE_CHECK";

const noSettings: CheckOptions = { skip: [], experimental: [], error: false };

/**
 * The file's settings; the build argument replaces the directive. A directive that cannot be read is the parser's error
 * and counts as none. Source: Dockerfile reference, "check".
 * @throws {TsbuildError} `INVALID_ARGUMENT` for the build argument
 */
export function checkSettings(
  dockerfile: Pick<Dockerfile, "directives">,
  buildArgs: ReadonlyMap<string, string>,
): CheckOptions {
  const given = buildArgs.get(buildArg)?.trim();
  const value = given ?? dockerfile.directives.find(({ name }) => name === "check")?.value ?? "";
  if (value === "") return noSettings;
  const settings = parseCheck(value);
  if (typeof settings !== "string") return settings;
  if (given === undefined) return noSettings;
  throw new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `${buildArg}: ${settings}`,
    where: { kind: "flag", flag: "--build-arg" },
    hint: `such as --build-arg ${buildArg}=skip=JSONArgsRecommended;error=true`,
  });
}

/** The same with what the comments above one instruction add. */
export function settingsAt(settings: CheckOptions, instruction: Instruction | undefined): CheckOptions {
  const own = instruction?.doc === undefined ? undefined : checkOfDoc(instruction.doc);
  if (own === undefined) return settings;
  return {
    skip: [...settings.skip, ...own.skip],
    experimental: [...settings.experimental, ...own.experimental],
    error: settings.error || own.error,
  };
}

/** As in BuildKit, an experimental check is on where it is named, and `skip` has no say in it. */
export function isWanted(rule: Rule, settings: CheckOptions, withOwn: boolean): boolean {
  const named = (names: readonly string[]): boolean => names.includes("all") || names.includes(rule.name);
  if (rule.experimental) return named(settings.experimental);
  if (named(settings.skip)) return false;
  return rule.own !== true || withOwn || settings.experimental.includes(rule.name);
}
