/**
 * Every check: its name, what it is about, and where it is explained. The names, descriptions and links of the first
 * table are BuildKit's, so that its users and tools find them here. Source: docs.docker.com, "Build checks".
 */

export interface Rule {
  readonly name: RuleName;
  readonly description: string;
  /** BuildKit's page about it. */
  readonly url?: string;
  /** Runs only where `check=experimental=` names it. */
  readonly experimental?: true;
  /** BuildKit does not have it. A normal build leaves it out, unless `check=experimental=` names it. */
  readonly own?: true;
}

export type RuleName = BuildkitRule | OwnRule;

type BuildkitRule =
  | "ConsistentInstructionCasing"
  | "CopyIgnoredFile"
  | "DuplicateStageName"
  | "ExposeInvalidFormat"
  | "ExposeProtoCasing"
  | "FromAsCasing"
  | "FromPlatformFlagConstDisallowed"
  | "InvalidBaseImagePlatform"
  | "InvalidDefaultArgInFrom"
  | "InvalidDefinitionDescription"
  | "JSONArgsRecommended"
  | "LegacyKeyValueFormat"
  | "MaintainerDeprecated"
  | "MultipleInstructionsDisallowed"
  | "NoEmptyContinuation"
  | "RedundantTargetPlatform"
  | "ReservedStageName"
  | "SecretsUsedInArgOrEnv"
  | "StageNameCasing"
  | "UndefinedArgInFrom"
  | "UndefinedVar"
  | "WorkdirRelativePath";

type OwnRule =
  | "AptUpdateAlone"
  | "CopyBeforeInstall"
  | "DeletedInLaterLayer"
  | "LatestTagInFrom"
  | "PackageCacheInLayer"
  | "SecretValueInArgOrEnv";

interface RuleText {
  readonly description: string;
  /** Last part of the link. */
  readonly page: string;
  readonly experimental?: true;
}

const buildkitRules: Readonly<Record<BuildkitRule, RuleText>> = {
  ConsistentInstructionCasing: {
    description: "All commands within the Dockerfile should use the same casing (either upper or lower)",
    page: "consistent-instruction-casing",
  },
  CopyIgnoredFile: {
    description: "Attempting to Copy file that is excluded by .dockerignore",
    page: "copy-ignored-file",
  },
  DuplicateStageName: { description: "Stage names should be unique", page: "duplicate-stage-name" },
  ExposeInvalidFormat: {
    description:
      "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release",
    page: "expose-invalid-format",
  },
  ExposeProtoCasing: {
    description: "Protocol in EXPOSE instruction should be lowercase",
    page: "expose-proto-casing",
  },
  FromAsCasing: {
    description: "The 'as' keyword should match the case of the 'from' keyword",
    page: "from-as-casing",
  },
  FromPlatformFlagConstDisallowed: {
    description: "FROM --platform flag should not use a constant value",
    page: "from-platform-flag-const-disallowed",
  },
  InvalidBaseImagePlatform: {
    description: "Base image platform does not match expected target platform",
    page: "invalid-base-image-platform",
  },
  InvalidDefaultArgInFrom: {
    description: "Default value for global ARG results in an empty or invalid base image name",
    page: "invalid-default-arg-in-from",
  },
  InvalidDefinitionDescription: {
    description:
      "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.",
    page: "invalid-definition-description",
    experimental: true,
  },
  JSONArgsRecommended: {
    description: "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
    page: "json-args-recommended",
  },
  LegacyKeyValueFormat: {
    description: "Legacy key/value format with whitespace separator should not be used",
    page: "legacy-key-value-format",
  },
  MaintainerDeprecated: {
    description: "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
    page: "maintainer-deprecated",
  },
  MultipleInstructionsDisallowed: {
    description: "Multiple instructions of the same type should not be used in the same stage",
    page: "multiple-instructions-disallowed",
  },
  NoEmptyContinuation: {
    description: "Empty continuation lines will become errors in a future release",
    page: "no-empty-continuation",
  },
  RedundantTargetPlatform: {
    description: "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    page: "redundant-target-platform",
  },
  ReservedStageName: {
    description: "Reserved words should not be used as stage names",
    page: "reserved-stage-name",
  },
  SecretsUsedInArgOrEnv: {
    description: "Sensitive data should not be used in the ARG or ENV commands",
    page: "secrets-used-in-arg-or-env",
  },
  StageNameCasing: { description: "Stage names should be lowercase", page: "stage-name-casing" },
  UndefinedArgInFrom: { description: "FROM command must use declared ARGs", page: "undefined-arg-in-from" },
  UndefinedVar: { description: "Variables should be defined before their use", page: "undefined-var" },
  WorkdirRelativePath: {
    description:
      "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes",
    page: "workdir-relative-path",
  },
};

const ownRules: Readonly<Record<OwnRule, string>> = {
  AptUpdateAlone: "apt-get update in a RUN of its own leaves later installs with an old package list",
  CopyBeforeInstall: "COPY of the whole context above an installation makes it run again after every change",
  DeletedInLaterLayer: "Files that a later RUN deletes stay in the layer that made them",
  LatestTagInFrom: "An image without a tag, or with latest, is another one tomorrow",
  PackageCacheInLayer: "A package manager's lists and downloads stay in the layer",
  SecretValueInArgOrEnv: "A value that looks like a credential stays readable in the image or its history",
};

/** By name, sorted within each table. */
export const rules: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ...Object.entries(buildkitRules).map(([name, { page, ...text }]: [string, RuleText]): [string, Rule] => [
    name,
    // Keys of the table above.
    { name: name as RuleName, ...text, url: `https://docs.docker.com/go/dockerfile/rule/${page}/` },
  ]),
  ...Object.entries(ownRules).map(([name, description]): [string, Rule] => [
    name,
    { name: name as RuleName, description, own: true },
  ]),
]);

/** Where tsbuild's own page about a check lies, in the repository and in the package. */
export const pageOf = (name: string): string => `docs/checks/${name}.md`;
