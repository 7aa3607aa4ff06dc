/** Asking a registry whether it takes somebody, before anything is written down. */
import type { RegistryAccess } from "./access.ts";
import { RegistryClient } from "./client.ts";
import type { Credential } from "./credentials.ts";
import { loginRefused } from "./errors.ts";
import { RefusedRequest } from "./said.ts";

/**
 * Returns when the registry of `domain` takes `credential`.
 * @throws {TsbuildError} `REGISTRY_DENIED` when it does not, `REGISTRY_FAILED` when it cannot be asked.
 */
export async function verifyLogin(
  domain: string,
  credential: Credential,
  access: RegistryAccess,
  signal: AbortSignal,
): Promise<void> {
  await using client = new RegistryClient(domain, credential, access);
  try {
    await client.ping(signal);
  } catch (error) {
    if (!(error instanceof RefusedRequest)) throw error;
    const { status } = error.answer;
    if (status === 401 || status === 403) throw loginRefused(error.answer);
    throw error;
  }
}

/** The domain that `login SERVER` means: a host, a URL, or nothing for docker.io. */
export function domainOfServer(server: string | undefined): string {
  if (server === undefined || server === "") return "docker.io";
  const host = server.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  return host === "index.docker.io" || host === "registry-1.docker.io" || host === "" ? "docker.io" : host;
}
