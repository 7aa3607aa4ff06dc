/** How registries are reached, as a value: what flags, environment and files say. */
import type { CredentialSources } from "./credentials.ts";
import { type ConfigFiles, configFiles, type RegistrySettings, registrySettings } from "./registry-config.ts";

/** What a command knows about how to reach registries. */
export interface RegistryAccess {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Folder of `config.json`. */
  readonly configDir: string;
  readonly authFile?: string | undefined;
  /** `--cert-dir`: this registry's folder of certificates. */
  readonly certificateFolder?: string | undefined;
  /** `--insecure`: https unverified, or http. */
  readonly insecure?: boolean;
  readonly warn: (text: string) => void;
  readonly retryDelayMs?: number;
  readonly timeoutMs?: number;
  /** Instead of the machine's own. */
  readonly configFiles?: ConfigFiles;
}

export function credentialSources(access: RegistryAccess): CredentialSources {
  return {
    authFile: access.authFile,
    environment: access.environment,
    configDir: access.configDir,
    warn: access.warn,
  };
}

/** @throws {TsbuildError} `INVALID_CONFIG` */
export function settingsOf(domain: string, access: RegistryAccess): RegistrySettings {
  return registrySettings(domain, access.configFiles ?? configFiles(access.environment));
}
