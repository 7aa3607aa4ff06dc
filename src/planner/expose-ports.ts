/** The ports of EXPOSE: `[[IP:]HOST:]PORT[-PORT][/proto]`. Source: Docker's go-connections `nat`. */
import { isIP } from "node:net";
import type { Where } from "../errors.ts";
import { portInvalid } from "./errors.ts";

export interface ExposedPort {
  /** `80/tcp`: one for each port of a range. */
  readonly keys: readonly string[];
  /** An address or host port was given, which means nothing here. */
  readonly hasHost: boolean;
}

/** @throws {TsbuildError} `INSTRUCTION_INVALID` */
export function parseExposedPort(text: string, where: Where): ExposedPort {
  const slash = text.indexOf("/");
  const protocol = slash < 0 ? "tcp" : text.slice(slash + 1).toLowerCase();
  const rest = slash < 0 ? text : text.slice(0, slash);
  if (protocol !== "tcp" && protocol !== "udp" && protocol !== "sctp")
    throw portInvalid(text, `unknown protocol ${JSON.stringify(protocol)}`, where);
  const { address, host, container } = splitHost(rest);
  if (address !== undefined && address !== "" && isIP(address) === 0)
    throw portInvalid(text, `${JSON.stringify(address)} is no address`, where);
  const ports = parseRange(container, text, where);
  if (host !== undefined && host !== "") {
    const hostPorts = parseRange(host, text, where);
    const single = ports.first === ports.last;
    if (!single && hostPorts.last - hostPorts.first !== ports.last - ports.first)
      throw portInvalid(text, "the ranges have different lengths", where);
  }
  const keys: string[] = [];
  for (let port = ports.first; port <= ports.last; port++) keys.push(`${port}/${protocol}`);
  return { keys, hasHost: address !== undefined || host !== undefined };
}

interface HostParts {
  readonly address?: string;
  readonly host?: string;
  readonly container: string;
}

function splitHost(text: string): HostParts {
  const last = text.lastIndexOf(":");
  if (last < 0) return { container: text };
  const container = text.slice(last + 1);
  const before = text.slice(0, last);
  const colon = before.lastIndexOf(":");
  if (colon < 0) return { host: before, container };
  return { address: before.slice(0, colon).replace(/^\[(.*)\]$/, "$1"), host: before.slice(colon + 1), container };
}

function parseRange(text: string, whole: string, where: Where): { readonly first: number; readonly last: number } {
  if (text === "") throw portInvalid(whole, "no port", where);
  const [low = "", high] = text.split("-", 2);
  const first = parsePort(low, whole, where);
  const last = high === undefined ? first : parsePort(high, whole, where);
  if (last < first) throw portInvalid(whole, "the range ends before it starts", where);
  return { first, last };
}

function parsePort(text: string, whole: string, where: Where): number {
  const port = /^\+?[0-9]+$/.test(text) ? Number(text) : Number.NaN;
  if (!(port <= 65535)) throw portInvalid(whole, "ports are numbers from 0 to 65535", where);
  return port;
}
