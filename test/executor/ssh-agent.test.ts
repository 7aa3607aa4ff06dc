import { execFileSync, spawn } from "node:child_process";
import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { forwardAgent } from "../../src/executor/ssh/forward-agent.ts";
import { keyAgent } from "../../src/executor/ssh/key-agent.ts";
import { parsePrivateKey } from "../../src/executor/ssh/private-key.ts";
import { WireReader, wireNumber, wireString, wireUint32 } from "../../src/executor/ssh/wire.ts";
import type { SshSource } from "../../src/planner/build-options.ts";
import { caught } from "../support/caught.ts";
import { lacks } from "../support/needs.ts";

const kinds = [
  { name: "Ed25519", flags: ["-t", "ed25519"] },
  { name: "RSA", flags: ["-t", "rsa", "-b", "2048"] },
  { name: "RSA as PEM", flags: ["-t", "rsa", "-b", "2048", "-m", "PEM"] },
  { name: "RSA as PKCS#8", flags: ["-t", "rsa", "-b", "2048", "-m", "PKCS8"] },
  { name: "ECDSA on P-256", flags: ["-t", "ecdsa", "-b", "256"] },
  { name: "ECDSA on P-256 as PEM", flags: ["-t", "ecdsa", "-b", "256", "-m", "PEM"] },
  { name: "ECDSA on P-384", flags: ["-t", "ecdsa", "-b", "384"] },
  { name: "ECDSA on P-521", flags: ["-t", "ecdsa", "-b", "521"] },
];

let folder: string;
let count = 0;

beforeAll(() => {
  folder = mkdtempSync("/tmp/tsbuild-test-ssh-");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The path of a new private key; the public one lies beside it. */
function makeKey(flags: readonly string[], passphrase = ""): string {
  const file = `${folder}/key${count++}`;
  execFileSync("ssh-keygen", ["-q", "-N", passphrase, "-C", "a comment", "-f", file, ...flags]);
  return file;
}

const readKey = (file: string): KeyObject => parsePrivateKey(readFileSync(file, "utf8"), file);

/** An agent of ours that serves these keys; `socket` is its path. */
async function serving(source: SshSource): Promise<Disposable & { readonly socket: string }> {
  const socket = `${folder}/socket${count++}`;
  const agent = await forwardAgent(source, socket, { mode: 0o600, uid: 0, gid: 0 });
  return {
    socket,
    [Symbol.dispose]() {
      agent[Symbol.dispose]();
      rmSync(socket, { force: true });
    },
  };
}

/** However it ends. */
async function closed(socket: Socket): Promise<void> {
  socket.on("error", () => undefined).resume();
  await new Promise<void>((resolve) => socket.once("close", () => resolve()));
}

interface Ran {
  readonly code: number;
  readonly output: string;
}

/** Not spawnSync: the agent lives in this process. */
async function ssh(socket: string, command: string, args: readonly string[]): Promise<Ran> {
  const child = spawn(command, args, { env: { ...process.env, SSH_AUTH_SOCK: socket } });
  let output = "";
  child.stdout.on("data", (bytes: Buffer) => (output += bytes));
  child.stderr.on("data", (bytes: Buffer) => (output += bytes));
  const [code] = await once(child, "close");
  return { code: Number(code), output };
}

describe.skipIf(lacks("ssh-keygen", "ssh-add"))("an agent for key files", () => {
  test.for(kinds)("ssh-add lists, and ssh-keygen signs with, a key of the kind $name", async ({ flags }) => {
    const file = makeKey(flags);
    using agent = await serving({ kind: "keys", keys: [readKey(file)] });
    const listed = await ssh(agent.socket, "ssh-add", ["-L"]);
    const [kind, blob] = readFileSync(`${file}.pub`, "utf8").split(" ");
    expect(listed.output.trim().split(" ").slice(0, 2)).toEqual([kind, blob]);

    // Only the public key is there: the signature can come from nowhere but the agent.
    rmSync(file);
    const message = `${file}.message`;
    writeFileSync(message, "text to sign");
    const signed = await ssh(agent.socket, "ssh-keygen", ["-Y", "sign", "-f", `${file}.pub`, "-n", "test", message]);
    expect(signed).toMatchObject({ code: 0 });
    writeFileSync(`${file}.allowed`, `me ${kind} ${blob}\n`);
    const input = readFileSync(message);
    const check = ["-Y", "verify", "-f", `${file}.allowed`, "-I", "me", "-n", "test", "-s", `${message}.sig`];
    expect(execFileSync("ssh-keygen", check, { input, encoding: "utf8" })).toContain("Good");
  });

  test.for([
    { flags: 0, name: "ssh-rsa", hash: "sha1" },
    { flags: 2, name: "rsa-sha2-256", hash: "sha256" },
    { flags: 4, name: "rsa-sha2-512", hash: "sha512" },
  ])("an RSA key signs as the flags $flags ask: $name", ({ flags, name, hash }) => {
    const key = readKey(makeKey(["-t", "rsa", "-b", "2048"]));
    const agent = keyAgent([key]);
    const list = new WireReader(agent(Buffer.from([11])).subarray(5));
    const request = [Buffer.from([13]), wireString(list.string()), wireString("data"), wireUint32(flags)];
    const answer = new WireReader(agent(Buffer.concat(request)).subarray(1));
    const signature = new WireReader(answer.string());
    expect(signature.text()).toBe(name);
    expect(verify(hash, Buffer.from("data"), createPublicKey(key), signature.string())).toBe(true);
  });

  test("several keys are listed in their order", async () => {
    const files = [makeKey(["-t", "ed25519"]), makeKey(["-t", "ecdsa"])];
    using agent = await serving({ kind: "keys", keys: files.map(readKey) });
    const { output } = await ssh(agent.socket, "ssh-add", ["-L"]);
    expect(
      output
        .trim()
        .split("\n")
        .map((line) => line.split(" ")[0]),
    ).toEqual(["ssh-ed25519", "ecdsa-sha2-nistp256"]);
  });

  test.for([
    { name: "as OpenSSH writes it", flags: ["-t", "ed25519"] },
    { name: "as PEM", flags: ["-t", "rsa", "-b", "2048", "-m", "PEM"] },
    { name: "as PKCS#8", flags: ["-t", "rsa", "-b", "2048", "-m", "PKCS8"] },
  ])("an encrypted key is refused, with the way out: $name", ({ flags }) => {
    const file = makeKey(flags, "passphrase");
    const error = caught(() => readKey(file));
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT", message: expect.stringContaining("is encrypted") });
    expect(error.hint).toContain(`ssh-add ${file}`);
  });

  test.for([
    { name: "no key", text: "hello", says: "it is no private key" },
    { name: "half a key", text: undefined, says: "damaged" },
  ])("$name is refused", ({ text, says }) => {
    const whole = readFileSync(makeKey(["-t", "ed25519"]), "utf8").split("\n");
    const half = [...whole.slice(0, 3), ...whole.slice(-2)].join("\n");
    expect(caught(() => parsePrivateKey(text ?? half, "k"))).toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(says),
    });
  });
});

describe.skipIf(lacks("ssh-agent", "ssh-add", "ssh-keygen"))("the caller's agent", () => {
  test("is there for listing and signing, and cannot be changed", async () => {
    const file = makeKey(["-t", "ed25519"]);
    const own = `${folder}/own-agent`;
    const daemon = spawn("ssh-agent", ["-D", "-a", own], { stdio: "ignore" });
    try {
      await expect.poll(() => existsSync(own)).toBe(true);
      execFileSync("ssh-add", ["-q", file], { env: { ...process.env, SSH_AUTH_SOCK: own }, stdio: "ignore" });
      using agent = await serving({ kind: "socket", path: own });
      expect((await ssh(agent.socket, "ssh-add", ["-L"])).output).toContain("a comment");
      expect((await ssh(agent.socket, "ssh-add", ["-D"])).code).not.toBe(0);
      expect((await ssh(agent.socket, "ssh-add", [makeKey(["-t", "ed25519"])])).code).not.toBe(0);
      expect((await ssh(agent.socket, "ssh-add", ["-L"])).output.trim().split("\n")).toHaveLength(1);
    } finally {
      daemon.kill();
      await once(daemon, "close");
    }
  });

  test("that has gone is a connection that ends", async () => {
    using agent = await serving({ kind: "socket", path: `${folder}/nobody` });
    const socket = createConnection(agent.socket);
    socket.write(wireString(Buffer.from([11])));
    await closed(socket);
  });
});

test("the socket has the mode and owner that were asked for", async () => {
  if (process.getuid?.() !== 0) return;
  const path = `${folder}/owned`;
  using _ = await forwardAgent({ kind: "keys", keys: [] }, path, { mode: 0o640, uid: 5, gid: 6 });
  const { mode, uid, gid } = statSync(path);
  expect([(mode & 0o7777).toString(8), uid, gid]).toEqual(["640", 5, 6]);
});

test.for([
  { name: "an empty message", bytes: wireString("") },
  { name: "a message larger than any agent takes", bytes: wireUint32(0x7fffffff) },
])("$name ends the connection", async ({ bytes }) => {
  using agent = await serving({ kind: "keys", keys: [] });
  const socket = createConnection(agent.socket);
  socket.write(bytes);
  await closed(socket);
});

test("no message of any bytes gets more than an answer of the protocol", () => {
  const agent = keyAgent([]);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect([5, 12]).toContain(agent(Buffer.from(bytes))[0]);
    }),
  );
});

test("no text is anything but a key or an error of ours", () => {
  const begin = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
  const end = "\n-----END OPENSSH PRIVATE KEY-----\n";
  const magic = Buffer.from("openssh-key-v1\0");
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, framed) => {
      const text = framed
        ? begin + Buffer.concat([magic, bytes]).toString("base64") + end
        : Buffer.from(bytes).toString();
      expect(caught(() => parsePrivateKey(text, "k"))).toMatchObject({ code: "INVALID_ARGUMENT" });
    }),
  );
});

test("numbers are written as the protocol wants them, and read back", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const written = new WireReader(wireNumber(bytes)).string();
      expect(BigInt(`0x0${written.toString("hex")}`)).toBe(BigInt(`0x0${Buffer.from(bytes).toString("hex")}`));
      expect((written[0] ?? 0) < 0x80).toBe(true);
      expect(written[0] === 0 && (written[1] ?? 0) < 0x80).toBe(false);
    }),
  );
});

test("a message that ends too early, or of an unknown kind, is answered with failure", () => {
  const agent = keyAgent([]);
  for (const message of [[13], [13, 0, 0, 0, 9, 1], [17], [99]]) expect([...agent(Buffer.from(message))]).toEqual([5]);
});
