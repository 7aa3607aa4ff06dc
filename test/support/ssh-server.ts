/**
 * A real sshd at ports 22 and 2222 of a network namespace that holds nothing else, with keys of its own; whoever has
 * `key` may come in as the user who runs this. Needs root, sshd, ip and nsenter.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { findProgram } from "./needs.ts";

export interface SshServer extends AsyncDisposable {
  readonly user: string;
  /** A private key without a passphrase. */
  readonly key: string;
  /** Words that a command's own follow: it runs where the server is. */
  readonly inside: readonly string[];
  /** From now on the server shows another key. */
  changeHostKey(): Promise<void>;
}

export async function sshServer(folder: string): Promise<SshServer> {
  const makeKey = (name: string): string => {
    const file = join(folder, name);
    for (const old of [file, `${file}.pub`]) rmSync(old, { force: true });
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", file]);
    return file;
  };
  const hostKey = makeKey("host-key");
  const key = makeKey("user-key");
  writeFileSync(join(folder, "authorized"), readFileSync(`${key}.pub`), { mode: 0o600 });
  const config = join(folder, "sshd_config");
  const lines = [
    "Port 22",
    "Port 2222",
    "ListenAddress 127.0.0.1",
    `HostKey ${hostKey}`,
    `AuthorizedKeysFile ${join(folder, "authorized")}`,
    "AuthenticationMethods publickey",
    "PermitRootLogin prohibit-password",
    "StrictModes no",
    "UsePAM no",
    "PidFile none",
  ];
  writeFileSync(config, `${lines.join("\n")}\n`);
  // Debian's sshd wants it; its service would have made it.
  const separation = "/run/sshd";
  const madeSeparation = !existsSync(separation);
  if (madeSeparation) mkdirSync(separation, { mode: 0o755 });
  const holder = spawn("unshare", ["--net", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise((resolve) => holder.stdout?.once("data", resolve));
  const inside = ["nsenter", `--net=/proc/${holder.pid}/ns/net`];
  const start = async (): Promise<ChildProcess> => {
    const [program = "", ...args] = [...inside, findProgram("sshd") ?? "sshd", "-D", "-e", "-f", config];
    const sshd = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    sshd.stderr?.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    // It says so for each port.
    for (const deadline = performance.now() + 10_000; said.split("Server listening").length < 3; await delay(10))
      if (sshd.exitCode !== null || performance.now() > deadline) throw new Error(`sshd did not start: ${said}`);
    return sshd;
  };
  let sshd = await start();
  return {
    user: userInfo().username,
    key,
    inside,
    async changeHostKey() {
      await ended(sshd);
      makeKey("host-key");
      sshd = await start();
    },
    async [Symbol.asyncDispose]() {
      await ended(sshd);
      await ended(holder);
      if (madeSeparation) rmSync(separation, { recursive: true });
    },
  };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const end = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await end;
}
