/** A git repository in a folder of its own, and servers of it on loopback: smart and dumb HTTP, and git's own protocol. */
import { execFileSync, spawn } from "node:child_process";
import { createReadStream, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { dirname, join, resolve } from "node:path";

export interface GitServer extends AsyncDisposable {
  readonly folder: string;
  /** `http://127.0.0.1:PORT`, or https; repositories lie below it, and below `/dumb` without any protocol but files. */
  readonly url: string;
  /** What was asked for, since it was last emptied. */
  readonly requests: string[];
  /** The value of `Authorization` that is wanted, if one is. */
  authorization: string | undefined;
  /** Runs git in the repository, or in the folder of an absolute path. */
  git(repository: string, ...args: readonly string[]): string;
  /** A commit on the current branch of `repository`, which is made when it is not there. Returns its ID. */
  commit(repository: string, files: Readonly<Record<string, string>>, seconds?: number): string;
  /** Makes a repository whose commits have names of SHA-256. */
  initSha256(repository: string): void;
  /** A commit by which `path` is the commit `id` of the repository at `url`. */
  submodule(repository: string, path: string, url: string, id: string): void;
}

/** `tls`: it speaks https. */
export async function gitServer(tls?: { readonly cert: string; readonly key: string }): Promise<GitServer> {
  const folder = mkdtempSync("/tmp/tsbuild-test-git-");
  const requests: string[] = [];
  const state: { authorization: string | undefined } = { authorization: undefined };
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    requests.push(`${request.method} ${request.url}`);
    if (state.authorization !== undefined && request.headers.authorization !== state.authorization) {
      response.writeHead(401, { "www-authenticate": 'Basic realm="git"' }).end();
      return;
    }
    const url = new URL(request.url ?? "/", "http://localhost");
    if (url.pathname.startsWith("/dumb/")) serveFile(join(folder, url.pathname.slice("/dumb".length)), response);
    else backend(folder, url, request, response);
  };
  const server = tls === undefined ? createServer(answer) : createTlsServer(tls, answer);
  await listening(server);
  const git = (repository: string, ...args: readonly string[]): string =>
    execFileSync("git", args, {
      cwd: resolve(folder, repository),
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        PATH: process.env["PATH"],
        HOME: folder,
        GIT_CONFIG_NOSYSTEM: "1",
        GIT_AUTHOR_NAME: "a",
        GIT_AUTHOR_EMAIL: "a@b",
        GIT_COMMITTER_NAME: "a",
        GIT_COMMITTER_EMAIL: "a@b",
        GIT_ALLOW_PROTOCOL: "file:http",
        ...times,
      },
    }).trim();
  let times: Record<string, string> = {};
  return {
    folder,
    // What `listen` on a port gives.
    url: `${tls === undefined ? "http" : "https"}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    get authorization() {
      return state.authorization;
    },
    set authorization(value) {
      state.authorization = value;
    },
    git,
    commit(repository, files, seconds = 1_600_000_000) {
      const root = join(folder, repository);
      times = { GIT_AUTHOR_DATE: `${seconds} +0000`, GIT_COMMITTER_DATE: `${seconds} +0000` };
      if (statSync(join(root, ".git"), { throwIfNoEntry: false }) === undefined) {
        mkdirSync(root, { recursive: true });
        git(repository, "init", "--quiet", "-b", "main");
      }
      for (const [name, content] of Object.entries(files)) {
        mkdirSync(dirname(join(root, name)), { recursive: true });
        writeFileSync(join(root, name), content);
      }
      git(repository, "add", "--all");
      git(repository, "commit", "--quiet", "--allow-empty", "-m", "m");
      git(repository, "update-server-info");
      return git(repository, "rev-parse", "HEAD");
    },
    initSha256(repository) {
      mkdirSync(join(folder, repository), { recursive: true });
      git(repository, "init", "--quiet", "-b", "main", "--object-format=sha256");
    },
    submodule(repository, path, url, id) {
      // Not by `git submodule add`, which would wait for a server of this very process.
      const text = `[submodule "${path}"]\n\tpath = ${path}\n\turl = ${url}\n`;
      writeFileSync(join(folder, repository, ".gitmodules"), text, { flag: "a" });
      git(repository, "add", ".gitmodules");
      git(repository, "update-index", "--add", "--cacheinfo", `160000,${id},${path}`);
      git(repository, "commit", "--quiet", "-m", "m");
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function listening(server: Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
}

function serveFile(path: string, response: ServerResponse): void {
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) response.writeHead(404).end();
  else createReadStream(path).pipe(response.writeHead(200));
}

/** Source: git-http-backend(1), a CGI program. */
function backend(folder: string, url: URL, request: IncomingMessage, response: ServerResponse): void {
  const child = spawn("git", ["http-backend"], {
    env: {
      PATH: process.env["PATH"],
      GIT_PROJECT_ROOT: folder,
      GIT_HTTP_EXPORT_ALL: "1",
      PATH_INFO: decodeURIComponent(url.pathname),
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method ?? "GET",
      CONTENT_TYPE: request.headers["content-type"] ?? "",
      HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
      GIT_PROTOCOL: String(request.headers["git-protocol"] ?? ""),
    },
    stdio: ["pipe", "pipe", "ignore"],
  });
  request.pipe(child.stdin);
  child.stdin.on("error", () => undefined);
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.on("close", () => {
    const output = Buffer.concat(chunks);
    const end = output.indexOf("\r\n\r\n");
    const headers = output
      .subarray(0, end)
      .toString()
      .split("\r\n")
      .map((line) => line.split(": ", 2) as [string, string]);
    const status = headers.find(([name]) => name === "Status")?.[1];
    response.writeHead(
      status === undefined ? 200 : Number.parseInt(status, 10),
      headers.filter(([n]) => n !== "Status").flat(),
    );
    response.end(output.subarray(end + 4));
  });
}
