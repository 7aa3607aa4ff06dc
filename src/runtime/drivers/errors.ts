/** What can go wrong between a spec and a running process, one function each. */
import { TsbuildError } from "../../errors.ts";

export const runtimeFailed = (what: string, hint?: string, cause?: unknown): TsbuildError =>
  new TsbuildError({ code: "RUNTIME_FAILED", what: `cannot start the container: ${what}`, hint, cause });

/** `said`: what it wrote, if anything. */
export const hookFailed = (name: string, path: string, why: string, said: string, cause?: unknown): TsbuildError =>
  new TsbuildError({
    code: "RUNTIME_FAILED",
    what: `cannot start the container: the hook ${name} ${path} ${why}${said === "" ? "" : `: ${oneLine(said)}`}`,
    where: { kind: "path", path },
    cause,
  });

function oneLine(text: string): string {
  return text.replace(/[\x00-\x1f\x7f]+/g, " ").trim();
}

export const bindSourceMissing = (source: string, destination: string): TsbuildError =>
  new TsbuildError({
    code: "RUNTIME_FAILED",
    what: `cannot mount ${source} at ${destination}: there is no such file or folder`,
    where: { kind: "path", path: source },
  });

export const mountNotAllowed = (destination: string): TsbuildError =>
  new TsbuildError({
    code: "RUNTIME_FAILED",
    what: `a mount may not cover ${destination}: the runtime itself writes there`,
    where: { kind: "path", path: destination },
  });

export const commandNotFound = (command: string, reason: string): TsbuildError =>
  new TsbuildError({ code: "COMMAND_NOT_FOUND", what: `${command}: ${reason}` });

export const commandNotExecutable = (command: string, reason: string, hint?: string): TsbuildError =>
  new TsbuildError({ code: "COMMAND_NOT_EXECUTABLE", what: `${command}: ${reason}`, hint });

export const launcherMissing = (arch: string): TsbuildError =>
  new TsbuildError({
    code: "RUNTIME_FAILED",
    what: `the launcher for ${arch} is not there`,
    hint: "make it: npm run build",
  });

export const architectureUnsupported = (arch: string): TsbuildError =>
  new TsbuildError({ code: "UNSUPPORTED", what: `the native driver runs on x64 and arm64, not on ${arch}` });

export const unknownCapability = (name: string): TsbuildError =>
  new TsbuildError({ code: "INVALID_ARGUMENT", what: `there is no capability ${name}` });

export const unknownRuntime = (name: string): TsbuildError =>
  new TsbuildError({
    code: "UNSUPPORTED",
    what: `there is no runtime ${name}`,
    hint: "use native, crun, runc, or the absolute path of an OCI runtime",
  });

export const namespaceUnsupported = (type: string): TsbuildError =>
  new TsbuildError({ code: "UNSUPPORTED", what: `the native driver does not make ${type} namespaces` });

export const runtimeNotInstalled = (name: string): TsbuildError =>
  new TsbuildError({
    code: "UNSUPPORTED",
    what: `the runtime ${name} is not installed`,
    hint: "leave out --runtime: the native one is built in",
  });

export const initUnsupported = (name: string): TsbuildError =>
  new TsbuildError({
    code: "UNSUPPORTED",
    what: `the runtime ${name} has no init process of ours`,
    hint: "leave out --init, or --runtime",
  });

export const apparmorUnsupported = (profile: string): TsbuildError =>
  new TsbuildError({
    code: "UNSUPPORTED",
    what: `the AppArmor profile ${profile} cannot be applied`,
    hint: "leave it out, or say unconfined",
  });

export const hostnameNeedsNamespace = (): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: "a hostname needs a UTS namespace: without it, it is the host's",
  });

export const sysctlNotNamespaced = (key: string, namespace: string | undefined): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what:
      namespace === undefined
        ? `the sysctl ${key} belongs to no namespace: it would change the host`
        : `the sysctl ${key} needs a ${namespace} namespace of the container's own`,
    where: { kind: "flag", flag: "--sysctl" },
  });
