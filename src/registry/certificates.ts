/**
 * Certificates that a user keeps for one registry: `HOST[:PORT]/` below a `certs.d`, with `*.crt` as authorities and
 * `*.cert` with `*.key` as the client's own. Source: docker's "Verify repository client with certificates".
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../errors.ts";
import { certificatesUnreadable } from "./errors.ts";

export interface RegistryCertificates {
  /** `HOST[:PORT]`: they are for nobody else. */
  readonly host: string;
  readonly authorities: readonly string[];
  readonly client: { readonly cert: string; readonly key: string } | undefined;
}

/** Folders in which a registry may have one of its own; the first that has it counts. */
export function certificateRoots(environment: Readonly<Record<string, string | undefined>>): readonly string[] {
  const home = environment["XDG_CONFIG_HOME"] || (environment["HOME"] && join(environment["HOME"], ".config"));
  const own = home ? [join(home, "containers/certs.d")] : [];
  return [...own, "/etc/containers/certs.d", "/etc/docker/certs.d"];
}

/**
 * `folder` is the registry's own (`--cert-dir`); without it the roots are looked through.
 * @throws {TsbuildError} `INVALID_CONFIG` for a certificate without its key, or a file that cannot be read
 */
export function findCertificates(
  host: string,
  folder: string | undefined,
  roots: readonly string[],
): RegistryCertificates | undefined {
  for (const candidate of folder === undefined ? roots.map((root) => join(root, host)) : [folder]) {
    const names = namesIn(candidate, folder !== undefined);
    if (names === undefined) continue;
    const read = (name: string): string => readText(join(candidate, name));
    const authorities = names.filter((name) => name.endsWith(".crt")).map(read);
    const cert = names.find((name) => name.endsWith(".cert"));
    if (cert === undefined) return { host, authorities, client: undefined };
    const key = cert.replace(/\.cert$/, ".key");
    if (!names.includes(key)) throw certificatesUnreadable(join(candidate, cert), `${key} is missing beside it`);
    return { host, authorities, client: { cert: read(cert), key: read(key) } };
  }
  return undefined;
}

function namesIn(folder: string, isNamed: boolean): readonly string[] | undefined {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    const errno = errnoOf(error);
    if (!isNamed && (errno === "ENOENT" || errno === "ENOTDIR")) return undefined;
    throw certificatesUnreadable(folder, errno ?? "unreadable", error);
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw certificatesUnreadable(file, errnoOf(error) ?? "unreadable", error);
  }
}
