/**
 * Docker's default seccomp profile, and profiles of that shape from files. A rule of a profile counts when its
 * conditions on capabilities, architecture and kernel hold; what is left is the runtime spec's `linux.seccomp`.
 *
 * seccomp-default.json is moby's profiles/seccomp/default.json of 20.10.24 (Apache-2.0), as Debian ships it, untouched.
 * `later` is what releases since then changed and we follow.
 */
import { release } from "node:os";
import { TsbuildError } from "../../errors.ts";
import type { SeccompSpec } from "../../oci/runtime-spec.ts";
import profileJson from "./seccomp-default.json" with { type: "json" };

export interface SeccompConditions {
  /** Names with `CAP_`: the container's bounding set. */
  readonly capabilities: readonly string[];
  readonly arch: "x64" | "arm64";
  /** `6.1.0-28-amd64`. */
  readonly kernel: string;
}

interface Filter {
  readonly caps?: readonly string[];
  readonly arches?: readonly string[];
  readonly minKernel?: string;
}

interface ProfileRule {
  readonly name?: string;
  readonly names?: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly { index: number; value: number; valueTwo?: number; op: string }[] | null;
  readonly includes?: Filter;
  readonly excludes?: Filter;
}

export interface SeccompProfile {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures?: readonly string[] | null;
  readonly archMap?: readonly { readonly architecture: string; readonly subArchitectures: readonly string[] }[];
  readonly flags?: readonly string[];
  readonly syscalls: readonly ProfileRule[];
}

/** Go's names, which profiles use, and libseccomp's. */
const archNames = {
  x64: { go: "amd64", libseccomp: "SCMP_ARCH_X86_64" },
  arm64: { go: "arm64", libseccomp: "SCMP_ARCH_AARCH64" },
} as const;

const later = {
  /** io_uring: moby 25.0. socket: vsock since 23.0, AF_ALG since it was an escape; both by family below. */
  withdrawn: new Set(["io_uring_enter", "io_uring_register", "io_uring_setup", "socket"]),
  allowed: [
    ...["cachestat", "fchmodat2", "file_getattr", "file_setattr", "futex_requeue", "futex_wait", "futex_wake"],
    ...["getxattrat", "listmount", "listxattrat", "lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr"],
    ...["map_shadow_stack", "mseal", "pkey_alloc", "pkey_free", "pkey_mprotect", "removexattrat", "setxattrat"],
    ...["statmount"],
  ],
  /** AF_ALG is 38, AF_VSOCK 40. */
  sockets: [
    { index: 0, value: 38, op: "SCMP_CMP_LT" },
    { index: 0, value: 39, op: "SCMP_CMP_EQ" },
    { index: 0, value: 40, op: "SCMP_CMP_GT" },
  ],
} as const;

function amended(profile: SeccompProfile): SeccompProfile {
  const allow = (names: readonly string[], args: ProfileRule["args"] = []): ProfileRule => ({
    names,
    action: "SCMP_ACT_ALLOW",
    args,
  });
  return {
    ...profile,
    syscalls: [
      ...profile.syscalls.map((rule) => ({
        ...rule,
        names: (rule.names ?? []).filter((name) => !later.withdrawn.has(name)),
      })),
      allow(later.allowed),
      ...later.sockets.map((condition) => allow(["socket"], [condition])),
    ],
  };
}

const cache = new Map<string, SeccompSpec>();

/** The default profile for these capabilities. Equal conditions give the same object, so that it is compiled once. */
export function defaultSeccomp(conditions: SeccompConditions): SeccompSpec {
  const key = JSON.stringify(conditions);
  let spec = cache.get(key);
  if (spec === undefined) {
    spec = seccompFromProfile(amended(profileJson as SeccompProfile), conditions);
    cache.set(key, spec);
  }
  return spec;
}

export function thisKernel(): string {
  return release();
}

/** Source: moby, profiles/seccomp/seccomp_linux.go describes the format's meaning. */
export function seccompFromProfile(profile: SeccompProfile, conditions: SeccompConditions): SeccompSpec {
  const names = archNames[conditions.arch];
  const mapped = profile.archMap?.find((entry) => entry.architecture === names.libseccomp);
  const architectures =
    mapped === undefined
      ? (profile.architectures ?? [names.libseccomp])
      : [names.libseccomp, ...mapped.subArchitectures];
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    architectures,
    ...(profile.flags === undefined ? {} : { flags: profile.flags }),
    syscalls: profile.syscalls
      .filter((rule) => counts(rule, conditions, names.go))
      .map((rule) => ({
        names: rule.names ?? (rule.name === undefined ? [] : [rule.name]),
        action: rule.action,
        ...(rule.errnoRet === undefined ? {} : { errnoRet: rule.errnoRet }),
        ...(rule.args === undefined || rule.args === null || rule.args.length === 0 ? {} : { args: rule.args }),
      }))
      .filter((rule) => rule.names.length > 0),
  };
}

/** All conditions to include must hold; one to exclude is enough. */
function counts(rule: ProfileRule, conditions: SeccompConditions, arch: string): boolean {
  const { includes, excludes } = rule;
  const holds = (capability: string): boolean => conditions.capabilities.includes(capability);
  if (excludes?.arches?.includes(arch) === true || excludes?.caps?.some(holds) === true) return false;
  if (excludes?.minKernel !== undefined && atLeast(conditions.kernel, excludes.minKernel)) return false;
  if (includes?.arches !== undefined && includes.arches.length > 0 && !includes.arches.includes(arch)) return false;
  if (includes?.caps?.every(holds) === false) return false;
  return includes?.minKernel === undefined || atLeast(conditions.kernel, includes.minKernel);
}

function atLeast(kernel: string, wanted: string): boolean {
  const [major = 0, minor = 0] = kernel.split(/[.-]/).map(Number);
  const [wantedMajor = 0, wantedMinor = 0] = wanted.split(".").map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

/**
 * A profile from a file's text, for `--security-opt seccomp=FILE`.
 * @throws {TsbuildError} `INVALID_ARGUMENT` naming `from`.
 */
export function parseSeccompProfile(text: string, from: string): SeccompProfile {
  const invalid = (why: string): TsbuildError =>
    new TsbuildError({
      code: "INVALID_ARGUMENT",
      what: `not a seccomp profile: ${why}`,
      where: { kind: "path", path: from },
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : "no JSON");
  }
  if (!isProfile(value)) throw invalid("it needs a defaultAction and a list of syscalls with names and an action");
  return value;
}

function isProfile(value: unknown): value is SeccompProfile {
  if (typeof value !== "object" || value === null) return false;
  const { defaultAction, syscalls } = value as { defaultAction?: unknown; syscalls?: unknown };
  return typeof defaultAction === "string" && Array.isArray(syscalls) && syscalls.every(isRule);
}

function isRule(value: unknown): value is ProfileRule {
  if (typeof value !== "object" || value === null) return false;
  const rule = value as { names?: unknown; name?: unknown; action?: unknown; args?: unknown };
  const names = Array.isArray(rule.names) ? rule.names : [rule.name];
  const args = rule.args ?? [];
  return (
    names.every((name) => typeof name === "string") &&
    typeof rule.action === "string" &&
    Array.isArray(args) &&
    args.every(isCondition)
  );
}

function isCondition(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { index, value: compared, op } = value as { index?: unknown; value?: unknown; op?: unknown };
  const inRange = typeof index === "number" && Number.isInteger(index) && index >= 0 && index < 6;
  return inRange && typeof compared === "number" && typeof op === "string";
}
