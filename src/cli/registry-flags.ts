/** The flags of all commands that talk to a registry, and what they and the environment make. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { type Platform, parsePlatform } from "../oci/platform.ts";
import type { RegistryAccess } from "../registry/access.ts";
import type { CommandContext } from "./command.ts";
import { invalidFlagValue } from "./usage-errors.ts";

export interface RegistryFlags {
  readonly insecure?: boolean;
  readonly tlsVerify?: string;
  readonly authfile?: string;
  readonly certDir?: string;
}

export function addRegistryFlags(command: Command): void {
  command
    .option("--insecure", "take any certificate, and plain HTTP")
    .option("--tls-verify [bool]", "the opposite of --insecure", "true")
    .option("--authfile <FILE>", "read credentials from this file only")
    .option("--cert-dir <DIR>", "the registry's certificates: *.crt, and *.cert with *.key");
}

export function registryAccess(flags: RegistryFlags, context: CommandContext): RegistryAccess {
  return {
    environment: context.environment,
    configDir: context.configDir,
    authFile: flags.authfile,
    certificateFolder: flags.certDir === undefined ? undefined : resolve(context.cwd, flags.certDir),
    insecure: flags.insecure === true || flags.tlsVerify === "false",
    warn: (text) => void context.stderr.write(`warning: ${text}\n`),
  };
}

/** `--platform`, else `DOCKER_DEFAULT_PLATFORM`. */
export function platformFlag(given: string | undefined, context: CommandContext): Platform | undefined {
  const text = given ?? (context.environment["DOCKER_DEFAULT_PLATFORM"] || undefined);
  return text === undefined ? undefined : parsePlatform(text);
}

/** `--jobs`: at least one. */
export function jobsFlag(given: string | undefined): number | undefined {
  if (given === undefined) return undefined;
  if (/^[1-9]\d{0,3}$/.test(given)) return Number(given);
  throw invalidFlagValue("--jobs", given, "not a number of at least 1");
}
