/** Debian's docker-registry on a free loopback port, with its storage in a temporary folder. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { findProgram } from "./needs.ts";

export interface RunningRegistry extends AsyncDisposable {
  /** `127.0.0.1:43210` */
  readonly host: string;
}

export interface RegistryOptions {
  /** A line of a bcrypt htpasswd file; the registry then wants basic credentials. */
  readonly htpasswd?: string;
}

/** `user` / `secret`. */
export const htpasswdOfUser = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a";

export async function startDockerRegistry(options: RegistryOptions = {}): Promise<RunningRegistry> {
  const folder = mkdtempSync("/tmp/tsbuild-test-registry-");
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  const auth =
    options.htpasswd === undefined
      ? ""
      : `auth:\n  htpasswd:\n    realm: test\n    path: ${join(folder, "htpasswd")}\n`;
  if (options.htpasswd !== undefined) writeFileSync(join(folder, "htpasswd"), `${options.htpasswd}\n`);
  writeFileSync(
    join(folder, "config.yml"),
    `version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: ${join(folder, "data")}\n  delete:\n    enabled: true\nhttp:\n  addr: ${host}\n${auth}`,
  );
  const child = spawn(findProgram("docker-registry") ?? "docker-registry", ["serve", join(folder, "config.yml")], {
    stdio: "ignore",
  });
  try {
    await answering(host, child);
  } catch (error) {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true });
    throw error;
  }
  return {
    host,
    async [Symbol.asyncDispose]() {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}

async function answering(host: string, child: ChildProcess): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (performance.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`docker-registry ended with ${child.exitCode}`);
    const answer = await fetch(`http://${host}/v2/`).catch(() => undefined);
    if (answer !== undefined) return;
    await delay(20);
  }
  throw new Error("docker-registry does not answer");
}

function freePort(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const server = createServer().listen(0, "127.0.0.1", () => {
    const address = server.address();
    server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
  });
  return promise;
}
