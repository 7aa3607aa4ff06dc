/**
 * The installed `git`, in a world of its own: no configuration of the machine or of its users, no hooks, no prompts, no
 * helpers, and only the protocols that a repository may be fetched by. Source: git(1), "Environment Variables".
 */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { errnoOf, type Where } from "../errors.ts";
import type { SecretSource } from "./build-options.ts";
import { gitFailed, gitMissing } from "./git-errors.ts";
import { isSshUrl, shownGitUrl } from "./git-url.ts";
import { headerSecret } from "./header-secret.ts";

export interface GitSettings {
  /** The caller's variables; of them git sees where programs lie, proxies, and certificates. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** `GIT_AUTH_TOKEN`, `GIT_AUTH_HEADER`, and the same with `.HOST`. */
  readonly secrets: ReadonlyMap<string, SecretSource>;
  /** Of the agent of `--ssh default`; asked when a repository is fetched over ssh. */
  readonly sshSocket: () => Promise<string | undefined>;
  /** Host keys that were seen are kept here. */
  readonly knownHostsFile: string;
  /** For what git may read of us: absolute, must not exist. Removed by whoever owns the folder. */
  readonly configFile: string;
}

/** Where commits come from. */
export interface GitRemote {
  readonly url: string;
  /** A socket of it: for what is fetched over ssh, and for the submodules of that. */
  readonly sshAgent: string | undefined;
}

export interface GitRun {
  /** `remote`: what repositories may be fetched by; `file`: from a clone on this machine. */
  readonly protocols: "remote" | "file" | "none";
  readonly sshAgent?: string | undefined;
  readonly variables?: Readonly<Record<string, string>>;
  readonly folder?: string;
  readonly signal: AbortSignal;
  readonly where: Where | undefined;
}

export interface GitResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const passedOn = [
  "PATH",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
  "ALL_PROXY",
  "http_proxy",
  "https_proxy",
  "no_proxy",
  "all_proxy",
  "GIT_SSL_CAINFO",
  "GIT_SSL_CAPATH",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
];

const certificateVariables = { GIT_SSL_CAINFO: "SSL_CERT_FILE", GIT_SSL_CAPATH: "SSL_CERT_DIR" };

const protocols = { remote: "git:http:https:ssh", file: "file", none: "" };

export class GitProgram {
  readonly #settings: GitSettings;
  readonly #remotes = new Set<string>();

  constructor(settings: GitSettings) {
    this.#settings = settings;
  }

  /**
   * A repository that the build names: with an agent, and with the secrets that are for no host. Those are not for its
   * submodules, whose places its owner chooses.
   */
  async open(url: string): Promise<GitRemote> {
    const sshAgent = isSshUrl(url) ? await this.#settings.sshSocket() : undefined;
    if (!this.#remotes.has(url)) {
      this.#remotes.add(url);
      // A file and not variables, which every process of a fetch would hand to its children.
      const text = [fixedConfig, ...authorization([...this.#remotes], this.#settings.secrets)].join("\n");
      writeFileSync(this.#settings.configFile, `${text}\n`, { mode: 0o600 });
    }
    return { url, sshAgent };
  }

  /** What it prints. @throws {TsbuildError} `SOURCE_NOT_FOUND` with what git says, when it fails */
  async must(url: string, args: readonly string[], run: GitRun): Promise<string> {
    const { code, stdout, stderr } = await this.run(args, run);
    if (code !== 0) throw gitFailed(shownGitUrl({ remote: url }), stderr, run.where);
    return stdout;
  }

  /** The result, whatever git's exit status. @throws {TsbuildError} `SOURCE_NOT_FOUND` when there is no git */
  run(args: readonly string[], run: GitRun): Promise<GitResult> {
    const { protocols: allowed, sshAgent, variables, folder, signal, where } = run;
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<GitResult>();
    const child = withUmask(0o022, () =>
      spawn("git", args, {
        cwd: folder ?? "/",
        env: {
          ...this.#environment(),
          GIT_ALLOW_PROTOCOL: protocols[allowed],
          ...(sshAgent !== undefined && { SSH_AUTH_SOCK: sshAgent }),
          ...variables,
        },
        stdio: ["ignore", "pipe", "pipe"],
        // A session of its own: no terminal to ask at, and a group that ends as one.
        detached: true,
      }),
    );
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
    const abort = (): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch (error) {
        if (errnoOf(error) !== "ESRCH") throw error;
      }
    };
    signal.addEventListener("abort", abort, { once: true });
    child.on("error", (error) => {
      signal.removeEventListener("abort", abort);
      reject(errnoOf(error) === "ENOENT" ? gitMissing(where, error) : error);
    });
    child.on("close", (code) => {
      signal.removeEventListener("abort", abort);
      if (signal.aborted) reject(signal.reason);
      else resolve({ code: code ?? 128, stdout: textOf(out), stderr: textOf(err) });
    });
    return promise;
  }

  #environment(): Record<string, string> {
    const { environment, knownHostsFile, configFile } = this.#settings;
    const kept: Record<string, string> = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };
    for (const name of passedOn) {
      const value = environment[name];
      if (value !== undefined && value !== "") kept[name] = value;
    }
    // Curl as a library does not know OpenSSL's variables.
    for (const [ours, others] of Object.entries(certificateVariables))
      if (kept[ours] === undefined && kept[others] !== undefined) kept[ours] = kept[others];
    return {
      ...kept,
      HOME: "/dev/null",
      LC_ALL: "C",
      GIT_ATTR_NOSYSTEM: "1",
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_CONFIG_GLOBAL: configFile,
      GIT_TERMINAL_PROMPT: "0",
      GIT_SSH_COMMAND: sshCommand(knownHostsFile, environment["HOME"]),
    };
  }
}

/** The agent's keys only. A host is believed the first time and has to keep its key from then on. */
function sshCommand(knownHosts: string, home: string | undefined): string {
  const files = [knownHosts, ...(home === undefined ? [] : [`${home}/.ssh/known_hosts`])];
  const options = [
    "BatchMode=yes",
    "IdentityFile=none",
    "StrictHostKeyChecking=accept-new",
    `UserKnownHostsFile=${files.map((file) => `"${file}"`).join(" ")}`,
  ];
  return ["ssh", "-F", "/dev/null", ...options.flatMap((option) => ["-o", quoted(option)])].join(" ");
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

const fixedConfig = `[init]
defaultBranch = master
templateDir = ""
[core]
hooksPath = /dev/null
fsmonitor = false
[gc]
auto = 0
[maintenance]
auto = false
[credential]
helper = ""
[advice]
detachedHead = false`;

/**
 * A secret of a host is for all that is fetched from there, one without for the repository itself, and on github.com for
 * every one: as in BuildKit. Those of a host go before those of none, and the headers before the tokens.
 * Source: Docker docs, "Build secrets", "Git authentication for remote contexts".
 */
function authorization(remotes: readonly string[], secrets: GitSettings["secrets"]): readonly string[] {
  const headers = new Map<string, string>();
  for (const id of secrets.keys()) {
    const host = /^GIT_AUTH_(?:TOKEN|HEADER)\.(.+)$/.exec(id)?.[1];
    if (host === undefined || !/^[a-zA-Z0-9.:[\]-]+$/.test(host)) continue;
    const header = headerOf(`.${host}`, secrets);
    if (header !== undefined) for (const scheme of ["http", "https"]) headers.set(`${scheme}://${host}/`, header);
  }
  const header = headerOf("", secrets);
  if (header !== undefined)
    for (const remote of remotes) {
      const url = /^https?:/i.test(remote) ? new URL(remote) : undefined;
      if (url === undefined || headers.has(`${url.protocol}//${url.host}/`)) continue;
      const isGithub = /^(?:www\.)?github\.com$/.test(url.host) && url.protocol === "https:";
      headers.set(`${url.protocol}//${url.host}${isGithub ? "/" : url.pathname}`, header);
    }
  return [...headers].map(([scope, header]) => `[http "${configText(scope)}"]\nextraHeader = "${configText(header)}"`);
}

function configText(text: string): string {
  return text.replace(/[\\"]/g, "\\$&");
}

function headerOf(suffix: string, secrets: GitSettings["secrets"]): string | undefined {
  const header = headerSecret(`GIT_AUTH_HEADER${suffix}`, secrets);
  if (header !== undefined) return `Authorization: ${header}`;
  const token = headerSecret(`GIT_AUTH_TOKEN${suffix}`, secrets);
  if (token === undefined) return undefined;
  return `Authorization: basic ${Buffer.from(`x-access-token:${token}`).toString("base64")}`;
}

/** The mask is the process's, and spawning takes it over at once: nothing of ours runs in between. */
function withUmask<T>(mask: number, action: () => T): T {
  const before = process.umask(mask);
  try {
    return action();
  } finally {
    process.umask(before);
  }
}

function textOf(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString("utf8");
}
