/**
 * What RUN steps see of the network. `default` is the host's network: a build step trusts what it downloads anyway, and a
 * bridge of its own for each step would cost more than most steps. Source: LANGUAGE §6.5.
 */
import { readFileSync } from "node:fs";
import { errnoOf } from "../../errors.ts";
import type { NetworkMode } from "../driver.ts";

export interface BuildNetwork {
  readonly mode: NetworkMode;
  /** For `containerSpec`. */
  readonly kind: "none" | "host" | "attached";
  readonly hosts: string;
  readonly resolvConf: string;
}

export interface BuildNetworkRequest {
  readonly network: "default" | "none" | "host";
  readonly hostname: string;
  readonly extraHosts: readonly { readonly name: string; readonly address: string }[];
}

export function networkForBuild(request: BuildNetworkRequest): BuildNetwork {
  const isolated = request.network === "none";
  return {
    mode: isolated ? { kind: "none" } : { kind: "host" },
    kind: isolated ? "none" : "host",
    hosts: hostsFile(request.hostname, request.extraHosts),
    resolvConf: isolated ? withoutLoopback(hostResolvConf()) : hostResolvConf(),
  };
}

export function hostsFile(hostname: string, extraHosts: BuildNetworkRequest["extraHosts"]): string {
  const lines = [`127.0.0.1\tlocalhost ${hostname}`, "::1\tlocalhost ip6-localhost ip6-loopback"];
  for (const { name, address } of extraHosts) {
    // In the host's own network the host is this machine itself.
    lines.push(`${address === "host-gateway" ? "127.0.0.1" : address}\t${name.toLowerCase()}`);
  }
  return `${lines.join("\n")}\n`;
}

function hostResolvConf(): string {
  try {
    return readFileSync("/etc/resolv.conf", "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return "";
    throw error;
  }
}

const publicServers = ["8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844"];

/** A server on the host's loopback cannot be reached from another network namespace. */
export function withoutLoopback(text: string): string {
  const lines = text.split("\n").filter((line) => !/^\s*nameserver\s+(?:127\.|::1\b)/.test(line));
  if (!lines.some((line) => /^\s*nameserver\s/.test(line)))
    lines.unshift(...publicServers.map((server) => `nameserver ${server}`));
  return lines.join("\n");
}
