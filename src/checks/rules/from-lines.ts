/** What is said about FROM: its arguments and its platform. */

import { formatPlatform, normalisePlatform, parsePlatform } from "../../oci/platform.ts";
import { parseReference } from "../../oci/reference.ts";
import type { FromInstruction, Instruction } from "../../parser/ast.ts";
import type { Check, CheckedFile, Report } from "../checked-file.ts";
import { suggester } from "../suggestions.ts";
import { variablesIn } from "../variables-in.ts";
import { wordValue } from "../walk-stages.ts";

export const fromLines: Check = (file, report) => {
  const nearest = suggester();
  for (const { from } of file.stages) {
    undeclared(file, from, nearest, report);
    defaultName(file, from, report);
    redundantPlatform(file, from, report);
    constantPlatform(file, from, report);
  }
  otherPlatform(file, report);
};

const declares = (body: readonly Instruction[], name: string): boolean =>
  body.some((line) => line.kind === "arg" && line.args.some((arg) => arg.name === name));

function undeclared(
  file: CheckedFile,
  { image, platform }: FromInstruction,
  nearest: ReturnType<typeof suggester>,
  report: Report,
): void {
  const { global } = file;
  for (const word of platform === undefined ? [image] : [image, platform]) {
    const told = new Set<string>();
    for (const { name, range } of variablesIn(word)) {
      if (global.names.has(name) || told.has(name)) continue;
      told.add(name);
      const near = nearest(name, global.names);
      const suggestion = near === undefined ? "" : ` (did you mean ${near}?)`;
      const own = file.stages.some(({ body }) => declares(body, name));
      const hint = own ? `FROM sees what stands above the first FROM: move ARG ${name} there` : undefined;
      report("UndefinedArgInFrom", range, `FROM argument '${name}' is not declared${suggestion}`, hint);
    }
  }
}

/** With all build arguments left out there should still be an image. */
function defaultName({ defaults, dockerfile }: CheckedFile, { image }: FromInstruction, report: Report): void {
  if (variablesIn(image).length === 0) return;
  const name = wordValue(image, defaults.variables, dockerfile);
  if (name === undefined || isImageName(name)) return;
  report(
    "InvalidDefaultArgInFrom",
    image.range,
    `Default value for ARG ${image.raw} results in empty or invalid base image name`,
  );
}

function isImageName(name: string): boolean {
  try {
    parseReference(name);
    return true;
  } catch {
    return false;
  }
}

function redundantPlatform(
  { global, dockerfile, targetPlatform }: CheckedFile,
  { platform }: FromInstruction,
  report: Report,
): void {
  if (platform === undefined) return;
  const used = variablesIn(platform);
  if (used.length === 0 || used.some(({ name }) => name !== "TARGETPLATFORM")) return;
  // An ARG may have given the name another meaning.
  if (wordValue(platform, global.variables, dockerfile) !== formatPlatform(targetPlatform)) return;
  report(
    "RedundantTargetPlatform",
    platform.range,
    `Setting platform to predefined ${platform.raw} in FROM is redundant as this is the default behavior`,
  );
}

function constantPlatform({ global, dockerfile }: CheckedFile, line: FromInstruction, report: Report): void {
  const { platform, stageName = "" } = line;
  if (platform === undefined || variablesIn(platform).length > 0) return;
  const text = wordValue(platform, global.variables, dockerfile) ?? "";
  try {
    const { os, architecture } = parsePlatform(text);
    if (stageName.includes(os) || stageName.includes(architecture)) return;
  } catch {
    return; // the planner rejects it
  }
  report(
    "FromPlatformFlagConstDisallowed",
    platform.range,
    `FROM --platform flag should not use constant value ${JSON.stringify(text)}`,
  );
}

function otherPlatform({ walked }: CheckedFile, report: Report): void {
  for (const { base, source } of walked) {
    if (base.kind !== "image") continue;
    const { os, architecture, variant } = base.image;
    if (os === base.wanted.os && architecture === base.wanted.architecture) continue;
    const actual = formatPlatform(normalisePlatform({ os, architecture, ...(variant !== undefined && { variant }) }));
    const expected = formatPlatform(normalisePlatform(base.wanted));
    report(
      "InvalidBaseImagePlatform",
      source.from.image.range,
      `Base image ${source.image} was pulled with platform "${actual}", expected "${expected}" for current build`,
    );
  }
}
