import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { htpasswdOfUser, type RunningRegistry, startDockerRegistry } from "../support/docker-registry.ts";
import { lacks } from "../support/needs.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";
import { spawnInTerminal, type TerminalRun } from "../support/terminal.ts";
import { sourceProgram, type TsbuildOptions, type TsbuildResult, tsbuild } from "../support/tsbuild.ts";

interface Session extends Disposable {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  run(args: readonly string[], options?: TsbuildOptions): Promise<TsbuildResult>;
  /** As `run`; fails unless it exits with 0. */
  ok(args: readonly string[], options?: TsbuildOptions): Promise<TsbuildResult>;
}

function session(): Session {
  const folder = temporaryTestFolder("commands");
  const env = {
    TSBUILD_ROOT: join(folder.path, "root"),
    DOCKER_CONFIG: join(folder.path, "config"),
    HOME: folder.path,
  };
  const run: Session["run"] = (args, options) =>
    tsbuild(args, { program: sourceProgram, cwd: folder.path, ...options, env: { ...env, ...options?.env } });
  return {
    folder: folder.path,
    env,
    run,
    async ok(args, options) {
      const result = await run(args, options);
      if (result.code !== 0) throw new Error(`tsbuild ${args.join(" ")}: ${result.code}\n${result.stderr}`);
      return result;
    },
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

/** Types each answer when its prompt has appeared. */
function onTerminal(
  s: Session,
  args: readonly string[],
  answers: readonly (readonly [string, string])[] = [],
): Promise<TerminalRun> {
  const env = Object.entries({ ...s.env, NO_COLOR: "1" }).map(([name, value]) => `${name}=${value}`);
  const terminal = spawnInTerminal("/usr/bin/env", [...env, process.execPath, sourceProgram, ...args]);
  let answered = 0;
  let from = 0;
  terminal.onOutput((seen) => {
    const [prompt, answer] = answers[answered] ?? [];
    const at = prompt === undefined ? -1 : seen.indexOf(prompt, from);
    if (prompt === undefined || answer === undefined || at < 0) return;
    answered += 1;
    from = at + prompt.length;
    terminal.write(answer);
  });
  return terminal.exited;
}

function writeRootfs(folder: string): string {
  mkdirSync(join(folder, "rootfs/bin"), { recursive: true });
  writeFileSync(join(folder, "rootfs/bin/hello"), "hello\n");
  execFileSync("tar", ["-C", join(folder, "rootfs"), "-cf", join(folder, "rootfs.tar"), "."]);
  return "rootfs.tar";
}

describe.skipIf(lacks("root", "docker-registry"))("pull and push", () => {
  let shared: Session;
  let registry: RunningRegistry;
  beforeAll(async () => {
    shared = session();
    registry = await startDockerRegistry();
  });
  afterAll(async () => {
    shared[Symbol.dispose]();
    await registry[Symbol.asyncDispose]();
  });

  test("print what docker prints: facts on stdout, the way there on stderr", async () => {
    using s = session();
    await using registry = await startDockerRegistry();
    const name = `${registry.host}/team/hello`;
    const id = (await s.ok(["import", writeRootfs(s.folder), name])).stdout.trim();
    expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
    const pushed = await s.ok(["push", name, "--digestfile", "digest"]);
    const digest = readFileSync(join(s.folder, "digest"), "utf8");
    expect(pushed.stdout).toMatch(
      /^Using default tag: latest\nThe push refers to repository \[\S+\]\nlatest: digest: sha256:\S+ size: \d+\n$/,
    );
    expect(pushed.stdout).toContain(`latest: digest: ${digest} size: `);
    expect(pushed.stderr).toMatch(/^([0-9a-f]{12}): Preparing\n\1: Pushed\n$/);
    expect((await s.ok(["push", "-q", name])).stdout).toBe(`${name}:latest\n`);
    expect((await s.ok(["push", name])).stderr).toMatch(/: Layer already exists\n$/);
    await s.ok(["rmi", name]);
    const pulled = await s.ok(["pull", name]);
    expect(pulled.stdout).toBe(
      `Using default tag: latest\nDigest: ${digest}\nStatus: Downloaded newer image for ${name}:latest\n${name}:latest\n`,
    );
    expect(pulled.stderr).toMatch(
      /^latest: Pulling from team\/hello\n([0-9a-f]{12}): Pulling fs layer\n\1: Download complete\n\1: Pull complete\n$/,
    );
    const again = await s.ok(["pull", `${name}:latest`]);
    expect(again.stdout).toBe(`Digest: ${digest}\nStatus: Image is up to date for ${name}:latest\n${name}:latest\n`);
    expect(await s.ok(["pull", "-q", name])).toEqual({ code: 0, stdout: `${name}:latest\n`, stderr: "" });
    expect((await s.ok(["images", "-q", "--no-trunc"])).stdout.trim()).toBe(id);
    expect((await s.ok(["pull", `${name}@${digest}`])).stdout).toContain(`${name}@${digest}\n`);
  });

  test("draw a bar for each layer on a terminal", async () => {
    using s = session();
    await using registry = await startDockerRegistry();
    const name = `${registry.host}/hello`;
    await s.ok(["import", writeRootfs(s.folder), name]);
    const { output } = await onTerminal(s, ["push", name]);
    expect(output).toMatch(/\x1b\[1A\x1b\[2K[0-9a-f]{12}: Pushing {2}\[=+\] {2}\d/);
    expect(output).toMatch(/\x1b\[1A\x1b\[2K[0-9a-f]{12}: Pushed\r\n/);
    expect(output.trimEnd().split("\r\n").at(-1)).toMatch(/^latest: digest: sha256:/);
  });

  test.for([
    { args: ["pull", "HOST/nope"], code: 1, says: "error: manifest for HOST/nope:latest not found: manifest unknown" },
    { args: ["push", "HOST/nope"], code: 1, says: "error: An image does not exist locally with the tag: HOST/nope" },
    { args: ["pull", "-a", "HOST/x:1"], code: 2, says: "tsbuild: tag can't be used with --all-tags/-a" },
    { args: ["pull", "--jobs", "0", "HOST/x"], code: 2, says: "--jobs" },
    { args: ["push", "--compression", "lz4", "HOST/x"], code: 2, says: "gzip or zstd" },
    { args: ["pull", "https://HOST/x"], code: 1, says: "error: invalid reference format" },
    {
      args: ["pull", "--authfile", "gone.json", "HOST/x"],
      code: 1,
      says: "gone.json: error: credentials cannot be read: no such file",
    },
    { args: ["pull", "--platform", "a/b/c/d", "HOST/x"], code: 1, says: "error: invalid platform" },
    {
      args: ["pull", "127.0.0.1:1/x"],
      code: 1,
      says: "error: the registry at http://127.0.0.1:1 cannot be reached: connection refused",
    },
  ])("$args: one clear line", async ({ args, code, says }) => {
    const result = await shared.run(args.map((word) => word.replace("HOST", registry.host)));
    expect(result.stderr).toContain(says.replaceAll("HOST", registry.host));
    expect(result.code).toBe(code);
    expect(result.stderr).not.toContain("    at ");
  });
});

describe.skipIf(lacks("docker-registry"))("login", () => {
  test("keeps what the registry takes, and logout forgets it", async () => {
    using s = session();
    await using registry = await startDockerRegistry({ htpasswd: htpasswdOfUser });
    mkdirSync(join(s.folder, "config"));
    const file = join(s.folder, "config/config.json");
    writeFileSync(file, '{"detachKeys":"ctrl-q"}', { mode: 0o644 });
    const login = await s.ok(["login", "-u", "user", "--password-stdin", registry.host], { input: "secret\n" });
    expect(login.stdout).toBe("Login Succeeded\n");
    expect(login.stderr).toContain(`stored unencrypted in ${file}`);
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual({
      detachKeys: "ctrl-q",
      auths: { [registry.host]: { auth: Buffer.from("user:secret").toString("base64") } },
    });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect((await s.ok(["login", "--get-login", registry.host])).stdout).toBe("user\n");
    const again = await s.ok(["login", registry.host]);
    expect(again).toMatchObject({
      stdout: "Login Succeeded\n",
      stderr: "Authenticating with existing credentials... [Username: user]\n",
    });
    expect((await s.ok(["logout", registry.host])).stdout).toBe(`Removing login credentials for ${registry.host}\n`);
    expect(await s.ok(["logout", registry.host])).toMatchObject({
      stdout: "",
      stderr: `Not logged in to ${registry.host}\n`,
    });
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual({ detachKeys: "ctrl-q", auths: {} });
  });

  test("stores nothing that the registry refuses", async () => {
    using s = session();
    await using registry = await startDockerRegistry({ htpasswd: htpasswdOfUser });
    const result = await s.run(["login", "-u", "user", "--password-stdin", registry.host], { input: "wrong" });
    expect(result).toMatchObject({ code: 1, stdout: "" });
    expect(result.stderr).toContain("error: unauthorized: incorrect username or password");
    expect(result.stderr).not.toContain("wrong");
    expect(existsSync(join(s.folder, "config/config.json"))).toBe(false);
  });

  test.for([
    { args: ["login", "r.example"], says: "cannot perform an interactive login from a non-TTY device" },
    {
      args: ["login", "--password-stdin", "r.example"],
      says: "the --password-stdin option requires --username to be set",
    },
    {
      args: ["login", "-u", "a", "-p", "b", "--password-stdin", "r.example"],
      says: "conflicting options: cannot specify both --password and --password-stdin",
    },
  ])("$args is an error", async ({ args, says }) => {
    using s = session();
    expect(await s.run(args)).toEqual({ code: 1, stdout: "", stderr: `error: ${says}\n` });
  });

  test("asks for name and password on a terminal, and does not show the password", async () => {
    using s = session();
    await using registry = await startDockerRegistry({ htpasswd: htpasswdOfUser });
    const { output, exitCode } = await onTerminal(
      s,
      ["login", registry.host],
      [
        ["Username: ", "usex\x7fr\r"],
        ["Password: ", "secreX\x7ft\r"],
      ],
    );
    expect(output).not.toContain("secre");
    expect(exitCode).toBe(0);
    expect(output).toContain("Username: ");
    expect(output).toContain("Login Succeeded");
    expect(output).not.toContain("secret");
  });
});

describe.skipIf(lacks("root"))("save, load and import", () => {
  let shared: Session;
  let before: string;
  beforeAll(async () => {
    shared = session();
    before = `hello:latest ${(await shared.ok(["import", writeRootfs(shared.folder), "hello"])).stdout}`;
    writeFileSync(join(shared.folder, "noise"), Buffer.alloc(3000, 7));
  });
  afterAll(() => shared[Symbol.dispose]());

  test("round trips through pipes and files, with the same ID", async () => {
    using s = session();
    const id = (
      await s.ok(["import", "-c", 'CMD ["/bin/hello"]', "-m", "a test", writeRootfs(s.folder), "hello:1"])
    ).stdout.trim();
    await s.ok(["tag", "hello:1", "hello:2"]);
    await s.ok(["save", "-o", "one.tar", "hello"]);
    expect(readdirSync(s.folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
    expect(await s.ok(["rmi", "hello:1", "hello:2"])).toMatchObject({
      stdout: expect.stringContaining(`Deleted: ${id}`),
    });
    expect((await s.ok(["load", "-i", "one.tar"])).stdout).toBe("Loaded image: hello:1\nLoaded image: hello:2\n");
    expect((await s.ok(["images", "-q", "--no-trunc", "hello:1"])).stdout.trim()).toBe(id);
    await s.ok(["save", "-o", "two.tar", "hello"]);
    expect(readFileSync(join(s.folder, "two.tar")).equals(readFileSync(join(s.folder, "one.tar")))).toBe(true);
    await s.ok(["save", "-o", "by-id.tar", id.slice(7, 19)]);
    await s.ok(["rmi", "hello:1", "hello:2"]);
    expect((await s.ok(["load"], { input: readFileSync(join(s.folder, "by-id.tar")) })).stdout).toBe(
      `Loaded image ID: ${id}\n`,
    );
  });

  test("import from a URL", async () => {
    using s = session();
    const tar = readFileSync(join(s.folder, writeRootfs(s.folder)));
    const server = createServer((request, response) => {
      if (request.url === "/moved") return void response.writeHead(302, { location: "/rootfs.tar?token=secret" }).end();
      if (request.url?.startsWith("/rootfs.tar") === true) return void response.end(tar);
      response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = server.address() as { port: number };
      await s.ok(["import", `http://127.0.0.1:${port}/moved`, "web"]);
      expect((await s.ok(["history", "--no-trunc", "web"])).stdout).toContain(
        `Imported from http://127.0.0.1:${port}/moved`,
      );
      expect(await s.run(["import", `http://127.0.0.1:${port}/gone`])).toEqual({
        code: 1,
        stdout: "",
        stderr: `error: http://127.0.0.1:${port}/gone answered with HTTP 404\n`,
      });
    } finally {
      server.close();
    }
  });

  test("import reads stdin, and takes a name and a tag apart", async () => {
    using s = session();
    const tar = readFileSync(join(s.folder, writeRootfs(s.folder)));
    await s.ok(["import", "-", "hello", "old"], { input: tar });
    expect((await s.ok(["images", "hello"])).stdout).toMatch(/hello +old /);
  });

  test.for([
    { args: ["load"], says: "error: requested load from stdin, but stdin is empty" },
    { args: ["load", "-i", "gone.tar"], says: "gone.tar: no such file or directory" },
    { args: ["load", "-i", "."], says: "error: not an image archive" },
    { args: ["load", "-i", "noise"], says: "error: invalid archive: it is no tar" },
    { args: ["import", "gone.tar"], says: "gone.tar: no such file or directory" },
    { args: ["import", "."], says: "is a directory" },
    { args: ["import", "-"], says: "error: nothing to import from -: it is empty" },
    { args: ["import", "noise"], says: "error: cannot import noise: this is no tar archive" },
    { args: ["import", "noise", "A/B"], says: "must be lowercase" },
    { args: ["import", "-c", "RUN x", "noise"], says: "RUN is not a valid change command" },
    { args: ["save", "gone"], says: "No such image: gone:latest" },
    { args: ["save", "-o", "no/such/folder/x.tar", "hello"], says: "does not exist" },
    { args: ["save", "--format", "oci-dir", "hello"], says: "oci-dir is a folder" },
    { args: ["save", "--format", "oci-dir", "-o", ".", "hello"], says: "the folder is not empty and no OCI layout" },
    { args: ["save", "--format", "zip", "hello"], says: "--format" },
  ])("$args: one clear line, and nothing changes", async ({ args, says }) => {
    const result = await shared.run(args);
    expect(result.stderr).toContain(says);
    expect(result.stderr).not.toContain("    at ");
    expect([1, 2]).toContain(result.code);
    expect(
      (await shared.ok(["images", "-a", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"])).stdout,
    ).toBe(before);
  });

  test("save does not write to a terminal", async () => {
    using s = session();
    await s.ok(["import", writeRootfs(s.folder), "hello"]);
    const { output, exitCode } = await onTerminal(s, ["save", "hello"]);
    expect(exitCode).toBe(1);
    expect(output).toContain("cowardly refusing to save to a terminal. Use the -o flag or redirect");
  });

  test("oci-dir: a layout that is there is written anew, a symlinked folder too", async () => {
    using s = session();
    await s.ok(["import", writeRootfs(s.folder), "hello"]);
    await s.ok(["save", "--format", "oci-dir", "-o", "layout", "hello"]);
    symlinkSync("layout", join(s.folder, "link"));
    const before = readFileSync(join(s.folder, "layout/index.json"));
    await s.ok(["save", "--format", "oci-dir", "-o", "link", "hello"]);
    expect(readFileSync(join(s.folder, "layout/index.json"))).toEqual(before);
    expect((await s.ok(["load", "-i", "link"])).stdout).toBe("Loaded image: hello:latest\n");
  });
});
