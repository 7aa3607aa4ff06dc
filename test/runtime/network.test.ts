import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { freeSubnet, gatewayOf, hostAddresses, macOf, parseRoutes } from "../../src/runtime/network/address-pool.ts";
import { type Bridge, openBridge } from "../../src/runtime/network/bridge.ts";
import { findBlockingChain, iptablesChain, mayDropByIptables } from "../../src/runtime/network/nat-rules.ts";

describe("address pools", () => {
  test("the first pool without a route on it is taken, and a default route takes none", () => {
    expect(freeSubnet([{ network: "0.0.0.0", prefixLength: 0 }])?.network).toBe("172.17.0.0");
    expect(freeSubnet([{ network: "172.17.0.0", prefixLength: 16 }])?.network).toBe("172.18.0.0");
    expect(freeSubnet([{ network: "172.16.0.0", prefixLength: 12 }])?.network).toBe("192.168.0.0");
    expect(freeSubnet([{ network: "172.18.4.0", prefixLength: 24 }])?.network).toBe("172.17.0.0");
    expect(
      freeSubnet([
        { network: "172.16.0.0", prefixLength: 12 },
        { network: "192.168.0.0", prefixLength: 16 },
      ]),
    ).toBeUndefined();
  });

  test("no pool is given out that a route lies in or around", () => {
    const octet = fc.integer({ min: 0, max: 255 });
    const route = fc.record({
      network: fc.tuple(fc.constantFrom(172, 192, 10), octet, octet).map(([a, b, c]) => `${a}.${b}.${c}.0`),
      prefixLength: fc.integer({ min: 8, max: 24 }),
    });
    const number = (address: string) => address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
    fc.assert(
      fc.property(fc.array(route), (routes) => {
        const subnet = freeSubnet(routes);
        if (subnet === undefined) return;
        const first = number(subnet.network);
        const last = first + 2 ** (32 - subnet.prefixLength) - 1;
        for (const { network, prefixLength } of routes) {
          const size = 2 ** (32 - prefixLength);
          const from = Math.floor(number(network) / size) * size;
          expect(from > last || from + size - 1 < first).toBe(true);
        }
      }),
    );
  });

  test("the gateway is the first address, containers get those after it", () => {
    const subnet = { network: "172.17.0.0", prefixLength: 16 };
    expect(gatewayOf(subnet)).toBe("172.17.0.1");
    expect(hostAddresses(subnet).take(2).toArray()).toEqual(["172.17.0.2", "172.17.0.3"]);
    expect(hostAddresses({ network: "192.168.0.0", prefixLength: 30 }).toArray()).toEqual(["192.168.0.2"]);
    expect(macOf("172.17.0.10")).toBe("02:42:ac:11:00:0a");
  });

  test("/proc/net/route is read with its little-endian words", () => {
    const table =
      "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n" +
      "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n" +
      "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
    expect(parseRoutes(table)).toEqual([
      { link: "eth0", network: "0.0.0.0", prefixLength: 0 },
      { link: "eth0", network: "192.0.2.0", prefixLength: 24 },
    ]);
  });
});

test("a forward chain of another firewall with policy drop is found", () => {
  const chain = (table: string, policy: "accept" | "drop", name = "filter_FORWARD") => ({
    family: "ip",
    table,
    name,
    hook: 2,
    policy,
  });
  expect(findBlockingChain([chain("filter", "accept")])).toBeUndefined();
  expect(findBlockingChain([chain("filter", "drop")])).toBe("filter/filter_FORWARD");
  expect(findBlockingChain([{ ...chain("filter", "drop"), hook: 1 }])).toBeUndefined();
  expect(findBlockingChain([{ ...chain("filter", "drop"), family: "bridge" }])).toBeUndefined();
  // iptables' own chain is opened with iptables.
  expect(findBlockingChain([chain("filter", "drop", "FORWARD")])).toBeUndefined();
  expect(mayDropByIptables([chain("filter", "drop", "FORWARD")], "")).toBe(true);
  expect(mayDropByIptables([chain("filter", "accept", "FORWARD")], "nat\n")).toBe(false);
  expect(mayDropByIptables([], "nat\nfilter\n")).toBe(true);
});

test.for([
  ["-P FORWARD ACCEPT\n", undefined],
  ["-P FORWARD DROP\n", "FORWARD"],
  ["-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-ISOLATION-STAGE-1\n", "DOCKER-USER"],
] as const)("iptables says %j: containers are let through in %s", ([rules, chain]) => {
  expect(iptablesChain(rules)).toBe(chain);
});

describe.skipIf(process.getuid?.() !== 0 || spawnSync("nft", ["--version"]).status !== 0)("the bridge", () => {
  const started: ChildProcess[] = [];
  const stateDir = mkdtempSync(join(tmpdir(), "tsbuild-test-network-"));
  const place = { bridge: `tsbt${process.pid}`, table: `tsbuild_test_${process.pid}`, stateDir };
  const bridgeIsThere = () => existsSync(`/sys/class/net/${place.bridge}`);
  const tables = () => spawnSync("nft", ["list", "tables"], { encoding: "utf8" }).stdout;
  afterAll(() => rmSync(stateDir, { recursive: true }));

  /** A process with a network namespace of its own, standing for a container. */
  async function namespace(): Promise<ChildProcess & { readonly pid: number }> {
    const child = spawn("unshare", ["--net", "sh", "-c", "echo ready; exec sleep 60"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    started.push(child);
    await once(child.stdout as NodeJS.ReadableStream, "data");
    return child as ChildProcess & { readonly pid: number };
  }

  async function end(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  afterEach(async () => {
    for (const child of started.splice(0)) await end(child);
  });

  function open(): Bridge {
    const bridge = openBridge(place);
    if ("reason" in bridge) throw new Error(bridge.reason);
    return bridge;
  }

  /** What a TCP connection from within prints; not a sync spawn, since the server is in this process. */
  async function say(pid: number, host: string, port: number): Promise<string> {
    const child = spawn("nsenter", [
      "-t",
      String(pid),
      "-n",
      "bash",
      "-c",
      `exec 2>&1; cat <>/dev/tcp/${host}/${port}`,
    ]);
    started.push(child);
    return (await child.stdout.toArray()).join("");
  }

  const inside = (pid: number, ...args: readonly string[]) =>
    spawnSync("nsenter", ["-t", String(pid), "-n", ...args], { encoding: "utf8" });

  test("a container has an address, a default route, and reaches gateway and neighbour", async () => {
    using bridge = open();
    const [one, two] = [await namespace(), await namespace()];
    using first = bridge.connect();
    using second = bridge.connect();
    await first.mode.attach(one.pid);
    await second.mode.attach(two.pid);
    expect(inside(one.pid, "ip", "-br", "-4", "addr").stdout).toContain(`${first.address}/16`);
    expect(inside(one.pid, "ip", "route").stdout).toContain(`default via ${bridge.gateway} dev eth0`);
    expect(inside(one.pid, "ip", "-6", "addr", "show", "eth0").stdout).toBe("");
    const server = createServer((socket) => socket.end("hello\n")).listen(0, bridge.gateway);
    await once(server, "listening");
    const { port } = server.address() as { readonly port: number };
    expect(await say(one.pid, bridge.gateway, port)).toBe("hello\n");
    server.close();
    // Nobody listens there, but the neighbour itself says so.
    expect(await say(one.pid, second.address, 9)).toContain("refused");
    await end(one);
    await end(two);
  });

  test("the last user takes bridge, rules and state with it", async () => {
    const first = open();
    const second = open();
    expect(second.subnet).toEqual(first.subnet);
    first[Symbol.dispose]();
    expect(bridgeIsThere()).toBe(true);
    second[Symbol.dispose]();
    await expect.poll(bridgeIsThere).toBe(false);
    await expect.poll(tables).not.toContain(place.table);
  });

  test("the bridge stays while a container lives whose monitor has gone, and goes with the next user after it", async () => {
    const container = await namespace();
    const bridge = open();
    await bridge.connect().mode.attach(container.pid);
    bridge[Symbol.dispose]();
    expect(bridgeIsThere()).toBe(true);
    await end(container);
    open()[Symbol.dispose]();
    await expect.poll(bridgeIsThere).toBe(false);
  });

  test("addresses of killed processes are given out again", async () => {
    using bridge = open();
    const child = await namespace();
    const connection = bridge.connect();
    await connection.mode.attach(child.pid);
    await end(child);
    using next = bridge.connect();
    expect(next.address).toBe(connection.address);
  });

  test("nft shows the rules as they are meant", () => {
    using bridge = open();
    const { stdout } = spawnSync("nft", ["list", "table", "ip", place.table], { encoding: "utf8" });
    const rules = stdout.split("\n").map((line) => line.trim());
    const { network, prefixLength } = bridge.subnet;
    expect(rules.filter((line) => !/^[}]?$/.test(line))).toEqual([
      `table ip ${place.table} {`,
      "chain postrouting {",
      "type nat hook postrouting priority srcnat; policy accept;",
      `ip saddr ${network}/${prefixLength} oifname != "${place.bridge}" masquerade`,
      "chain forward {",
      "type filter hook forward priority filter; policy accept;",
      `oifname "${place.bridge}" ct state established,related accept`,
      `oifname "${place.bridge}" iifname != "${place.bridge}" drop`,
    ]);
  });

  test("rules that a firewall's reload dropped are made again", () => {
    using _bridge = open();
    spawnSync("nft", ["delete", "table", "ip", place.table]);
    using _again = open();
    expect(tables()).toContain(place.table);
    expect(readFileSync("/proc/sys/net/ipv4/ip_forward", "latin1").trim()).toBe("1");
  });

  test.skipIf(spawnSync("iptables", ["--version"]).status !== 0)(
    "with docker's firewall on the machine containers still reach the outside, and its chains are as before afterwards",
    async () => {
      const script = join(import.meta.dirname, "bridge-behind-docker.ts");
      // A sysfs of its own, since that shows the links of the network namespace it was mounted in.
      const inside = 'mount -t sysfs sysfs /sys && exec "$0" "$1"';
      const child = spawn("unshare", ["--net", "--mount", "sh", "-c", inside, process.execPath, script]);
      started.push(child);
      const [out, error] = await Promise.all([child.stdout.toArray(), child.stderr.toArray()]);
      expect(error.join("")).toBe("");
      const seen = JSON.parse(out.join("")) as Record<string, string>;
      expect(seen["answer"]).toContain("refused");
      expect(seen["whileOpen"]).toContain("-j ACCEPT");
      expect(seen["after"]).toBe(seen["before"]);
    },
  );
});
