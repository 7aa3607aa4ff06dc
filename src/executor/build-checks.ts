/** Build checks as part of a build: they come last, so that they cost no step its time, unless they may reject it. */
import type { FindBase } from "../checks/walk-stages.ts";
import { canonicalReference, parseReference } from "../oci/reference.ts";
import type { Diagnostic, ParseResult } from "../parser/ast.ts";
import { DockerfileInvalid } from "../parser/errors.ts";
import { whereOf } from "../parser/position.ts";
import type { BuildOptions, ResolveImage } from "../planner/build-options.ts";

export interface BuildChecks {
  readonly parsed: ParseResult;
  readonly options: BuildOptions;
  readonly resolveImage: ResolveImage;
}

/** Warnings about the stages that the target needs, without the checks that BuildKit does not have. */
export async function buildWarnings({ parsed, options, resolveImage }: BuildChecks): Promise<readonly Diagnostic[]> {
  const { checkDockerfile } = await import("../checks/check-dockerfile.ts");
  const findBase: FindBase = async (image, platform) => (await resolveImage(parseReference(image), platform)).config;
  return await checkDockerfile({ parsed, options, findBase, allStages: false, withOwn: false });
}

/** Whether anything asks for checks to reject: otherwise they can wait. */
export function mayReject({ parsed, options }: BuildChecks): boolean {
  return (
    options.buildArgs.has("BUILDKIT_DOCKERFILE_CHECK") ||
    parsed.dockerfile.directives.some(({ name }) => name === "check")
  );
}

/**
 * `check=error=true`: no step runs when there is a warning.
 * @throws {TsbuildError} `DOCKERFILE_INVALID` with the warnings and the names of their checks
 */
export async function rejectWarnings(checks: BuildChecks): Promise<readonly Diagnostic[]> {
  const { checkSettings } = await import("../checks/settings.ts");
  const { dockerfile } = checks.parsed;
  const { error } = checkSettings(dockerfile, checks.options.buildArgs);
  const warnings = await buildWarnings(checks);
  if (!error || warnings.length === 0) return warnings;
  const directive = dockerfile.directives.find(({ name }) => name === "check");
  const range = directive?.range ?? { start: 0, end: 0 };
  const names = [...new Set(warnings.map(({ code }) => code))].sort();
  const failure: Diagnostic = {
    severity: "error",
    code: "check-failed",
    message: `lint violation found for rules: ${names.join(", ")}`,
    range,
    hint: "with error=true a warning ends the build; skip=NAME leaves a check out",
  };
  const result = { dockerfile, diagnostics: [failure, ...warnings] };
  const { message: what, hint } = failure;
  throw new DockerfileInvalid(result, { code: "DOCKERFILE_INVALID", what, where: whereOf(dockerfile, range), hint });
}

/** Each image is asked for once, by binding or by checks. */
export function remembered(resolveImage: ResolveImage): ResolveImage {
  const known = new Map<string, ReturnType<ResolveImage>>();
  return (reference, platform, layout) => {
    const key = JSON.stringify([canonicalReference(reference), platform, layout]);
    const found = known.get(key) ?? resolveImage(reference, platform, layout);
    known.set(key, found);
    return found;
  };
}
