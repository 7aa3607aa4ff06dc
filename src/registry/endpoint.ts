/** Where the registry of a domain is. Source: distribution-spec, "Pulling manifests"; docker's rule for loopback. */
import { isIPv4 } from "node:net";

/** 127.0.0.0/8, ::1 and localhost: these may speak plain HTTP without being told to. `host` may have a port. */
export function isLoopback(host: string): boolean {
  const name = host
    .replace(/:\d+$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .toLowerCase();
  return (
    name === "localhost" || name.endsWith(".localhost") || name === "::1" || (isIPv4(name) && name.startsWith("127."))
  );
}

/**
 * Base URLs to try, best first. An insecure registry is tried over https, unverified, then over http; one on loopback
 * the other way round: there is nobody in between.
 */
export function endpointsOf(domain: string, insecure: boolean): readonly string[] {
  if (domain === "docker.io") return ["https://registry-1.docker.io"];
  // As an origin: a host in lower case, without the port that the scheme has anyway.
  const [secure, plain] = [`https://${domain}`, `http://${domain}`].map((url) => new URL(url).origin) as [
    string,
    string,
  ];
  if (isLoopback(domain)) return [plain, secure];
  return insecure ? [secure, plain] : [secure];
}

/** The key of a domain in credential files. */
export function credentialKeyOf(domain: string): string {
  return domain === "docker.io" ? "https://index.docker.io/v1/" : domain;
}
