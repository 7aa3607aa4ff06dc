/** Answers `--check`, `--call=outline` and `--call=targets`. Nothing is built, pulled or written but by `--fix`. */
import { existsSync } from "node:fs";
import { relative, resolve } from "node:path";
import type { Command } from "commander";
import { checkDockerfile, checkedFile } from "../checks/check-dockerfile.ts";
import type { BaseImage } from "../checks/checked-file.ts";
import { findErrors } from "../checks/find-errors.ts";
import { storedBase } from "../checks/stored-bases.ts";
import { listTargets } from "../checks/targets.ts";
import type { FindBase } from "../checks/walk-stages.ts";
import { TsbuildError } from "../errors.ts";
import { formatPlatform } from "../oci/platform.ts";
import { parseReference } from "../oci/reference.ts";
import type { ParseResult } from "../parser/ast.ts";
import { parse } from "../parser/parse.ts";
import { throwIfErrors } from "../parser/position.ts";
import type { BuildOptions } from "../planner/build-options.ts";
import type { Store } from "../store/store.ts";
import { findDockerfile } from "./build-input.ts";
import type { CommandContext } from "./command.ts";
import type { CallRequest } from "./read-call.ts";
import { printable } from "./render/printable.ts";

export interface AskedFile {
  readonly options: BuildOptions;
  /** The Dockerfile's path; undefined where it is no file that can be written. */
  readonly file: string | undefined;
  /** Ask registries for the configs of base images that are not here. */
  readonly pull: boolean;
}

/** 1 when a check found something. @throws {TsbuildError} for what is wrong with the request, or with a file to outline */
export async function answerCall(
  call: CallRequest,
  { options, file, pull }: AskedFile,
  context: CommandContext,
): Promise<number> {
  const parsed = parse(options.dockerfile.text, { file: options.dockerfile.file });
  const findBase = baseConfigs(context, pull);
  switch (call.kind) {
    case "check":
      return await answerCheck(call, { parsed, options, file, pull, findBase, context });
    case "outline": {
      throwIfErrors(parsed);
      const { outlineOf } = await import("../checks/outline.ts");
      const render = await import("./render/checks/outline.ts");
      const outline = outlineOf(await checkedFile({ parsed, options, findBase, allStages: false }));
      const text =
        call.format === "json" ? render.outlineJson(outline, parsed.dockerfile) : render.outlineText(outline);
      context.stdout.write(text);
      return 0;
    }
    case "targets": {
      throwIfErrors(parsed);
      const render = await import("./render/checks/outline.ts");
      const targets = listTargets(parsed.dockerfile);
      const text =
        call.format === "json" ? render.targetsJson(targets, parsed.dockerfile) : render.targetsText(targets);
      context.stdout.write(text);
      return 0;
    }
  }
}

interface CheckCall extends AskedFile {
  readonly parsed: ParseResult;
  readonly findBase: FindBase;
  readonly context: CommandContext;
}

async function answerCheck(
  call: Extract<CallRequest, { kind: "check" }>,
  { parsed: given, options, file, findBase, context }: CheckCall,
): Promise<number> {
  // As in BuildKit: without a target all stages are meant.
  const allStages = options.target === undefined || options.target === "";
  let parsed = given;
  let warnings = await checkDockerfile({ parsed, options, findBase, allStages, withOwn: true });
  if (call.fix) {
    const { fixWarnings } = await import("../checks/fix.ts");
    const { text, fixed } = fixWarnings(parsed.dockerfile, warnings);
    if (fixed.length > 0) {
      const { rewriteFile } = await import("./rewrite-file.ts");
      rewriteFile(file, parsed.dockerfile.text, text);
      parsed = parse(text, { file: options.dockerfile.file });
      warnings = await checkDockerfile({ parsed, options, findBase, allStages, withOwn: true });
    }
    context.stderr.write(
      `fixed ${fixed.length} ${fixed.length === 1 ? "warning" : "warnings"} in ${options.dockerfile.file}\n`,
    );
  }
  const errors = await findErrors({ parsed, options, findBase, allStages });
  // What the parser wonders about; checks have their own way to say what it says in their name.
  const doubts = parsed.diagnostics.filter(
    ({ severity, code }) => severity === "warning" && code !== "NoEmptyContinuation",
  );
  const findings = [...errors, ...(call.errorsOnly ? [] : [...doubts, ...warnings])].sort(
    (a, b) => a.range.start - b.range.start,
  );
  const report = {
    dockerfile: parsed.dockerfile,
    findings,
    path: pathFromHere(file, context) ?? parsed.dockerfile.file,
  };
  switch (call.format) {
    case "text": {
      const { checkText } = await import("./render/checks/text.ts");
      context.stdout.write(checkText(report, context.stdout));
      break;
    }
    case "json": {
      const { checkJson } = await import("./render/checks/json.ts");
      context.stdout.write(checkJson(report));
      break;
    }
    case "sarif": {
      const { checkSarif } = await import("./render/checks/sarif.ts");
      context.stdout.write(checkSarif(report));
      break;
    }
    case "gha": {
      const { checkGithub } = await import("./render/checks/github.ts");
      context.stdout.write(checkGithub(report));
      break;
    }
  }
  return findings.length > 0 && !call.ignoreStatus ? 1 : 0;
}

/** Of images in the store, and with `pull` of those in a registry. Each is looked for once. */
function baseConfigs(context: CommandContext, pull: boolean): FindBase {
  const local = localImages(context);
  const known = new Map<string, Promise<BaseImage | undefined>>();
  const find: FindBase = async (name, platform) => {
    const here = local(name);
    if (here !== undefined || !pull) return here;
    const warn = (text: string): void => void context.stderr.write(`${text}\n`);
    try {
      const { remoteConfig } = await import("../registry/pull-image.ts");
      return await remoteConfig({
        reference: parseReference(name),
        platform,
        access: { environment: context.environment, configDir: context.configDir, warn },
        signal: context.signal,
      });
    } catch (error) {
      context.signal.throwIfAborted();
      if (!(error instanceof TsbuildError)) throw error;
      if (error.code !== "INVALID_REFERENCE") warn(`warning: ${printable(error.message)}`);
      return undefined;
    }
  };
  return (name, platform) => {
    const key = `${name} ${formatPlatform(platform)}`;
    const found = known.get(key) ?? find(name, platform);
    known.set(key, found);
    return found;
  };
}

/** The store is not made for the question, and where it cannot be opened no image is here. */
function localImages(context: CommandContext): (name: string) => BaseImage | undefined {
  let store: Store | undefined;
  let tried = false;
  const open = (): Store | undefined => {
    if (!tried && existsSync(context.root)) {
      try {
        store = context.openStore();
      } catch {
        store = undefined;
      }
    }
    tried = true;
    return store;
  };
  return (name) => {
    const opened = open();
    return opened === undefined ? undefined : storedBase(opened, name);
  };
}

/** Where the Dockerfile of a `build` or `check` lies; undefined when it comes from elsewhere than a folder here. */
export function dockerfilePath(command: Command, context: CommandContext): string | undefined {
  const { file } = command.opts<{ readonly file?: string }>();
  const [given = "."] = command.args;
  const folder = resolve(context.cwd, given);
  if (file === "-" || given === "-" || !existsSync(folder)) return undefined;
  return findDockerfile(file, folder, context.cwd).path;
}

/** Tools look for the file from where the command was called. */
function pathFromHere(file: string | undefined, { cwd }: CommandContext): string | undefined {
  const path = file === undefined ? "" : relative(cwd, file);
  return path === "" || path.startsWith("../") ? undefined : path;
}
