import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { Command } from "commander";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CommandContext } from "../../src/cli/command.ts";
import { defineLegacyFlags, legacyFlagNotes } from "../../src/cli/legacy-build-flags.ts";
import { defineStepFlags, readStepFlags, type StepOptions } from "../../src/cli/step-flags.ts";
import { needs } from "../support/needs.ts";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync("/tmp/tsbuild-test-step-flags-");
  writeFileSync(`${folder}/token`, "t");
  writeFileSync(`${folder}/a,b`, "t");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function read(words: string, environment: Record<string, string> = {}): Promise<StepOptions> {
  const command = new Command().exitOverride();
  defineStepFlags(command);
  command.parse(words === "" ? [] : words.split(" "), { from: "user" });
  // Only what reading flags touches.
  return await readStepFlags(command, { environment, cwd: folder } as unknown as CommandContext);
}

test("without flags nothing is limited, allowed or given", async () => {
  expect(await read("")).toEqual({
    network: "default",
    extraHosts: [],
    shmSizeBytes: undefined,
    ulimits: [],
    limits: {},
    cgroupParent: undefined,
    allow: [],
    secrets: new Map(),
    ssh: new Map(),
  });
});

test.for([
  { words: "-m 1g --memory-swap 2g", is: { memoryBytes: 1024 ** 3, memorySwapBytes: 2 * 1024 ** 3 } },
  { words: "-m 1g --memory-swap -1", is: { memoryBytes: 1024 ** 3, memorySwapBytes: -1 } },
  {
    words: "-c 512 --cpu-period 50000 --cpu-quota 25000",
    is: { cpuShares: 512, cpuPeriodUs: 50_000, cpuQuotaUs: 25_000 },
  },
  { words: "--cpuset-cpus 0-1 --cpuset-mems 0", is: { cpusetCpus: "0-1", cpusetMems: "0" } },
  {
    words: "--resource memory=1g,cpu-shares=2 --resource cpuset-cpus=0",
    is: { memoryBytes: 1024 ** 3, cpuShares: 2, cpusetCpus: "0" },
  },
])("$words: limits", async ({ words, is }) => {
  expect((await read(words)).limits).toEqual(is);
});

test.for([
  { text: "h:1.2.3.4", is: { name: "h", address: "1.2.3.4" } },
  { text: "H=1.2.3.4", is: { name: "h", address: "1.2.3.4" } },
  { text: "six:::1", is: { name: "six", address: "::1" } },
  { text: "six=[fe80::1]", is: { name: "six", address: "fe80::1" } },
  { text: "up:host-gateway", is: { name: "up", address: "host-gateway" } },
])("--add-host $text", async ({ text, is }) => {
  expect((await read(`--add-host ${text}`)).extraHosts).toEqual([is]);
});

test.for([
  { text: "nofile=64", is: { name: "nofile", soft: 64, hard: 64 } },
  { text: "nofile=64:128", is: { name: "nofile", soft: 64, hard: 128 } },
  { text: "core=-1", is: { name: "core", soft: -1, hard: -1 } },
  { text: "core=5:-1", is: { name: "core", soft: 5, hard: -1 } },
])("--ulimit $text", async ({ text, is }) => {
  expect((await read(`--ulimit ${text}`)).ulimits).toEqual([is]);
});

test("--allow may be repeated, or hold several", async () => {
  const { allow } = await read("--allow network.host,security.insecure --allow device=v.com/c=n --allow device");
  expect(allow).toEqual(["network.host", "security.insecure", "device=v.com/c=n", "device"]);
});

const file = (path: string): unknown => ({ kind: "file", path: `${folder}/${path}` });
const value = (text: string): unknown => ({ kind: "environment", value: text });

test.for([
  { text: "id=s,src=token", id: "s", is: () => file("token") },
  { text: "ID=s,SOURCE=token", id: "s", is: () => file("token") },
  { text: 'id=s,"src=a,b"', id: "s", is: () => file("a,b") },
  { text: "id=s,env=TOKEN", id: "s", is: () => value("from outside") },
  { text: "id=s,type=env,src=TOKEN", id: "s", is: () => value("from outside") },
  { text: "id=TOKEN", id: "TOKEN", is: () => value("from outside") },
  { text: "id=TOKEN,type=env", id: "TOKEN", is: () => value("from outside") },
  { text: "id=token", id: "token", is: () => file("token") },
  { text: "id=token,type=file", id: "token", is: () => file("token") },
])("--secret $text", async ({ text, id, is }) => {
  expect([...(await read(`--secret ${text}`, { TOKEN: "from outside" })).secrets]).toEqual([[id, is()]]);
});

test.for([
  { words: "--network bridge", says: "it must be default, none or host" },
  { words: "--add-host h", says: "it must be name:address" },
  { words: "--add-host h:999.1.1.1", says: "999.1.1.1 is no IP address" },
  { words: "--ulimit nofile", says: "it must be name=soft[:hard]" },
  { words: "--ulimit nofiles=3", says: "there are core, cpu" },
  { words: "--ulimit nofile=3:2", says: "the soft limit is above the hard one" },
  { words: "--ulimit nofile=-1:2", says: "the soft limit is above the hard one" },
  { words: "--shm-size much", says: "invalid size" },
  { words: "-m 2g --memory-swap 1g", says: "Minimum memoryswap limit" },
  { words: "-m 5m", says: "Minimum memory limit allowed is 6MB" },
  { words: "--resource ram=1g", says: "there are memory" },
  { words: "--resource memory", says: "there are memory" },
  { words: "--cpu-shares x", says: "not a whole number" },
  { words: "--allow network", says: "unknown entitlement network" },
  { words: "--secret src=", says: "id is missing" },
  { words: "--secret id=NOPE,env=NOPE", says: "the variable NOPE is not set" },
  { words: "--ssh default", says: "SSH_AUTH_SOCK is not set" },
  { words: "--ssh a=token", says: "cannot read a private key from token" },
  { words: "--ssh a=nowhere", says: "no such file: nowhere" },
])("$words is refused", async ({ words, says }) => {
  await expect(read(words)).rejects.toThrow(says);
});

describe("--ssh", () => {
  test("a socket is an agent, by its own path or by SSH_AUTH_SOCK", async () => {
    const path = `${folder}/agent`;
    const server = createServer().listen(path);
    await once(server, "listening");
    try {
      const agent = { kind: "socket", path };
      const { ssh } = await read("--ssh default --ssh other=agent", { SSH_AUTH_SOCK: path });
      expect([...ssh]).toEqual([
        ["default", agent],
        ["other", agent],
      ]);
      await expect(read("--ssh a=agent,token")).rejects.toThrow("one socket, or key files, but not both");
      await expect(read("--ssh a=agent --ssh a=agent")).rejects.toThrow("--ssh gives a twice");
    } finally {
      server.close();
    }
  });

  needs("ssh-keygen")("key files are keys, several in their order", async () => {
    for (const name of ["one", "two"])
      execFileSync("ssh-keygen", ["-q", "-N", "", "-t", "ed25519", "-f", `${folder}/${name}`]);
    const source = (await read("--ssh git=one,two")).ssh.get("git");
    expect(source).toMatchObject({ kind: "keys", keys: [{ type: "private" }, { type: "private" }] });
  });
});

describe("flags of the legacy builder", () => {
  function notesOf(words: string): readonly string[] {
    const command = new Command().exitOverride();
    defineLegacyFlags(command);
    command.parse(words === "" ? [] : words.split(" "), { from: "user" });
    return legacyFlagNotes(command);
  }

  test.for([
    { words: "", warned: [] },
    { words: "--builder b", warned: [] },
    { words: "--rm --force-rm", warned: ["--rm", "--force-rm"] },
    { words: "--isolation default --security-opt x", warned: ["--isolation", "--security-opt"] },
    { words: "--compress --disable-content-trust", warned: ["--compress", "--disable-content-trust"] },
  ])("'$words' is taken, with a warning for $warned", ({ words, warned }) => {
    expect(notesOf(words)).toEqual(
      warned.map((flag) => `warning: ${flag} has no effect here, it is for the legacy builder`),
    );
  });
});
