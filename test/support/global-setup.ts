/**
 * Before all tests: the shipped program is up to date, and the programs of others that tests need are there (installed
 * when this is root on Debian). After all tests: nothing of theirs is left on the machine, or the run fails.
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { leftovers, machineState } from "./leftovers.ts";
import { lacks } from "./needs.ts";

const root = new URL("../../", import.meta.url).pathname;

/** Programs (or conditions of needs.ts) and the Debian packages that bring them. */
const packages: Readonly<Record<string, string>> = {
  "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
  "busybox-static": "busybox-static",
  crun: "crun",
  "docker-registry": "docker-registry",
  runc: "runc",
  dash: "dash",
  git: "git",
  openssl: "openssl",
  skopeo: "skopeo",
  ssh: "openssh-client",
  sshd: "openssh-server",
  umoci: "umoci",
  xz: "xz-utils",
  zstd: "zstd",
};

export default function setup(): () => Promise<void> {
  buildIfOlder();
  installWhatIsMissing();
  // Processes inherit it: whatever carries it afterwards was left by this run.
  const mark = randomBytes(8).toString("hex");
  process.env["TSBUILD_TEST_RUN"] = mark;
  const before = machineState();
  return async () => {
    // Other runs on the same machine would be taken for leftovers of a part of the suite run by hand.
    if (process.env["npm_lifecycle_event"] !== "test" && process.env["CI"] === undefined) return;
    // The kernel takes a moment to let go of a bridge, and vitest to end its workers.
    let left = leftovers(before, mark);
    for (const deadline = performance.now() + 3000; left.length > 0 && performance.now() < deadline; ) {
      await delay(50);
      left = leftovers(before, mark);
    }
    if (left.length === 0) return;
    throw new Error(`the tests left ${left.length} things behind:\n${left.map((line) => `  ${line}`).join("\n")}`);
  };
}

function buildIfOlder(): void {
  const built = statSync(join(root, "dist/cli.js"), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (newest(join(root, "src")) < built) return;
  execFileSync(process.execPath, [join(root, "scripts/build.mjs"), "--fast"], {
    stdio: ["ignore", "ignore", "inherit"],
  });
}

function newest(folder: string): number {
  const times = readdirSync(folder, { withFileTypes: true }).map((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? newest(path) : statSync(path).mtimeMs;
  });
  return Math.max(0, ...times);
}

function installWhatIsMissing(): void {
  const missing = Object.entries(packages).flatMap(([program, name]) => (lacks(program) ? [name] : []));
  if (missing.length === 0) return;
  const canInstall = process.getuid?.() === 0 && existsSync("/etc/debian_version") && existsSync("/usr/bin/apt-get");
  if (!canInstall) return;
  process.stderr.write(`installing for the tests: ${missing.join(" ")}\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const options = { env, stdio: ["ignore", "ignore", "inherit"] as const };
  // docker-registry's package would start a server of its own.
  const policy = "/usr/sbin/policy-rc.d";
  const hasPolicy = existsSync(policy);
  if (!hasPolicy) writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    execFileSync("apt-get", ["-q", "update"], { ...options, stdio: [...options.stdio] });
    execFileSync("apt-get", ["-q", "install", "-y", "--no-install-recommends", ...missing], {
      ...options,
      stdio: [...options.stdio],
    });
  } catch (error) {
    // The tests that need them are skipped, and listed.
    process.stderr.write(`could not install them: ${error instanceof Error ? error.message : String(error)}\n`);
  } finally {
    if (!hasPolicy) rmSync(policy);
  }
}
