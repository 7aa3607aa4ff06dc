/** Files from git over a real sshd. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { type GitServer, gitServer } from "../support/git-server.ts";
import { lacks, needs } from "../support/needs.ts";
import { type SshServer, sshServer } from "../support/ssh-server.ts";
import { tsbuild } from "../support/tsbuild.ts";
import { type Built, Workshop } from "./build-support.ts";

const needed = ["root", "git", "ssh", "sshd", "ssh-agent", "ip", "nsenter", "unshare"];
const it = needs(...needed);

describe.skipIf(lacks(...needed))("git over ssh", () => {
  let server: GitServer;
  let place: Workshop;
  let ssh: SshServer;

  beforeAll(async () => {
    server = await gitServer();
    place = new Workshop();
    mkdirSync(join(place.folder, "ssh"));
    ssh = await sshServer(join(place.folder, "ssh"));
    server.commit("app.git", { f: "over ssh\n", Dockerfile: "FROM scratch\nCOPY f /from-context\n" });
    const lib = server.commit("lib.git", { l: "lib\n" });
    server.commit("outer.git", { o: "outer\n" });
    server.submodule("outer.git", "lib", "../lib.git", lib);
  });
  afterAll(async () => {
    await ssh[Symbol.asyncDispose]();
    place[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  const url = (repository: string): string => `ssh://${ssh.user}@127.0.0.1:2222${server.folder}/${repository}`;
  let count = 0;
  async function build(context: string, flags: readonly string[], env: Record<string, string> = {}): Promise<Built> {
    const idFile = join(place.folder, `ssh${count++}.id`);
    const args = ["build", "--progress=plain", "--iidfile", idFile, ...flags, context];
    const result = await tsbuild(args, {
      env: { TSBUILD_ROOT: place.root, SSH_AUTH_SOCK: undefined, ...env },
      cwd: place.folder,
      wrapper: ssh.inside,
    });
    return {
      ...result,
      get image() {
        return place.image(result, idFile);
      },
    };
  }
  const add = (source: string, flags: readonly string[]): Promise<Built> =>
    build(place.context({ Dockerfile: `FROM scratch\nADD ${source} /\n` }), flags);

  it("ssh:// with a port, and the form of scp", async () => {
    const withKey = ["--ssh", `default=${ssh.key}`];
    expect((await add(`${url("app.git")}#main`, withKey)).image.read("/f")).toBe("over ssh\n");
    const scp = `${ssh.user}@127.0.0.1:${server.folder.slice(1)}/app.git`;
    const absolute = `${ssh.user}@127.0.0.1:${server.folder}/app.git`;
    expect((await add(absolute, withKey)).image.read("/f")).toBe("over ssh\n");
    // Relative to the user's home folder, where it is not.
    expect((await add(scp, withKey)).stderr).toMatch(/does not appear to be a git repository|does not exist/);
  });

  it("without an agent the key is missing, and the error says what gives it", async () => {
    const { code, stderr } = await add(url("app.git"), []);
    expect(code).toBe(1);
    expect(stderr).toMatch(/Permission denied \(publickey\)/);
    expect(stderr).toContain("hint: give an agent that has the key: --ssh default");
  });

  it("a repository is the context, and its submodules come by the same key", async () => {
    const withKey = ["--ssh", `default=${ssh.key}`];
    expect((await build(url("app.git"), withKey)).image.read("/from-context")).toBe("over ssh\n");
    const { image } = await add(url("outer.git"), withKey);
    expect(image.read("/lib/l")).toBe("lib\n");
    expect(image.read("/o")).toBe("outer\n");
  });

  it("a host is believed the first time, and then has to keep its key", async () => {
    const withKey = ["--ssh", `default=${ssh.key}`];
    expect((await add(`${url("app.git")}#main`, withKey)).code).toBe(0);
    await ssh.changeHostKey();
    const { code, stderr } = await add(`${url("app.git")}#main`, withKey);
    expect(code).toBe(1);
    expect(stderr).toMatch(/Host key verification failed|IDENTIFICATION HAS CHANGED/);
    expect(stderr).toMatch(/hint: if the host really has a new key, remove line \d+ of .*\/git\/known_hosts/);
  });
});
