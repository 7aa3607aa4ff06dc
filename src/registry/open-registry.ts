/** From a domain to a client that knows who we are there. */
import { credentialSources, type RegistryAccess, settingsOf } from "./access.ts";
import { RegistryClient } from "./client.ts";
import { configuredHeaders, findCredential } from "./credentials.ts";

/** @throws {TsbuildError} when credentials cannot be read; the registry itself is not asked yet. */
export async function openRegistry(domain: string, path: string, access: RegistryAccess): Promise<RegistryClient> {
  const sources = credentialSources(access);
  const credential = await findCredential(domain, path, sources);
  return new RegistryClient(domain, credential, access, { headers: configuredHeaders(sources) });
}

/** The mirrors of a registry, for pulling. Credentials are the mirror's own, never those of the registry behind it. */
export async function* openMirrors(
  domain: string,
  path: string,
  access: RegistryAccess,
): AsyncGenerator<RegistryClient> {
  const { mirrors } = settingsOf(domain, access);
  const sources = credentialSources(access);
  for (const endpoint of mirrors) {
    const { host } = new URL(endpoint);
    const credential = await findCredential(host, path, sources);
    yield new RegistryClient(host, credential, access, { headers: configuredHeaders(sources), endpoint });
  }
}
