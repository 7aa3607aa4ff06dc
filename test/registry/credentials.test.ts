import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseChallenges } from "../../src/registry/challenge.ts";
import {
  type CredentialSources,
  eraseCredential,
  findCredential,
  storeCredential,
} from "../../src/registry/credentials.ts";
import { domainOfServer } from "../../src/registry/login.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const auth = (text: string): { auth: string } => ({ auth: base64(text) });

interface Home {
  readonly path: string;
  readonly sources: CredentialSources;
  readonly warnings: string[];
  write(name: string, content: unknown): string;
}

async function withHome(use: (home: Home) => Promise<void>, environment: Record<string, string> = {}): Promise<void> {
  using folder = temporaryTestFolder("credentials");
  const { path } = folder;
  const warnings: string[] = [];
  const write = (name: string, content: unknown): string => {
    const file = join(path, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
    return file;
  };
  const sources: CredentialSources = {
    authFile: undefined,
    environment: {
      HOME: path,
      XDG_RUNTIME_DIR: join(path, "run"),
      PATH: `${join(path, "bin")}:${process.env["PATH"]}`,
      ...environment,
    },
    configDir: join(path, ".docker"),
    warn: (text) => warnings.push(text),
  };
  await use({ path, sources, warnings, write });
}

describe("where credentials are found", () => {
  test("nowhere: anonymous", () =>
    withHome(async ({ sources }) => {
      expect(await findCredential("r.example", "x", sources)).toBeUndefined();
    }));

  test.for([
    { key: "r.example:5000", domain: "r.example:5000" },
    { key: "https://r.example:5000/v1/", domain: "r.example:5000" },
    { key: "https://index.docker.io/v1/", domain: "docker.io" },
    { key: "docker.io", domain: "docker.io" },
  ])("the key $key is for $domain", ({ key, domain }) =>
    withHome(async ({ sources, write }) => {
      const from = write(".docker/config.json", { auths: { [key]: auth("bob:a:b") } });
      expect(await findCredential(domain, "x", sources)).toEqual({
        kind: "password",
        username: "bob",
        password: "a:b",
        from,
      });
      expect(await findCredential("other.example", "x", sources)).toBeUndefined();
    }),
  );

  test("the first source that has the registry wins, those that lack it are passed over", () =>
    withHome(
      async ({ sources, write }) => {
        write(".docker/config.json", { auths: { one: auth("docker:p"), two: auth("docker:p") } });
        write("run/containers/auth.json", { auths: { two: auth("run:p"), three: auth("run:p") } });
        write(".config/containers/auth.json", { auths: { three: auth("config:p"), four: auth("config:p") } });
        write(".dockercfg", { four: auth("old:p"), five: { ...auth("old:p"), email: "x" } });
        const who = async (domain: string): Promise<string | undefined> =>
          (await findCredential(domain, "x", sources))?.username;
        expect(await Promise.all(["zero", "one", "two", "three", "four", "five"].map(who))).toEqual([
          "inline",
          "docker",
          "docker",
          "run",
          "config",
          "old",
        ]);
      },
      { DOCKER_AUTH_CONFIG: JSON.stringify({ auths: { zero: auth("inline:p") } }) },
    ));

  test("--authfile alone counts, and must be there", () =>
    withHome(async ({ sources, write }) => {
      write(".docker/config.json", { auths: { one: auth("docker:p") } });
      const authFile = write("a.json", { auths: { two: auth("file:p") } });
      expect(await findCredential("one", "x", { ...sources, authFile })).toBeUndefined();
      await expect(findCredential("one", "x", { ...sources, authFile: `${authFile}.no` })).rejects.toMatchObject({
        code: "INVALID_CONFIG",
        where: { kind: "path", path: `${authFile}.no` },
      });
    }));

  test("the most specific path of a registry wins", () =>
    withHome(async ({ sources, write }) => {
      write(".config/containers/auth.json", {
        auths: { "q.io": auth("all:p"), "q.io/team": auth("team:p"), "q.io/team/app": auth("app:p") },
      });
      const who = async (path: string): Promise<string | undefined> =>
        (await findCredential("q.io", path, sources))?.username;
      expect(await Promise.all(["other", "team/x", "team/app", "teams/x"].map(who))).toEqual([
        "all",
        "team",
        "app",
        "all",
      ]);
    }));

  test("an identity token is no password", () =>
    withHome(async ({ sources, write }) => {
      write(".docker/config.json", {
        auths: { one: { ...auth("bob:"), identitytoken: "t" }, two: { registrytoken: "r" } },
      });
      expect(await findCredential("one", "x", sources)).toMatchObject({
        kind: "identityToken",
        token: "t",
        username: "bob",
      });
      expect(await findCredential("two", "x", sources)).toMatchObject({ kind: "registryToken", token: "r" });
    }));

  test.for([
    { name: "no JSON", content: "{", says: "not JSON" },
    { name: "a list", content: "[]", says: "not a JSON object" },
    { name: "an auth without a colon", content: JSON.stringify({ auths: { one: auth("bob") } }), says: "no colon" },
  ])("$name is an error that does not show the content", ({ content, says }) =>
    withHome(async ({ sources, write }) => {
      write(".docker/config.json", content);
      await expect(findCredential("one", "x", sources)).rejects.toMatchObject({
        code: "INVALID_CONFIG",
        message: expect.stringContaining(says),
      });
    }),
  );
});

describe("a credential helper", () => {
  const helper = (home: Home, name: string, script: string): void => {
    chmodSync(home.write(`bin/docker-credential-${name}`, `#!/bin/sh\n${script}\n`), 0o755);
  };

  test("is asked for the registry it is for", () =>
    withHome(async (home) => {
      home.write(".docker/config.json", { credHelpers: { "r.io": "mine" }, credsStore: "other" });
      helper(
        home,
        "mine",
        'read server; echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"$server-user\\",\\"Secret\\":\\"s\\"}"',
      );
      helper(home, "other", 'echo "credentials not found in native keychain"; exit 1');
      expect(await findCredential("r.io", "x", home.sources)).toMatchObject({
        kind: "password",
        username: "r.io-user",
        password: "s",
        from: "docker-credential-mine",
      });
      expect(await findCredential("s.io", "x", home.sources)).toBeUndefined();
    }));

  test("that answers <token> has a refresh token", () =>
    withHome(async (home) => {
      home.write(".docker/config.json", { credsStore: "mine" });
      helper(home, "mine", 'echo \'{"Username":"<token>","Secret":"s"}\'');
      expect(await findCredential("r.io", "x", home.sources)).toMatchObject({ kind: "identityToken", token: "s" });
    }));

  test("that is not installed is a warning, and an anonymous try", () =>
    withHome(async (home) => {
      home.write(".docker/config.json", { credsStore: "gone" });
      expect(await findCredential("r.io", "x", home.sources)).toBeUndefined();
      expect(home.warnings).toEqual([expect.stringContaining("docker-credential-gone")]);
    }));

  test("that fails is an error with its output", () =>
    withHome(async (home) => {
      home.write(".docker/config.json", { credsStore: "bad" });
      helper(home, "bad", "echo the vault is locked; exit 3");
      await expect(findCredential("r.io", "x", home.sources)).rejects.toMatchObject({
        code: "REGISTRY_DENIED",
        message: expect.stringContaining("the vault is locked"),
      });
    }));

  test("keeps what is stored; the file only says that it has it", () =>
    withHome(async (home) => {
      home.write(".docker/config.json", { credsStore: "mine" });
      helper(
        home,
        "mine",
        `case $1 in store) cat > ${home.path}/stored;; get) cat > /dev/null; cat ${home.path}/stored;; erase) cat > ${home.path}/erased;; esac`,
      );
      const stored = await storeCredential(
        "r.io",
        { kind: "password", username: "bob", password: "secret" },
        home.sources,
      );
      expect(stored).toEqual({ kind: "helper", program: "docker-credential-mine" });
      expect(readFileSync(join(home.path, ".docker/config.json"), "utf8")).not.toContain("secret");
      expect(await findCredential("r.io", "x", home.sources)).toMatchObject({ username: "bob", password: "secret" });
      expect(await eraseCredential("r.io", home.sources)).toBe(true);
      expect(readFileSync(join(home.path, "erased"), "utf8")).toBe("r.io");
    }));
});

describe("the client's file", () => {
  const bob = { kind: "password", username: "bob", password: "pä:ss" } as const;

  test("comes and goes, mode 0600, other keys untouched", () =>
    withHome(async ({ sources, path, write }) => {
      const file = write(".docker/config.json", {
        detachKeys: "ctrl-q",
        auths: { other: auth("x:y") },
        unknown: { a: [1] },
      });
      await storeCredential("r.io", bob, sources);
      expect(lstatSync(file).mode & 0o777).toBe(0o600);
      expect(JSON.parse(readFileSync(file, "utf8"))).toEqual({
        detachKeys: "ctrl-q",
        auths: { other: auth("x:y"), "r.io": auth("bob:pä:ss") },
        unknown: { a: [1] },
      });
      expect(readFileSync(file, "utf8")).toContain('\n\t"auths"');
      expect(await findCredential("r.io", "x", sources)).toMatchObject({ username: "bob", password: "pä:ss" });
      expect(await eraseCredential("r.io", sources)).toBe(true);
      expect(await eraseCredential("r.io", sources)).toBe(false);
      expect(JSON.parse(readFileSync(file, "utf8"))).toEqual({
        detachKeys: "ctrl-q",
        auths: { other: auth("x:y") },
        unknown: { a: [1] },
      });
      expect(readdirSync(join(path, ".docker"))).toEqual(["config.json"]);
    }));

  test("is made when it is not there, in a folder for the user alone", () =>
    withHome(async ({ sources, path }) => {
      await storeCredential("docker.io", bob, sources);
      expect(lstatSync(join(path, ".docker")).mode & 0o777).toBe(0o700);
      expect(JSON.parse(readFileSync(join(path, ".docker/config.json"), "utf8"))).toEqual({
        auths: { "https://index.docker.io/v1/": auth("bob:pä:ss") },
      });
    }));

  test("may be a symlink, and stays one", () =>
    withHome(async ({ sources, path, write }) => {
      const real = write("dotfiles/docker.json", {});
      mkdirSync(join(path, ".docker"));
      symlinkSync("../dotfiles/docker.json", join(path, ".docker/config.json"));
      await storeCredential("r.io", bob, sources);
      expect(lstatSync(join(path, ".docker/config.json")).isSymbolicLink()).toBe(true);
      expect(readFileSync(real, "utf8")).toContain("r.io");
    }));
});

test.for([
  [undefined, "docker.io"],
  ["https://index.docker.io/v1/", "docker.io"],
  ["r.io", "r.io"],
  ["https://r.io:5000/v2/", "r.io:5000"],
] as const)("login %s means %s", ([server, domain]) => {
  expect(domainOfServer(server)).toBe(domain);
});

test.for([
  {
    header: 'Bearer realm="https://a/t",service="x, y",scope="repository:a:pull,push"',
    parsed: [["bearer", { realm: "https://a/t", service: "x, y", scope: "repository:a:pull,push" }]],
  },
  { header: "Basic realm=simple", parsed: [["basic", { realm: "simple" }]] },
  {
    header: 'Negotiate, Basic realm="a \\"b\\"", Bearer realm="r"',
    parsed: [
      ["negotiate", {}],
      ["basic", { realm: 'a "b"' }],
      ["bearer", { realm: "r" }],
    ],
  },
  { header: "BEARER  Realm = x , Service=y", parsed: [["bearer", { realm: "x", service: "y" }]] },
  { header: "", parsed: [] },
  { header: '=,="', parsed: [] },
])("the challenge $header", ({ header, parsed }) => {
  expect(parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])).toEqual(
    parsed,
  );
});
