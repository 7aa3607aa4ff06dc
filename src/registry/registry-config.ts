/**
 * What the machine's owner has said about registries: our own configuration, and docker's. The first file that names a
 * registry decides about it.
 */
import { readFileSync } from "node:fs";
import { BlockList, isIP } from "node:net";
import { join } from "node:path";
import { errnoOf } from "../errors.ts";
import { configUnreadable } from "./errors.ts";

export interface RegistrySettings {
  /** Any certificate, and plain HTTP. */
  readonly insecure: boolean;
  /** Never spoken to. The file that says so. */
  readonly blockedBy: string | undefined;
  /** Addresses to pull from first, in this order. */
  readonly mirrors: readonly string[];
}

export interface ConfigFiles {
  /** `{"registries": {"HOST": {"mirrors": ["https://m"], "insecure": true, "blocked": true}}}` */
  readonly own: readonly string[];
  /** Docker's `daemon.json`: `registry-mirrors` (of docker.io), `insecure-registries` (host, host:port, CIDR). */
  readonly docker: readonly string[];
}

export function configFiles(environment: Readonly<Record<string, string | undefined>>): ConfigFiles {
  const home = environment["XDG_CONFIG_HOME"] || (environment["HOME"] && join(environment["HOME"], ".config"));
  const user = home ? [join(home, "tsbuild/config.json")] : [];
  return { own: [...user, "/etc/tsbuild/config.json"], docker: ["/etc/docker/daemon.json"] };
}

/** @throws {TsbuildError} `INVALID_CONFIG` for a file that is there and cannot be read */
export function registrySettings(domain: string, { own, docker }: ConfigFiles): RegistrySettings {
  for (const file of own) {
    const registries = objectOf(readObject(file)["registries"]);
    const settings = registries[domain];
    if (settings === undefined) continue;
    const { insecure, blocked, mirrors } = objectOf(settings);
    return {
      insecure: insecure === true,
      blockedBy: blocked === true ? file : undefined,
      mirrors: addresses(mirrors, file),
    };
  }
  for (const file of docker) {
    const json = readObject(file);
    const insecure = texts(json["insecure-registries"]).some((entry) => matches(entry, domain));
    const mirrors = domain === "docker.io" ? addresses(json["registry-mirrors"], file) : [];
    if (insecure || mirrors.length > 0) return { insecure, blockedBy: undefined, mirrors };
  }
  return { insecure: false, blockedBy: undefined, mirrors: [] };
}

function matches(entry: string, domain: string): boolean {
  const [host = ""] = domain.split(/:\d+$/);
  if (!entry.includes("/")) return entry === domain || entry === host;
  const [network = "", prefix] = entry.split("/");
  const family = isIP(network);
  if (family === 0 || isIP(host) !== family || !/^\d+$/.test(prefix ?? "")) return false;
  const list = new BlockList();
  list.addSubnet(network, Number(prefix), family === 4 ? "ipv4" : "ipv6");
  return list.check(host, family === 4 ? "ipv4" : "ipv6");
}

function addresses(value: unknown, file: string): readonly string[] {
  return texts(value).map((text) => {
    const url = URL.parse(text);
    if (url === null || !/^https?:$/.test(url.protocol) || url.pathname !== "/")
      throw configUnreadable(file, `the mirror ${JSON.stringify(text)} is no address of a server`);
    return url.origin;
  });
}

function readObject(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return {};
    throw configUnreadable(file, errno ?? "unreadable", error);
  }
  try {
    return objectOf(JSON.parse(text));
  } catch (cause) {
    throw configUnreadable(file, "not JSON", cause);
  }
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];
}
