/**
 * The three files that a container sees as /etc/hosts, /etc/hostname and /etc/resolv.conf. They lie in its folder and
 * are bound over the image's; a change is written in place, because a rename would cut the bind.
 */
import { readFileSync, writeFileSync } from "node:fs";

export interface HostsOptions {
  /** Undefined on the host's network and without any. */
  readonly address: string | undefined;
  readonly hostname: string;
  /** `name:address` (IPv6 without or in brackets); `host-gateway` as address is `gateway`. */
  readonly extraHosts: readonly string[];
  readonly gateway: string | undefined;
  /** The host's own file, which a container on its network sees too. */
  readonly hostFile: string | undefined;
}

export function hostsFile({ address, hostname, extraHosts, gateway, hostFile }: HostsOptions): string {
  const own = address === undefined ? [] : [`${address}\t${hostname}`];
  const extra = extraHosts.map((entry) => {
    const colon = entry.indexOf(":");
    return hostsLine(entry.slice(0, colon), entry.slice(colon + 1).replace(/^\[(.*)\]$/, "$1"), gateway);
  });
  const base = hostFile?.trimEnd() ?? localLines.join("\n");
  return `${[base, ...extra, ...own].join("\n")}\n`;
}

/** A RUN step's file, in which its own name is one of the loopback's, as with BuildKit. */
export function stepHostsFile(
  hostname: string,
  extraHosts: readonly { readonly name: string; readonly address: string }[],
  gateway: string | undefined,
): string {
  const extra = extraHosts.map(({ name, address }) => hostsLine(name, address, gateway));
  return `${[`127.0.0.1\tlocalhost ${hostname}`, localLines[1], ...extra].join("\n")}\n`;
}

/** Where there is no gateway, the host is this machine itself. */
function hostsLine(name: string, address: string, gateway = "127.0.0.1"): string {
  return `${address === "host-gateway" ? gateway : address}\t${name.toLowerCase()}`;
}

const localLines: readonly string[] = [
  "127.0.0.1\tlocalhost",
  "::1\tlocalhost ip6-localhost ip6-loopback",
  "fe00::\tip6-localnet",
  "ff00::\tip6-mcastprefix",
  "ff02::1\tip6-allnodes",
  "ff02::2\tip6-allrouters",
];

export interface ResolvOptions {
  /** The host's /etc/resolv.conf, or systemd-resolved's file behind it. */
  readonly hostFile: string;
  /** On the host's network its loopback servers can be reached. */
  readonly hostNetwork: boolean;
  /** Where the host has no server for us, public ones by IPv6 too: as BuildKit, and not as docker. */
  readonly publicIpv6?: boolean;
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly dnsOptions: readonly string[];
}

/** Docker's, for a host whose only servers are on its loopback. */
const publicServers: readonly string[] = ["8.8.8.8", "8.8.4.4"];
const publicIpv6Servers: readonly string[] = ["2001:4860:4860::8888", "2001:4860:4860::8844"];

export function resolvFile(options: ResolvOptions): string {
  const lines = options.hostFile.split("\n").map((line) => line.trim());
  const values = (keyword: string): readonly string[] =>
    lines.flatMap((line) => {
      const [word, ...rest] = line.split(/\s+/);
      return word === keyword ? [rest.join(" ")] : [];
    });
  const hostServers = values("nameserver").filter((server) => options.hostNetwork || !isLoopback(server));
  const standIns = options.publicIpv6 === true ? [...publicServers, ...publicIpv6Servers] : publicServers;
  const servers = options.dns.length > 0 ? options.dns : hostServers.length > 0 ? hostServers : standIns;
  const search =
    options.dnsSearch.length > 0 ? options.dnsSearch.join(" ") : (values("search").at(-1) ?? values("domain").at(-1));
  const resolverOptions = options.dnsOptions.length > 0 ? options.dnsOptions.join(" ") : values("options").at(-1);
  const text = servers.map((server) => `nameserver ${server}\n`);
  // `--dns-search .` means none.
  if (search !== undefined && search !== "" && search !== ".") text.push(`search ${search}\n`);
  if (resolverOptions !== undefined && resolverOptions !== "") text.push(`options ${resolverOptions}\n`);
  return text.join("");
}

/** The host's resolver file; behind systemd-resolved's stub, the file that names the real servers. */
export function hostResolvFile(hostNetwork: boolean): string {
  const text = readOrEmpty("/etc/resolv.conf");
  const servers = text.split("\n").filter((line) => line.startsWith("nameserver"));
  const onlyStub = servers.length > 0 && servers.every((line) => line.includes("127.0.0.53"));
  const behind = onlyStub && !hostNetwork ? readOrEmpty("/run/systemd/resolve/resolv.conf") : "";
  return behind === "" ? text : behind;
}

export function hostHostsFile(): string {
  return readOrEmpty("/etc/hosts");
}

function isLoopback(server: string): boolean {
  return server.startsWith("127.") || server === "::1";
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

export function writeInPlace(path: string, text: string): void {
  writeFileSync(path, text, { flag: "w", mode: 0o644 });
}
