/** The installed git and what it is kept from. */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { gitClones, removeGitClone } from "../../src/cli/git-clones.ts";
import { tryLockFolder } from "../../src/kernel/file-lock.ts";
import { GitRepositories } from "../../src/planner/git-repositories.ts";
import { parseGitUrl } from "../../src/planner/git-url.ts";
import { type GitServer, gitServer } from "../support/git-server.ts";
import { findProgram, lacks, needs } from "../support/needs.ts";
import { type TemporaryStore, temporaryStore } from "../support/temporary-store.ts";

const it = needs("git");
const never = new AbortController().signal;

describe.skipIf(lacks("git"))("git", () => {
  let server: GitServer;
  let own: TemporaryStore;
  let commit: string;
  let count = 0;

  beforeAll(async () => {
    server = await gitServer();
    own = temporaryStore();
    commit = server.commit("app.git", { f: "1\n", "-x": "dash" });
  });
  afterAll(async () => {
    own[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  const folder = (): string => {
    const path = join(server.folder, `place${count++}`);
    mkdirSync(path);
    return path;
  };
  const repositories = (
    environment: Readonly<Record<string, string | undefined>> = process.env,
    sshSocket?: string,
  ): GitRepositories =>
    new GitRepositories(own.store, folder(), { environment, secrets: new Map(), sshSocket: async () => sshSocket });
  const request = (signal: AbortSignal = never) => ({ where: undefined, signal });

  /** A program in place of ssh: notes how it was called, and runs what it is asked for on this machine. */
  const fakeSsh = (): { readonly path: string; readonly called: () => string } => {
    const path = folder();
    const script = `#!/bin/sh\nprintf '%s\\n' "$SSH_AUTH_SOCK" "$@" >> ${path}/called\nfor last; do :; done\nexec sh -c "$last"\n`;
    writeFileSync(join(path, "ssh"), script);
    chmodSync(join(path, "ssh"), 0o755);
    return { path, called: () => readFileSync(join(path, "called"), "utf8") };
  };

  it.for(["ssh://git@host", "git@host:"])(
    "over ssh (%s…) with the agent that was given, and no other key",
    async (start) => {
      const ssh = fakeSsh();
      const git = repositories(
        { ...process.env, PATH: `${ssh.path}:${process.env["PATH"]}`, SSH_AUTH_SOCK: "/another" },
        "/agent",
      );
      const source = parseGitUrl(`${start}${server.folder}/app.git#main`, undefined);
      const found = await git.resolve(source, request());
      expect(found).toEqual({ id: commit, name: "refs/heads/main", tag: undefined });
      const out = join(folder(), "out");
      await git.checkOut(source, found, out, request());
      expect(readFileSync(join(out, "f"), "utf8")).toBe("1\n");
      const called = ssh.called();
      expect(called).toMatch(/^\/agent\n-F\n\/dev\/null\n/);
      for (const option of ["BatchMode=yes", "IdentityFile=none", "StrictHostKeyChecking=accept-new"])
        expect(called).toContain(option);
    },
  );

  it("no configuration of the user, no hook and no template is heard", async () => {
    const home = folder();
    const bad = join(home, "heard");
    writeFileSync(
      join(home, ".gitconfig"),
      `[core]\n\tfsmonitor = touch ${bad}\n\thooksPath = ${home}\n[url "file:///nowhere"]\n\tinsteadOf = ${server.url}\n`,
    );
    writeFileSync(join(home, "post-checkout"), `#!/bin/sh\ntouch ${bad}\n`);
    chmodSync(join(home, "post-checkout"), 0o755);
    const git = repositories({
      ...process.env,
      HOME: home,
      GIT_CONFIG_GLOBAL: join(home, ".gitconfig"),
      GIT_DIR: home,
    });
    const source = parseGitUrl(`${server.url}/app.git?keep-git-dir=1`, undefined);
    const out = join(folder(), "out");
    await git.checkOut(source, await git.resolve(source, request()), out, request());
    expect(existsSync(bad)).toBe(false);
    expect(existsSync(join(out, ".git", "hooks"))).toBe(false);
    expect(readFileSync(join(out, "-x"), "utf8")).toBe("dash");
  });

  it("without git the error names the package", async () => {
    const git = repositories({ PATH: folder() });
    await expect(git.resolve(parseGitUrl(`${server.url}/app.git`, undefined), request())).rejects.toMatchObject({
      code: "SOURCE_NOT_FOUND",
      message: "git is not installed, and a git repository is needed",
      hint: "apt-get install git",
    });
  });

  it("without ssh the error names the package", async () => {
    const path = folder();
    for (const name of ["git", "sh"]) symlinkSync(findProgram(name) ?? "", join(path, name));
    const git = repositories({ PATH: path });
    await expect(git.resolve(parseGitUrl("ssh://git@host/app.git", undefined), request())).rejects.toMatchObject({
      hint: "apt-get install openssh-client",
    });
  });

  it("an abort ends git, even one that waits for a silent server", async () => {
    const silent = createServer((socket) => socket.resume());
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as AddressInfo;
    const abort = new AbortController();
    silent.once("connection", () => abort.abort("stopped"));
    const asked = repositories().resolve(parseGitUrl(`git://127.0.0.1:${port}/x`, undefined), request(abort.signal));
    await expect(asked).rejects.toBe("stopped");
    await new Promise((resolve) => silent.close(resolve));
  });

  it("a clone that something is taken from stays, and goes afterwards", async () => {
    server.commit("held.git", { f: "1" });
    const git = repositories();
    const source = parseGitUrl(`${server.url}/held.git`, undefined);
    await git.checkOut(source, await git.resolve(source, request()), join(folder(), "out"), request());
    const name = gitClones(own.store).find(({ url }) => url === source.remote)?.name ?? "none";
    {
      using _ = tryLockFolder(join(own.store.gitFolder, name), "shared");
      expect(removeGitClone(own.store, name)).toBe(false);
    }
    expect(removeGitClone(own.store, name)).toBe(true);
    expect(removeGitClone(own.store, name)).toBe(false);
  });

  it("a fetch that was killed leaves nothing that stops the next one", async () => {
    const git = repositories();
    const source = parseGitUrl(`${server.url}/again.git`, undefined);
    server.commit("again.git", { f: "1" });
    const first = await git.resolve(source, request());
    await git.checkOut(source, first, join(folder(), "out"), request());
    for (const name of readdirSync(own.store.gitFolder)) {
      const path = join(own.store.gitFolder, name);
      if (existsSync(join(path, "objects"))) writeFileSync(join(path, "shallow.lock"), "");
    }
    server.commit("again.git", { f: "2" });
    const next = repositories();
    const out = join(folder(), "out");
    await next.checkOut(source, await next.resolve(source, request()), out, request());
    expect(readFileSync(join(out, "f"), "utf8")).toBe("2");
  });
});
