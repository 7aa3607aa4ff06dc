/**
 * Runs in a network namespace of its own: a machine with docker's firewall, a host behind its uplink, and a container on
 * our bridge that calls that host. Prints what was seen, as JSON.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { openBridge } from "../../src/runtime/network/bridge.ts";

const outside = "10.9.0.2";
const run = (command: string): string => execFileSync("sh", ["-ec", command], { encoding: "utf8" });

async function namespace(): Promise<ChildProcess & { readonly pid: number }> {
  const child = spawn("unshare", ["--net", "sh", "-c", "echo ready; exec sleep 60"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  await once(child.stdout as NodeJS.ReadableStream, "data");
  return child as ChildProcess & { readonly pid: number };
}

const [host, container] = [await namespace(), await namespace()];
const stateDir = mkdtempSync(join(tmpdir(), "tsbuild-test-docker-"));
try {
  run(`
    ip link set lo up
    ip link add up0 type veth peer name out0 netns ${host.pid}
    ip addr add 10.9.0.1/24 dev up0; ip link set up0 up
    nsenter -t ${host.pid} -n ip addr add ${outside}/24 dev out0
    nsenter -t ${host.pid} -n ip link set out0 up
    ip route add default via ${outside}
    iptables -P FORWARD DROP; iptables -N DOCKER-USER; iptables -A DOCKER-USER -j RETURN
    iptables -I FORWARD -j DOCKER-USER
  `);
  const before = run("iptables -S");
  const bridge = openBridge({ bridge: "tsbt0", table: "tsbuild", stateDir });
  if ("reason" in bridge) throw new Error(bridge.reason);
  const connection = bridge.connect();
  await connection.mode.attach(container.pid);
  const whileOpen = run("iptables -S DOCKER-USER");
  const call = `exec 2>&1; exec 3<>/dev/tcp/${outside}/9`;
  const answer = spawnSync("nsenter", ["-t", String(container.pid), "-n", "timeout", "3", "bash", "-c", call], {
    encoding: "utf8",
  }).stdout;
  container.kill("SIGKILL");
  await once(container, "exit");
  connection[Symbol.dispose]();
  bridge[Symbol.dispose]();
  const deadline = Date.now() + 5000;
  while (run("iptables -S") !== before && Date.now() < deadline) await delay(20);
  process.stdout.write(JSON.stringify({ before, whileOpen, answer, after: run("iptables -S") }));
} finally {
  host.kill("SIGKILL");
  container.kill("SIGKILL");
  rmSync(stateDir, { recursive: true, force: true });
}
