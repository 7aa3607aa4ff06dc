/**
 * Credentials of a registry: found where docker, podman and their helpers keep them, written where docker would.
 * Nothing here ever prints a secret; a `Credential` says where it came from, so that errors can.
 */
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { errnoOf } from "../errors.ts";
import { credentialKeyOf } from "./endpoint.ts";
import { credentialsUnreadable, helperFailed } from "./errors.ts";

export type Credential = { readonly username: string /** For people: a file, a helper. */; readonly from: string } & (
  | { readonly kind: "password"; readonly password: string }
  /** An OAuth2 refresh token: exchanged for access tokens, never sent to the registry itself. */
  | { readonly kind: "identityToken"; readonly token: string }
  /** Sent as it is. */
  | { readonly kind: "registryToken"; readonly token: string }
);

export interface CredentialSources {
  /** `--authfile`: then nothing else is read. */
  readonly authFile: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Folder of `config.json`. */
  readonly configDir: string;
  readonly warn: (text: string) => void;
}

interface AuthEntry {
  readonly auth?: string;
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly registrytoken?: string;
}

interface AuthConfig {
  readonly auths: ReadonlyMap<string, AuthEntry>;
  readonly credsStore: string | undefined;
  readonly credHelpers: ReadonlyMap<string, string>;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * The first source that knows the registry wins; undefined = anonymous. `path` is the repository: containers' files may
 * have entries for a part of a registry.
 * @throws {TsbuildError} `INVALID_CONFIG` for a file that cannot be read, `REGISTRY_DENIED` for a failing helper.
 */
export async function findCredential(
  domain: string,
  path: string,
  sources: CredentialSources,
): Promise<Credential | undefined> {
  for (const { config, from } of configs(sources)) {
    const found = await credentialIn(config, from, domain, path, sources);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** `HttpHeaders` of the client configuration. */
export function configuredHeaders(sources: CredentialSources): Readonly<Record<string, string>> {
  const file = join(sources.configDir, "config.json");
  return readConfig(file, "docker")?.headers ?? {};
}

function* configs(sources: CredentialSources): Generator<{ config: AuthConfig; from: string }> {
  const { environment, configDir } = sources;
  const only = sources.authFile ?? (environment["REGISTRY_AUTH_FILE"] || undefined);
  if (only !== undefined) {
    const config = readConfig(only, "docker");
    if (config === undefined) throw credentialsUnreadable(only, "no such file");
    yield { config, from: only };
    return;
  }
  const inline = environment["DOCKER_AUTH_CONFIG"];
  if (inline !== undefined && inline !== "")
    yield { config: parseConfig(inline, "DOCKER_AUTH_CONFIG", "docker"), from: "DOCKER_AUTH_CONFIG" };
  const home = environment["HOME"];
  const runtimeDir = environment["XDG_RUNTIME_DIR"];
  const configHome = environment["XDG_CONFIG_HOME"] || (home && join(home, ".config"));
  const files: [string, "docker" | "dockercfg"][] = [[join(configDir, "config.json"), "docker"]];
  if (runtimeDir) files.push([join(runtimeDir, "containers/auth.json"), "docker"]);
  if (configHome) files.push([join(configHome, "containers/auth.json"), "docker"]);
  if (home) files.push([join(home, ".dockercfg"), "dockercfg"]);
  for (const [file, form] of files) {
    const config = readConfig(file, form);
    if (config !== undefined) yield { config, from: file };
  }
}

async function credentialIn(
  config: AuthConfig,
  from: string,
  domain: string,
  path: string,
  sources: CredentialSources,
): Promise<Credential | undefined> {
  const key = credentialKeyOf(domain);
  const helper = config.credHelpers.get(domain) ?? config.credHelpers.get(key) ?? config.credsStore;
  if (helper !== undefined) {
    const found = await askHelper(helper, key, sources);
    if (found !== undefined) return found;
  }
  const entry = entryFor(config.auths, domain, path);
  return entry === undefined ? undefined : credentialOf(entry, from);
}

/** The most specific key wins: `quay.io/team/app`, then `quay.io/team`, then `quay.io`. */
function entryFor(auths: AuthConfig["auths"], domain: string, path: string): AuthEntry | undefined {
  const byPlace = new Map<string, AuthEntry>();
  for (const [key, entry] of auths) if (!byPlace.has(placeOf(key))) byPlace.set(placeOf(key), entry);
  const parts = path.split("/");
  for (let length = parts.length; length > 0; length--) {
    const found = byPlace.get(`${domain}/${parts.slice(0, length).join("/")}`);
    if (found !== undefined) return found;
  }
  return byPlace.get(domain);
}

/** `https://host/v1/` and `host` are one place; docker.io has several old names. */
function placeOf(key: string): string {
  const place = key
    .replace(/^https?:\/\//, "")
    .replace(/\/v[12]\/?$/, "")
    .replace(/\/$/, "");
  return place === "index.docker.io" || place === "registry-1.docker.io" ? "docker.io" : place;
}

function credentialOf(entry: AuthEntry, from: string): Credential | undefined {
  let { username = "", password = "" } = entry;
  if (entry.auth !== undefined && entry.auth !== "") {
    const decoded = Buffer.from(entry.auth, "base64").toString("utf8");
    const colon = decoded.indexOf(":");
    if (colon < 0) throw credentialsUnreadable(from, "an auth entry has no colon");
    username = decoded.slice(0, colon);
    // Old clients padded it with NULs.
    password = decoded.slice(colon + 1).replace(/\0+$/, "");
  }
  if (entry.registrytoken) return { kind: "registryToken", username, token: entry.registrytoken, from };
  if (entry.identitytoken) return { kind: "identityToken", username, token: entry.identitytoken, from };
  return username === "" && password === "" ? undefined : { kind: "password", username, password, from };
}

// Helpers ---------------------------------------------------------------------------------------------------------

const notFoundText = "credentials not found in native keychain";

async function askHelper(name: string, key: string, sources: CredentialSources): Promise<Credential | undefined> {
  const program = `docker-credential-${name}`;
  const answer = await runHelper(program, "get", key, sources.environment);
  if (answer === undefined) {
    sources.warn(`the credential helper ${program} is not installed; going on without it`);
    return undefined;
  }
  if (answer.status !== 0) {
    if (answer.output.includes(notFoundText)) return undefined;
    throw helperFailed(program, "get credentials", answer.output);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(answer.output);
  } catch {
    throw helperFailed(program, "get credentials", "its answer is not JSON");
  }
  const { Username, Secret } = (parsed ?? {}) as { Username?: unknown; Secret?: unknown };
  if (typeof Username !== "string" || typeof Secret !== "string")
    throw helperFailed(program, "get credentials", "its answer has no Username and Secret");
  if (Username === "" && Secret === "") return undefined;
  return Username === "<token>"
    ? { kind: "identityToken", username: "", token: Secret, from: program }
    : { kind: "password", username: Username, password: Secret, from: program };
}

/** Undefined when there is no such program. */
function runHelper(
  program: string,
  action: "get" | "store" | "erase",
  input: string,
  environment: CredentialSources["environment"],
): Promise<{ status: number; output: string } | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; output: string } | undefined>();
  const child = spawn(program, [action], { env: { ...environment }, stdio: ["pipe", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  child.once("error", (error) => (errnoOf(error) === "ENOENT" ? resolve(undefined) : reject(error)));
  child.once("close", (status) => resolve({ status: status ?? 1, output: output.trim() }));
  // A helper that ends without reading its input is judged by its status.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  return promise;
}

// Writing ---------------------------------------------------------------------------------------------------------

export type NewCredential =
  | { readonly kind: "password"; readonly username: string; readonly password: string }
  | { readonly kind: "identityToken"; readonly username: string; readonly token: string };

/** Where it went: a file (unencrypted), or a helper. A second call replaces the first. */
export async function storeCredential(
  domain: string,
  credential: NewCredential,
  sources: CredentialSources,
): Promise<{ readonly kind: "file"; readonly file: string } | { readonly kind: "helper"; readonly program: string }> {
  const file = targetFile(sources);
  const key = credentialKeyOf(domain);
  const config = readConfig(file, "docker");
  const helper = config?.credHelpers.get(domain) ?? config?.credHelpers.get(key) ?? config?.credsStore;
  if (helper !== undefined) {
    const program = `docker-credential-${helper}`;
    const secret =
      credential.kind === "password"
        ? { ServerURL: key, Username: credential.username, Secret: credential.password }
        : { ServerURL: key, Username: "<token>", Secret: credential.token };
    const answer = await runHelper(program, "store", JSON.stringify(secret), sources.environment);
    if (answer === undefined) throw helperFailed(program, "store credentials", "it is not installed");
    if (answer.status !== 0) throw helperFailed(program, "store credentials", answer.output);
    changeAuths(file, (auths) => ({ ...auths, [key]: {} }));
    return { kind: "helper", program };
  }
  const password = credential.kind === "password" ? credential.password : "";
  const auth = Buffer.from(`${credential.username}:${password}`).toString("base64");
  const entry = credential.kind === "password" ? { auth } : { auth, identitytoken: credential.token };
  changeAuths(file, (auths) => ({ ...auths, [key]: entry }));
  return { kind: "file", file };
}

/** False if there was nothing to erase. */
export async function eraseCredential(domain: string, sources: CredentialSources): Promise<boolean> {
  const file = targetFile(sources);
  const config = readConfig(file, "docker");
  if (config === undefined) return false;
  const key = credentialKeyOf(domain);
  const keys = [...config.auths.keys()].filter((each) => placeOf(each) === domain);
  const helper = config.credHelpers.get(domain) ?? config.credHelpers.get(key) ?? config.credsStore;
  let erased = keys.length > 0;
  if (helper !== undefined) {
    const program = `docker-credential-${helper}`;
    const had = await askHelper(helper, key, sources);
    if (had !== undefined) {
      const answer = await runHelper(program, "erase", key, sources.environment);
      if (answer === undefined || answer.status !== 0)
        throw helperFailed(program, "erase credentials", answer?.output ?? "it is not installed");
      erased = true;
    }
  }
  if (keys.length > 0)
    changeAuths(file, (auths) => Object.fromEntries(Object.entries(auths).filter(([each]) => !keys.includes(each))));
  return erased;
}

function targetFile({ authFile, environment, configDir }: CredentialSources): string {
  return authFile ?? (environment["REGISTRY_AUTH_FILE"] || join(configDir, "config.json"));
}

/** Replaces the file in one step, so that another program never reads half of it. Keys we do not know stay. */
function changeAuths(file: string, change: (auths: Record<string, unknown>) => Record<string, unknown>): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  let target = file;
  let json: Record<string, unknown> = {};
  try {
    target = realpathSync(file); // a symlink stays one
    const text = readFileSync(target, "utf8");
    json = text.trim() === "" ? {} : jsonObject(text, file);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
  const auths = change(isObject(json["auths"]) ? json["auths"] : {});
  const staged = `${target}.${process.pid}.tmp`;
  try {
    writeFileSync(staged, `${JSON.stringify({ ...json, auths }, undefined, "\t")}\n`, { mode: 0o600, flush: true });
    chmodSync(staged, 0o600);
    renameSync(staged, target);
  } catch (error) {
    rmSync(staged, { force: true });
    throw error;
  }
}

// Reading ---------------------------------------------------------------------------------------------------------

function readConfig(file: string, form: "docker" | "dockercfg"): AuthConfig | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return undefined;
    throw credentialsUnreadable(file, errno ?? "unreadable", error);
  }
  return parseConfig(text, file, form);
}

function parseConfig(text: string, from: string, form: "docker" | "dockercfg"): AuthConfig {
  const json = text.trim() === "" ? {} : jsonObject(text, from);
  const auths = form === "dockercfg" ? json : isObject(json["auths"]) ? json["auths"] : {};
  const helpers = isObject(json["credHelpers"]) ? json["credHelpers"] : {};
  const headers = isObject(json["HttpHeaders"]) ? json["HttpHeaders"] : {};
  const store = json["credsStore"];
  return {
    auths: new Map(Object.entries(auths).flatMap(([key, entry]) => (isObject(entry) ? [[key, authEntry(entry)]] : []))),
    credsStore: typeof store === "string" && store !== "" ? store : undefined,
    credHelpers: new Map(strings(helpers)),
    headers: Object.fromEntries(strings(headers)),
  };
}

function authEntry(entry: Record<string, unknown>): AuthEntry {
  return Object.fromEntries(strings(entry));
}

function strings(object: Record<string, unknown>): [string, string][] {
  return Object.entries(object).filter((pair): pair is [string, string] => typeof pair[1] === "string");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function jsonObject(text: string, from: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw credentialsUnreadable(from, "not JSON", cause);
  }
  if (isObject(json)) return json;
  throw credentialsUnreadable(from, "not a JSON object");
}
