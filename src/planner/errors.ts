/** What binding and planning can reject: one function each, so that the texts can be read side by side. */
import { TsbuildError, type Where } from "../errors.ts";
import { nearestWord } from "../nearest-word.ts";

const rejected = (what: string, where: Where | undefined, hint?: string): TsbuildError =>
  new TsbuildError({ code: "INSTRUCTION_INVALID", what, where, hint });

// Words ----------------------------------------------------------------------------------------------------------

export function variableRequired(name: string, message: string, orEmpty: boolean, where: Where): TsbuildError {
  const text = message !== "" ? message : `must be set${orEmpty ? " and not empty" : ""}`;
  return new TsbuildError({
    code: "EXPANSION_FAILED",
    what: `${name}: ${text}`,
    where,
    hint: `ARG ${name} above it and --build-arg ${name}=… give it a value`,
  });
}

export const invalidPattern = (pattern: string, sequence: string, where: Where): TsbuildError =>
  new TsbuildError({
    code: "EXPANSION_FAILED",
    what: `invalid escape ${sequence} in the pattern ${JSON.stringify(pattern)}`,
    where,
    hint: "in a pattern a backslash may stand before * ? \\ } and /",
  });

// Stages ---------------------------------------------------------------------------------------------------------

export function targetNotFound(target: string, stages: readonly string[]): TsbuildError {
  const near = nearestWord(target, stages);
  return new TsbuildError({
    code: "STAGE_NOT_FOUND",
    what: `target stage "${target}" could not be found`,
    where: { kind: "flag", flag: "--target" },
    hint:
      near !== undefined
        ? `did you mean ${near}?`
        : stages.length === 0
          ? "no stage has a name: name one with FROM … AS name"
          : `the stages are ${stages.join(", ")}`,
  });
}

export const noStage = (where: Where | undefined): TsbuildError =>
  rejected("no FROM: a Dockerfile needs at least one stage", where, "start with FROM scratch or FROM an image");

export const emptyImageName = (written: string, where: Where): TsbuildError =>
  rejected(`the base name is empty: ${written} has no value`, where, "give it a value with --build-arg or a default");

export const emptyPlatform = (where: Where): TsbuildError =>
  rejected("--platform is empty after expansion", where, "such as --platform=linux/amd64");

export function invalidBaseName(
  name: string,
  cause: TsbuildError,
  { stages, where, unset }: { stages: readonly string[]; where: Where; unset?: string },
): TsbuildError {
  const stage = stages.find((stageName) => stageName === name.toLowerCase());
  return new TsbuildError({
    code: "INVALID_REFERENCE",
    what: cause.message,
    where,
    cause,
    hint:
      stage !== undefined
        ? `FROM ${stage} names the stage: stage names are lower case here`
        : unset !== undefined
          ? `${unset} has no value: FROM sees the ARGs above the first FROM, with their defaults and --build-args`
          : cause.hint,
  });
}

/** Stage first, then image: both were tried, so both are said. */
export function originNotFound(
  name: string,
  stages: readonly string[],
  cause: TsbuildError,
  where: Where,
): TsbuildError {
  const near = nearestWord(name, stages);
  return new TsbuildError({
    code: cause.code === "INVALID_REFERENCE" ? "STAGE_NOT_FOUND" : cause.code,
    what: `no stage "${name}", and as an image: ${cause.message}`,
    where,
    cause,
    hint: near === undefined ? cause.hint : `did you mean the stage ${near}?`,
  });
}

export const stageIndexOutOfRange = (index: string, count: number, where: Where): TsbuildError =>
  new TsbuildError({
    code: "STAGE_NOT_FOUND",
    what: `stage ${index} does not exist`,
    where,
    hint: count === 1 ? "there is only stage 0" : `the stages are numbered from 0 to ${count - 1}`,
  });

export const noSuchStage = (name: string, near: string, where: Where): TsbuildError =>
  new TsbuildError({
    code: "STAGE_NOT_FOUND",
    what: `stage ${name} does not exist`,
    where,
    hint: `did you mean ${near}?`,
  });

export const stageBelow = (name: string, where: Where): TsbuildError =>
  rejected(`stage ${name} must be defined before it is used`, where, "move it above this stage");

export const circularStages = (names: readonly string[], where: Where): TsbuildError =>
  rejected(
    names.length === 1
      ? `circular dependency: stage ${names[0]} uses itself`
      : `circular dependency: ${names.join(" → ")} → ${names[0]}`,
    where,
  );

/** No such image, and nearly a stage's name: the stage may be meant. */
export function baseNotFound(name: string, stages: readonly string[], cause: TsbuildError, where: Where): TsbuildError {
  const near = nearestWord(name, stages);
  const error = baseFailed(cause, where);
  if (near === undefined) return error;
  return new TsbuildError({ ...error, what: error.message, cause, hint: `did you mean the stage ${near}?` });
}

export const baseFailed = (cause: TsbuildError, where: Where): TsbuildError =>
  new TsbuildError({ code: cause.code, what: cause.message, where: cause.where ?? where, hint: cause.hint, cause });

export const triggerInvalid = (trigger: string, message: string, where: Where): TsbuildError =>
  rejected(`ONBUILD trigger ${JSON.stringify(trigger)} of the base: ${message}`, where);

// Named contexts -------------------------------------------------------------------------------------------------

export function contextUnsupported(name: string, value: string): TsbuildError {
  const scheme = value.slice(0, value.indexOf(":"));
  const isTarget = scheme === "target";
  return new TsbuildError({
    code: "UNSUPPORTED",
    what: isTarget
      ? `build context ${name}: ${value} is for docker buildx bake, where one build can take from another`
      : `build context ${name}: unsupported source ${scheme}`,
    where: { kind: "flag", flag: "--build-context" },
    hint: isTarget
      ? "name a stage of this Dockerfile with COPY --from, or build that target first and give docker-image://its-tag"
      : "a directory, docker-image://, oci-layout://, a git URL, http:// and https:// are supported",
  });
}

export const namedContextNotFound = (name: string, path: string): TsbuildError =>
  new TsbuildError({
    code: "CONTEXT_NOT_FOUND",
    what: `build context ${name}: ${path} is not a directory`,
    where: { kind: "flag", flag: "--build-context" },
  });

// Instructions ---------------------------------------------------------------------------------------------------

export const emptyCommand = (where: Where): TsbuildError => rejected("RUN [] has no command", where);

export const emptyName = (instruction: string, where: Where): TsbuildError =>
  rejected(`${instruction}: a name is empty`, where);

export const emptyVolume = (where: Where): TsbuildError => rejected("VOLUME: a path is empty", where);

export const notEntitled = (option: string, entitlement: string, where: Where): TsbuildError =>
  rejected(`${option} needs the entitlement ${entitlement}`, where, `--allow ${entitlement}`);

export const mountInvalid = (message: string, where: Where, hint?: string): TsbuildError =>
  rejected(`--mount: ${message}`, where, hint);

export const portInvalid = (port: string, why: string, where: Where): TsbuildError =>
  rejected(`EXPOSE: invalid port ${JSON.stringify(port)}: ${why}`, where, "a port is PORT[-PORT][/tcp|udp|sctp]");

export const signalInvalid = (signal: string, where: Where): TsbuildError =>
  rejected(`STOPSIGNAL: unknown signal ${JSON.stringify(signal)}`, where, "a number or a name such as SIGTERM");

export const chmodInvalid = (text: string, where: Where): TsbuildError =>
  rejected(`--chmod: invalid mode ${JSON.stringify(text)}`, where, "octal up to 7777, or symbolic such as u=rwX,go=rX");

export const urlInCopy = (url: string, where: Where): TsbuildError =>
  rejected(`COPY takes no URL: ${url}`, where, "ADD does");

export const checksumMisplaced = (where: Where): TsbuildError =>
  rejected("--checksum is for ADD of one URL or one git repository", where);

export const checksumTwice = (flag: string, url: string, where: Where): TsbuildError =>
  rejected(`--checksum says ${flag}, the URL says ${url}`, where);

export const heredocName = (name: string, where: Where): TsbuildError =>
  rejected(`the name of a heredoc file holds a slash: ${name}`, where, "put the folder into the destination");

export const parentsNeedsName = (source: string, where: Where): TsbuildError =>
  rejected(`--parents: ${JSON.stringify(source)} names nothing to keep`, where);

export const epochInvalid = (value: string): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `invalid SOURCE_DATE_EPOCH: ${value}`,
    hint: "seconds since 1970, as date +%s prints them",
  });

export const epochStage = (why: string, where: Where): TsbuildError =>
  new TsbuildError({
    code: "INSTRUCTION_INVALID",
    what: `a stage that SOURCE_DATE_EPOCH names ${why}`,
    where,
    hint: "such as: FROM scratch AS source, and below it ADD https://…/file.tar.gz /",
  });

export const secretIsNoHeader = (id: string): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `the secret ${id} holds characters that no HTTP header may have`,
    where: { kind: "flag", flag: "--secret" },
  });
