/**
 * The Authorization header of one registry: learnt from its challenge, cached by scope until shortly before it expires.
 * Source: distribution, "Token Authentication Specification" and "OAuth2 Token Authentication".
 */
import type { Challenge } from "./challenge.ts";
import type { Credential } from "./credentials.ts";
import { isLoopback } from "./endpoint.ts";
import { answerUnreadable, printable, type RegistryAnswer } from "./errors.ts";
import {
  type Http,
  type HttpAnswer,
  isTransientStatus,
  readBody,
  resolveUrl,
  retryAfterMs,
  Transient,
} from "./http.ts";
import { RefusedRequest, saidIn } from "./said.ts";

/** `repository:library/debian:pull` */
export type Scope = string;

interface Token {
  readonly value: string;
  readonly goodUntil: number;
}

const defaultLifeSeconds = 60;
const tokenLimitBytes = 1 << 20;

export class Authorizer {
  readonly #http: Http;
  readonly #credential: Credential | undefined;
  readonly #insecure: boolean;
  #challenge: Challenge | undefined;
  readonly #tokens = new Map<string, Promise<Token>>();
  /** A newer identity token than the stored one, where the token service renews them with each use. */
  #refreshToken: string | undefined;

  constructor(http: Http, credential: Credential | undefined, insecure: boolean) {
    this.#http = http;
    this.#credential = credential;
    this.#insecure = insecure;
  }

  /** For errors: `without credentials`, `as bob (from …)`. */
  get description(): string {
    if (this.#credential === undefined) return "without credentials";
    const { username, from } = this.#credential;
    return username === "" ? `with a token from ${from}` : `as ${printable(username)} from ${from}`;
  }

  /** Undefined as long as the registry has not asked for anything. */
  async header(scopes: readonly Scope[], signal: AbortSignal): Promise<string | undefined> {
    if (this.#credential?.kind === "registryToken") return `Bearer ${this.#credential.token}`;
    switch (this.#challenge?.scheme) {
      case "basic":
        return this.#credential?.kind === "password" ? basic(this.#credential) : undefined;
      case "bearer":
        return `Bearer ${(await this.#token(this.#challenge, scopes, signal)).value}`;
      default:
        return undefined;
    }
  }

  /** Takes in what a 401 asks for. False when nothing can be answered that has not been tried. */
  learn(challenges: readonly Challenge[], scopes: readonly Scope[], sent: string | undefined): boolean {
    const bearer = challenges.find(({ scheme, parameters }) => scheme === "bearer" && parameters.has("realm"));
    const basicChallenge = challenges.find(({ scheme }) => scheme === "basic");
    const chosen = bearer ?? (this.#credential?.kind === "password" ? basicChallenge : undefined);
    if (chosen === undefined || this.#credential?.kind === "registryToken") return false;
    this.#challenge = chosen;
    if (sent === undefined) return true;
    if (chosen.scheme !== "bearer") return false;
    // The token may have been revoked, or the clocks differ: a fresh one is worth one try.
    this.#tokens.delete(keyOf(scopes));
    return true;
  }

  async #token(challenge: Challenge, scopes: readonly Scope[], signal: AbortSignal): Promise<Token> {
    const key = keyOf(scopes);
    const cached = this.#tokens.get(key);
    const token = await cached?.catch(() => undefined);
    if (token !== undefined && token.goodUntil > performance.now()) return token;
    // Several layers meet the same old token at once: only the first asks for a new one.
    const current = this.#tokens.get(key);
    if (current !== undefined && current !== cached) return current;
    const fresh = this.#http.retrying(signal, () => this.#fetch(challenge, scopes, signal));
    this.#tokens.set(key, fresh);
    return fresh;
  }

  async #fetch(challenge: Challenge, scopes: readonly Scope[], signal: AbortSignal): Promise<Token> {
    const realm = challenge.parameters.get("realm") ?? "";
    const url = resolveUrl(realm, "about:blank");
    if (url === undefined)
      throw answerUnreadable(
        "getting a token",
        realm.startsWith("http") ? realm : "https://invalid",
        `the realm ${JSON.stringify(printable(realm))} is no web address`,
      );
    const service = challenge.parameters.get("service");
    const credential = this.#credential;
    // A password over plain HTTP is everybody's; on loopback, or where it was asked for, that is the user's business.
    const mayTell = url.protocol === "https:" || isLoopback(url.host) || this.#insecure;
    const refreshToken = this.#refreshToken ?? (credential?.kind === "identityToken" ? credential.token : undefined);
    const answer =
      refreshToken !== undefined && mayTell
        ? await this.#exchange(url, refreshToken, service, scopes, signal)
        : await this.#get(url, mayTell ? credential : undefined, service, scopes, signal);
    return this.#read(answer, url.href);
  }

  #exchange(
    url: URL,
    refreshToken: string,
    service: string | undefined,
    scopes: readonly Scope[],
    signal: AbortSignal,
  ): Promise<HttpAnswer> {
    const form = new URLSearchParams({
      grant_type: "refresh_token",
      client_id: "tsbuild",
      refresh_token: refreshToken,
    });
    if (service !== undefined) form.set("service", service);
    if (scopes.length > 0) form.set("scope", scopes.join(" "));
    return this.#http.request({
      method: "POST",
      url: url.href,
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: form.toString(),
      signal,
      doing: "getting a token",
    });
  }

  #get(
    url: URL,
    credential: Credential | undefined,
    service: string | undefined,
    scopes: readonly Scope[],
    signal: AbortSignal,
  ): Promise<HttpAnswer> {
    const query = new URL(url);
    if (service !== undefined) query.searchParams.set("service", service);
    for (const scope of scopes) query.searchParams.append("scope", scope);
    const password = credential?.kind === "password" ? credential : undefined;
    if (password !== undefined) query.searchParams.set("account", password.username);
    return this.#http.request({
      method: "GET",
      url: query.href,
      ...(password !== undefined && { headers: { authorization: basic(password) } }),
      signal,
      doing: "getting a token",
    });
  }

  async #read(answer: HttpAnswer, url: string): Promise<Token> {
    const body = await readBody(answer, tokenLimitBytes, "getting a token");
    if (answer.status !== 200) {
      const refusal: RegistryAnswer = {
        url,
        status: answer.status,
        ...saidIn(body, answer.status),
        repository: "",
        credentials: this.description,
      };
      const error = new RefusedRequest("getting a token", refusal);
      if (isTransientStatus(answer.status))
        throw new Transient(error, retryAfterMs(answer.header("retry-after"), Date.now()));
      throw error;
    }
    let json: unknown;
    try {
      json = JSON.parse(body.toString("utf8"));
    } catch {
      throw answerUnreadable("getting a token", url, "not JSON");
    }
    const { token, access_token, expires_in, refresh_token } = (json ?? {}) as Record<string, unknown>;
    const value = typeof token === "string" && token !== "" ? token : access_token;
    // A token goes into a header: nothing but visible characters.
    if (typeof value !== "string" || !/^[\x21-\x7e]+$/.test(value))
      throw answerUnreadable("getting a token", url, "no token in it");
    if (typeof refresh_token === "string" && refresh_token !== "" && this.#credential?.kind === "identityToken")
      this.#refreshToken = refresh_token;
    const life = typeof expires_in === "number" && expires_in > 0 ? expires_in : defaultLifeSeconds;
    return { value, goodUntil: performance.now() + life * 1000 - Math.min(10_000, life * 200) };
  }
}

function basic({ username, password }: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

function keyOf(scopes: readonly Scope[]): string {
  return scopes.toSorted().join(" ");
}
