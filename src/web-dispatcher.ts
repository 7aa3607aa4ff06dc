/**
 * Connections over the web, as the environment wants them: through which proxy, and whose certificates are believed.
 * Proxies are chosen as Go's programs choose them, among which docker and BuildKit are.
 * Source: Go's documentation, golang.org/x/net/http/httpproxy, "Config".
 */
import { BlockList, isIP } from "node:net";
import type { SecureContext } from "node:tls";
import type { Dispatcher } from "undici";
import { errnoOf } from "./errors.ts";

export type WebEnvironment = Readonly<Record<string, string | undefined>>;

export interface WebConnection {
  readonly url: URL;
  readonly environment: WebEnvironment;
  readonly tls: TlsOptions;
}

/** Its owner destroys it. */
export async function webDispatcher({ url, environment, tls }: WebConnection): Promise<Dispatcher> {
  const { Agent, ProxyAgent } = await import("undici");
  const proxy = proxyFor(url, environment);
  if (proxy === undefined) return new Agent({ connect: { timeout: connectTimeoutMs, ...tls }, allowH2: false });
  return new ProxyAgent({ uri: proxy, connectTimeout: connectTimeoutMs, requestTls: tls, allowH2: false });
}

const connectTimeoutMs = 15_000;

// Proxies ------------------------------------------------------------------------------------------------------------

/** The URL of the proxy that stands before `url`, if one does. Never before this machine itself. */
export function proxyFor(url: URL, environment: WebEnvironment): string | undefined {
  const variable = (name: string): string => environment[name] || environment[name.toLowerCase()] || "";
  const proxy = variable(url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY") || variable("ALL_PROXY");
  if (proxy === "" || isExempt(url, variable("NO_PROXY"))) return undefined;
  return /^[a-z0-9]+:\/\//i.test(proxy) ? proxy : `http://${proxy}`;
}

function isExempt(url: URL, list: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, "").toLowerCase();
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  if (host === "localhost" || isInSubnet(host, "127.0.0.0/8") || host === "::1") return true;
  return list
    .toLowerCase()
    .split(",")
    .map((entry) => entry.trim())
    .some((entry) => entry !== "" && (entry === "*" || covers(entry, host, port)));
}

/** `entry`: an address, a subnet, `name` with all below it, `.name` or `*.name` with what is below it; then a port. */
function covers(entry: string, host: string, port: string): boolean {
  if (entry.includes("/")) return isInSubnet(host, entry);
  const [, bare = entry, wantedPort] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(entry) ?? [];
  if (wantedPort !== undefined && wantedPort !== port) return false;
  const name = bare.replace(/^\[|\]$/g, "");
  if (isIP(name) !== 0) return isIP(host) !== 0 && isInSubnet(host, `${name}/${isIP(name) === 4 ? 32 : 128}`);
  const suffix = name.replace(/^\*(?=\.)/, "");
  return suffix.startsWith(".") ? host.endsWith(suffix) : host === suffix || host.endsWith(`.${suffix}`);
}

function isInSubnet(host: string, subnet: string): boolean {
  const [network = "", prefix = ""] = subnet.split("/", 2);
  const families = { 0: undefined, 4: "ipv4", 6: "ipv6" } as const;
  const [family, hostFamily] = [network, host].map((address) => families[isIP(address) as 0 | 4 | 6]);
  if (family === undefined || hostFamily === undefined) return false;
  if (!/^\d+$/.test(prefix) || Number(prefix) > (family === "ipv4" ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(network, Number(prefix), family);
  return list.check(host, hostFamily);
}

// Certificates -------------------------------------------------------------------------------------------------------

export interface TlsOptions {
  readonly rejectUnauthorized: boolean;
  readonly secureContext?: SecureContext;
  readonly cert?: string;
  readonly key?: string;
}

export interface Trust {
  /** `system`: whom this machine believes, too. */
  readonly authorities: "node" | "system";
  /** Certificates of more. */
  readonly more?: readonly string[];
  readonly client?: { readonly cert: string; readonly key: string } | undefined;
  readonly unverified?: boolean;
}

/**
 * Node's own authorities (and NODE_EXTRA_CA_CERTS) cost nothing. The system's, which mind SSL_CERT_FILE and SSL_CERT_DIR,
 * take 0.2 s to read, so they come in only where they are needed, and once for all connections.
 */
export async function tlsOptions({ authorities, more = [], client, unverified }: Trust): Promise<TlsOptions> {
  const rejectUnauthorized = unverified !== true;
  if (authorities === "node" && more.length === 0) return { rejectUnauthorized, ...client };
  const { createSecureContext, getCACertificates } = await import("node:tls");
  const system = authorities === "system" ? getCACertificates("system") : [];
  const ca = [...new Set([...getCACertificates("default"), ...system, ...more])];
  return { rejectUnauthorized, secureContext: createSecureContext({ ca, ...client }) };
}

const unknownAuthorityCodes = new Set([
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
]);

/** The system's authorities may know it. */
export function isUnknownAuthority(error: unknown): boolean {
  return unknownAuthorityCodes.has(errnoOf(error) ?? "");
}
