/**
 * Repositories that were made to run something on the machine that fetches them, or to reach its files. Each test has a
 * canary, and says which error it wants or what has to come out: that nothing happened is not enough.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect } from "vitest";
import { GitRepositories } from "../../src/planner/git-repositories.ts";
import { parseGitUrl } from "../../src/planner/git-url.ts";
import { type GitServer, gitServer } from "../support/git-server.ts";
import { lacks, needs } from "../support/needs.ts";
import { type TemporaryStore, temporaryStore } from "../support/temporary-store.ts";

const it = needs("git");
const request = { where: undefined, signal: new AbortController().signal };

describe.skipIf(lacks("git"))("a hostile repository", () => {
  let server: GitServer;
  let own: TemporaryStore;
  let canary: string;
  let heard: string;
  let lib: string;
  let count = 0;

  beforeAll(async () => {
    server = await gitServer();
    own = temporaryStore();
    canary = join(own.folder, "canary");
    heard = join(own.folder, "heard");
    mkdirSync(canary);
    writeFileSync(join(canary, "secret"), "of the host");
    lib = server.commit("lib.git", { l: "lib" });
  });
  afterAll(async () => {
    own[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });
  let repository: string;
  beforeEach(() => {
    repository = `evil${count++}.git`;
    server.commit(repository, { f: "f" });
  });

  const folder = (): string => {
    const path = join(own.folder, `place${count++}`);
    mkdirSync(path);
    return path;
  };

  async function checkOut(rest = "", environment: Readonly<Record<string, string | undefined>> = process.env) {
    const source = parseGitUrl(`${server.url}/${repository}${rest}`, undefined);
    const git = new GitRepositories(own.store, folder(), {
      environment,
      secrets: new Map(),
      sshSocket: async () => undefined,
    });
    const out = join(folder(), "out");
    try {
      await git.checkOut(source, await git.resolve(source, request), out, request);
      return { out, error: undefined, folder: () => git.folderOf(source, out, request) };
    } catch (error) {
      return { out, error: error as Error, folder: () => out };
    } finally {
      expect(existsSync(heard), "the command ran").toBe(false);
      expect(readdirSync(canary)).toEqual(["secret"]);
      expect(readFileSync(join(canary, "secret"), "utf8")).toBe("of the host");
    }
  }
  const files = (out: string): readonly string[] => readdirSync(out, { recursive: true, encoding: "utf8" }).sort();

  /** A commit whose `.gitmodules` is this text, with a link to a commit at each path. */
  function gitmodules(text: string, ...paths: readonly string[]): void {
    writeFileSync(join(server.folder, repository, ".gitmodules"), text);
    server.git(repository, "add", ".gitmodules");
    for (const path of paths) server.git(repository, "update-index", "--add", "--cacheinfo", `160000,${lib},${path}`);
    server.git(repository, "commit", "--quiet", "-m", "m");
  }
  /** A commit whose tree has these entries, as no git would make it. */
  function rawTree(...entries: readonly string[]): void {
    const git = (args: readonly string[], input: string): string =>
      execFileSync("git", args, { cwd: join(server.folder, repository), input, encoding: "utf8" }).trim();
    const tree = git(["mktree"], `${entries.join("\n")}\n`);
    const commit = server.git(repository, "commit-tree", "-m", "m", tree);
    server.git(repository, "update-ref", "refs/heads/main", commit);
  }
  const blob = (text: string): string =>
    execFileSync("git", ["hash-object", "-w", "--stdin"], {
      cwd: join(server.folder, repository),
      input: text,
      encoding: "utf8",
    }).trim();
  const treeOf = (...entries: readonly string[]): string =>
    execFileSync("git", ["mktree"], {
      cwd: join(server.folder, repository),
      input: `${entries.join("\n")}\n`,
      encoding: "utf8",
    }).trim();

  describe("submodules", () => {
    it.for([
      { name: "by a command (ext::)", url: "ext::sh -c touch% HEARD", says: /transport 'ext' not allowed/ },
      { name: "of a file URL (CVE-2022-39253)", url: "file://CANARY", says: /transport 'file' not allowed/ },
      { name: "of a folder", url: "CANARY", says: /transport 'file' not allowed/ },
      { name: "of an option (CVE-2018-17456)", url: "-u./touch", says: /No url found|strange|not allowed/ },
      { name: "with an upload-pack of its own", url: "--upload-pack=touch HEARD", says: /No url found|not allowed/ },
      {
        name: "by a host that is an option (CVE-2017-1000117)",
        url: "ssh://-oProxyCommand=touch%20HEARD/x",
        says: /strange hostname|No url found/,
      },
      { name: "by fd::", url: "fd::17", says: /transport 'fd' not allowed/ },
      {
        name: "relative, up to a folder",
        url: "../../../../../../../..CANARY",
        says: /not allowed|cannot strip|cannot fetch/,
      },
    ])("$name", async ({ url, says }) => {
      const real = url.replace("HEARD", heard).replace("CANARY", canary);
      gitmodules(`[submodule "s"]\n\tpath = s\n\turl = "${real}"\n`, "s");
      const { error } = await checkOut();
      expect(error).toMatchObject({ code: "SOURCE_NOT_FOUND", message: expect.stringMatching(says) });
    });

    it("that is updated by a command (CVE-2019-19604)", async () => {
      gitmodules(`[submodule "s"]\n\tpath = s\n\turl = ../lib.git\n\tupdate = !touch ${heard}\n`, "s");
      expect((await checkOut()).error?.message).toMatch(/invalid value for '?submodule\.s\.update/);
    });

    it("whose name leads out of .git (CVE-2018-11235)", async () => {
      gitmodules(`[submodule "../../s"]\n\tpath = s\n\turl = ../lib.git\n`, "s");
      for (const rest of ["", "?keep-git-dir=1"])
        expect((await checkOut(rest)).error?.message).toMatch(/No url found for submodule path 's'/);
    });

    it("whose path ends in a carriage return, beside a link of that name (CVE-2025-48384)", async () => {
      const hook = `#!/bin/sh\ntouch ${heard}\n`;
      server.commit("hooked.git", { hooks: "", "post-checkout": hook });
      mkdirSync(join(server.folder, repository, "hooks"));
      writeFileSync(join(server.folder, repository, "hooks/post-checkout"), hook, { mode: 0o755 });
      server.git(repository, "add", "--all");
      symlinkSync(".git/modules/s/hooks", join(server.folder, repository, "s"));
      server.git(repository, "add", "s");
      gitmodules(`[submodule "s"]\n\tpath = "s\r"\n\turl = ../lib.git\n`, "s\r");
      for (const rest of ["", "?keep-git-dir=1"]) {
        const { out, error } = await checkOut(rest);
        if (error === undefined) expect(readFileSync(join(out, "s\r", "l"), "utf8")).toBe("lib");
      }
    });

    it("settings that are a link to a file of the host", async () => {
      rawTree(`120000 blob ${blob(join(canary, "secret"))}\t.gitmodules`, `160000 commit ${lib}\ts`);
      const { error } = await checkOut();
      expect(error?.message).toMatch(/invalid path '\.gitmodules'/);
      expect(error?.message).not.toContain("of the host");
    });

    it("below a link that leads out", async () => {
      const settings = blob(`[submodule "s"]\n\tpath = a/s\n\turl = ../lib.git\n`);
      const inner = treeOf(`160000 commit ${lib}\ts`);
      for (const entries of [
        [`120000 blob ${blob(canary)}\ta`, `040000 tree ${inner}\ta`],
        [`040000 tree ${inner}\ta`, `120000 blob ${blob(canary)}\ta`],
      ]) {
        rawTree(`100644 blob ${settings}\t.gitmodules`, ...entries);
        for (const rest of ["#main", "?keep-git-dir=1#main"]) {
          const { out, error } = await checkOut(rest);
          if (error === undefined) expect(files(out)).not.toContain("a/l");
        }
      }
    });
  });

  describe("trees", () => {
    it.for([".git", ".GIT", "git~1"])("with a repository's own files at %s", async (name) => {
      const config = blob(`[core]\n\tfsmonitor = touch ${heard}\n`);
      const hook = blob(`#!/bin/sh\ntouch ${heard}\n`);
      const hooks = treeOf(`100755 blob ${hook}\tpost-checkout`);
      const dir = treeOf(`100644 blob ${config}\tconfig`, `040000 tree ${hooks}\thooks`);
      rawTree(`040000 tree ${dir}\t${name}`);
      for (const rest of ["", "?keep-git-dir=1"]) expect((await checkOut(rest)).error?.message).toMatch(/invalid path/);
    });

    it("with .git as a link", async () => {
      rawTree(`120000 blob ${blob(canary)}\t.git`);
      for (const rest of ["", "?keep-git-dir=1"]) expect((await checkOut(rest)).error?.message).toMatch(/invalid path/);
    });

    it.for(["..", "."])("with %s as a name", async (name) => {
      const inner = treeOf(`100644 blob ${blob("x")}\tescaped`);
      rawTree(`040000 tree ${inner}\t${name}`);
      expect((await checkOut()).error?.message).toMatch(/invalid path/);
    });

    it("with a file below a link that leads out", async () => {
      const inner = treeOf(`100644 blob ${blob("x")}\tescaped`);
      const link = blob(canary);
      for (const entries of [
        [`120000 blob ${link}\ta`, `040000 tree ${inner}\ta`],
        [`040000 tree ${inner}\ta`, `120000 blob ${link}\ta`],
      ]) {
        rawTree(...entries);
        await checkOut("#main");
      }
    });

    it("with filters, and a list of attributes that names commands", async () => {
      server.commit(repository, {
        ".gitattributes": "* filter=evil diff=evil merge=evil\n",
        ".lfsconfig": `[lfs]\n\turl = file://${canary}\n`,
        ".gitconfig": `[filter "evil"]\n\tsmudge = touch ${heard}\n\tprocess = touch ${heard}\n`,
        f: "as it is",
      });
      const { out } = await checkOut();
      expect(readFileSync(join(out, "f"), "utf8")).toBe("as it is");
    });

    it("whose folder is a link that leads out", async () => {
      symlinkSync(canary, join(server.folder, repository, "out"));
      server.git(repository, "add", "--all");
      server.git(repository, "commit", "--quiet", "-m", "m");
      const { folder: place, error } = await checkOut("#main:out");
      expect(error).toBeUndefined();
      expect(place).toThrow(/has no folder "\/out"/);
    });
  });

  describe("the caller's surroundings", () => {
    it("variables that make git run commands are not handed on", async () => {
      const script = join(folder(), "script");
      writeFileSync(script, `#!/bin/sh\ntouch ${heard}\n`);
      chmodSync(script, 0o755);
      const { error } = await checkOut("", {
        ...process.env,
        GIT_CONFIG_COUNT: "1",
        GIT_CONFIG_KEY_0: "core.fsmonitor",
        GIT_CONFIG_VALUE_0: script,
        GIT_CONFIG_PARAMETERS: `'core.fsmonitor=${script}'`,
        GIT_SSH_COMMAND: script,
        GIT_ASKPASS: script,
        GIT_EXTERNAL_DIFF: script,
        GIT_PROXY_COMMAND: script,
        GIT_TEMPLATE_DIR: folder(),
        GIT_EXEC_PATH: folder(),
        GIT_TRACE: heard,
      });
      expect(error).toBeUndefined();
    });

    it("a server that sends to a file is not followed", async () => {
      const redirecting = createServer((_, response) =>
        response.writeHead(302, { location: `file://${canary}/info/refs` }).end(),
      );
      await new Promise<void>((resolve) => redirecting.listen(0, "127.0.0.1", resolve));
      const { port } = redirecting.address() as AddressInfo;
      const git = new GitRepositories(own.store, folder(), {
        environment: process.env,
        secrets: new Map(),
        sshSocket: async () => undefined,
      });
      const asked = git.resolve(parseGitUrl(`http://127.0.0.1:${port}/x.git`, undefined), request);
      await expect(asked).rejects.toMatchObject({ code: "SOURCE_NOT_FOUND", message: expect.stringMatching(/file/) });
      redirecting.closeAllConnections();
      await new Promise((resolve) => redirecting.close(resolve));
    });
  });
});
