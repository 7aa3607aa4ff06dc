/**
 * The default network: a bridge `tsbuild0` whose containers reach the outside through NAT. It exists while somebody
 * uses it: the first user makes bridge and nftables table, the last one removes them. It belongs to the machine, not to
 * a store; its state lies in /run/tsbuild/network, and one lock orders all changes.
 *
 * Users are processes of ours (a locked file each, so that kill -9 frees it) and containers (an address file each, with
 * the identity of the container's pid 1, so that a network outlives a dead monitor).
 */
import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { errnoOf, TsbuildError } from "../../errors.ts";
import { check, libc } from "../../kernel/libc.ts";
import { inNetworkNamespace, openNetlink, type PeerAddress } from "../../kernel/netlink.ts";
import { openNftables } from "../../kernel/nftables.ts";
import { startTimeOf } from "../../kernel/processes.ts";
import { randomBytes } from "../../kernel/random.ts";
import { posixSpawn, reap } from "../../kernel/spawn.ts";
import type { NetworkMode } from "../driver.ts";
import { freeSubnet, gatewayOf, hostAddresses, macOf, parseRoutes, type Subnet } from "./address-pool.ts";
import { bridgeTable, findBlockingChain, iptablesChain, iptablesRules, mayDropByIptables } from "./nat-rules.ts";

/** Names on the machine, so that tests have a network of their own. */
export interface BridgePlace {
  readonly bridge: string;
  /** The nftables table. */
  readonly table: string;
  readonly stateDir: string;
}

const machineWide: BridgePlace = { bridge: "tsbuild0", table: "tsbuild", stateDir: "/run/tsbuild/network" };

/** This process's use of the bridge. Disposing the last one in the machine removes bridge and rules. */
export interface Bridge extends Disposable {
  readonly subnet: Subnet;
  readonly gateway: string;
  /** Reserves an address for one container. Dispose it after the container has ended. */
  connect(): BridgeConnection;
}

export interface BridgeConnection extends Disposable {
  readonly mode: Extract<NetworkMode, { kind: "attached" }>;
  readonly address: string;
  readonly mac: string;
}

/** Why there is no NAT here: a sentence for people. */
export interface NoBridge {
  readonly reason: string;
}

/** Opens the bridge, or says why this machine cannot have one (no root, no nft, a firewall that drops forwards). */
export function openBridge(place: BridgePlace = machineWide): Bridge | NoBridge {
  if (process.geteuid?.() !== 0) return { reason: "setting up NAT needs root" };
  try {
    return joinBridge(place);
  } catch (error) {
    if (!(error instanceof TsbuildError)) throw error;
    return { reason: error.message };
  }
}

function joinBridge(place: BridgePlace): Bridge {
  const { stateDir } = place;
  mkdirSync(`${stateDir}/users`, { recursive: true, mode: 0o700 });
  mkdirSync(`${stateDir}/addresses`, { recursive: true, mode: 0o700 });
  const user = `${stateDir}/users/${process.pid}-${process.hrtime.bigint()}`;
  let userFd = -1;
  const subnet = locked(place, () => {
    userFd = openSync(user, "wx", 0o600);
    check(libc("flock", userFd, LOCK_EX | LOCK_NB), "locking the network's user file");
    try {
      return ensureBridge(place);
    } catch (error) {
      closeSync(userFd);
      unlinkSync(user);
      throw error;
    }
  });
  const gateway = gatewayOf(subnet);
  return {
    subnet,
    gateway,
    connect: () => connect(place, subnet, gateway),
    [Symbol.dispose]() {
      const lock = lockState(place);
      try {
        closeSync(userFd);
        rmSync(user, { force: true });
        if (!inUse(place)) removeBridge(place, lock);
      } finally {
        closeSync(lock);
      }
    },
  };
}

function ensureBridge(place: BridgePlace): Subnet {
  const { bridge, table, stateDir } = place;
  const remembered = readSubnet(place);
  if (remembered !== undefined && existsSync(`/sys/class/net/${bridge}`)) {
    using nftables = openNftables();
    // A firewall's reload may have dropped our table (CVE-2025-54410).
    if (nftables.hasTable(table)) return remembered;
  }
  const routes = parseRoutes(readFileSync("/proc/net/route", "latin1")).filter((route) => route.link !== bridge);
  const subnet = freeSubnet(routes);
  if (subnet === undefined) throw failed("every address pool for containers overlaps a route of this machine");
  using nftables = openNftables();
  const chains = nftables.chains();
  const blocking = findBlockingChain(chains);
  if (blocking !== undefined) throw failed(`a firewall drops forwarded packets (${blocking})`);
  using netlink = openNetlink();
  netlink.removeLink(bridge);
  netlink.addBridge(bridge);
  try {
    // Before it is up: no IPv6 on the bridge, so no router advertisement is ever heard or sent (CVE-2020-13401).
    writeIfThere(`/proc/sys/net/ipv6/conf/${bridge}/disable_ipv6`, "1");
    netlink.addAddress(bridge, gatewayOf(subnet), subnet.prefixLength);
    netlink.linkUp(bridge);
    allowForwarding();
    nftables.replaceTable(bridgeTable(place, subnet));
    if (mayDropByIptables(chains, readIfThere("/proc/net/ip_tables_names"))) openIptables(place);
  } catch (error) {
    netlink.removeLink(bridge);
    throw error;
  }
  writeFileSync(`${stateDir}/subnet`, `${subnet.network}/${subnet.prefixLength}`, { mode: 0o600 });
  return subnet;
}

/** Writing waits for the kernel's network lock, which the end of another network holds for long: often it is on already. */
function allowForwarding(): void {
  const file = "/proc/sys/net/ipv4/ip_forward";
  if (readFileSync(file, "latin1").trim() !== "1") writeFileSync(file, "1");
}

/**
 * Docker, ufw and others set the policy of iptables' FORWARD chain to DROP, and an accept in our own table does not undo
 * that. iptables itself adds the rules: rules that nft adds to its tables it can no longer list.
 */
function openIptables({ bridge, stateDir }: BridgePlace): void {
  const listed = spawnSync("iptables", ["-w", "-S", "FORWARD"], { encoding: "utf8" });
  const chain = listed.status === 0 ? iptablesChain(listed.stdout) : undefined;
  if (chain === undefined) return;
  writeFileSync(iptablesFile(stateDir), chain, { mode: 0o600 });
  for (const rule of iptablesRules(bridge)) {
    if (spawnSync("iptables", ["-w", "-C", chain, ...rule], { stdio: "ignore" }).status === 0) continue;
    const added = spawnSync("iptables", ["-w", "-I", chain, ...rule], { encoding: "utf8" });
    if (added.status !== 0) throw failed(`iptables: ${added.stderr.trim().split("\n")[0]}`);
  }
}

/** Names the chain that holds rules of ours. */
function iptablesFile(stateDir: string): string {
  return `${stateDir}/iptables`;
}

function readSubnet({ stateDir }: BridgePlace): Subnet | undefined {
  try {
    const [network = "", prefixLength] = readFileSync(`${stateDir}/subnet`, "latin1").split("/");
    return { network, prefixLength: Number(prefixLength) };
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * The kernel takes 20–50 ms to let go of a bridge. Nobody needs to wait for that: a child does it and holds the lock
 * until it is done, since a flock belongs to the open file that both share.
 */
function removeBridge({ bridge, table, stateDir }: BridgePlace, lock: number): void {
  rmSync(`${stateDir}/subnet`, { force: true });
  const chain = existsSync(iptablesFile(stateDir)) ? readFileSync(iptablesFile(stateDir), "latin1") : undefined;
  rmSync(iptablesFile(stateDir), { force: true });
  const rules = chain === undefined ? [] : iptablesRules(bridge);
  using nftables = openNftables();
  nftables.removeTable(table);
  const script = [
    "PATH=$0",
    // A Ctrl-C at the terminal is for whoever waits for something.
    "trap '' HUP INT TERM",
    `ip link delete ${bridge}`,
    ...rules.map((rule) => `iptables -w -D ${chain} ${rule.join(" ")}`),
  ].join("; ");
  const argv = ["sh", "-c", script, process.env["PATH"] ?? ""];
  const nothing = openSync("/dev/null", "r+");
  try {
    reap(posixSpawn({ file: "/bin/sh", argv, descriptors: [nothing, nothing, nothing, lock] }));
  } catch {
    using netlink = openNetlink();
    netlink.removeLink(bridge);
  } finally {
    closeSync(nothing);
  }
}

function connect(place: BridgePlace, subnet: Subnet, gateway: string): BridgeConnection {
  const address = locked(place, () => reserve(place, subnet));
  const mac = macOf(address);
  const file = `${place.stateDir}/addresses/${address}`;
  const attach = async (pid: number): Promise<void> => {
    writeFileSync(file, identity(pid), { mode: 0o600 });
    await plug(place.bridge, pid, { address, mac, gateway, prefixLength: subnet.prefixLength });
  };
  return {
    mode: { kind: "attached", attach },
    address,
    mac,
    [Symbol.dispose]() {
      rmSync(file, { force: true });
    },
  };
}

/** Puts a veth end `eth0` into the network namespace of `pid`. It goes away with the namespace. */
async function plug(bridge: string, pid: number, end: PeerAddress & { readonly mac: string }): Promise<void> {
  using host = openNetlink();
  const namespace = openSync(`/proc/${pid}/ns/net`, "r");
  try {
    // Not from the address: the kernel may still be taking down the link of who had it before, and waiting for that
    // costs 20 ms a container.
    const name = `tsb${randomBytes(6).toString("hex")}`;
    await host.addVeth({
      name,
      bridge,
      peer: "eth0",
      peerNamespace: namespace,
      mac: end.mac,
      mtu: outsideMtu(),
    });
    using inside = inNetworkNamespace(namespace, () => {
      writeIfThere("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1");
      return openNetlink();
    });
    inside.setUpPeer("eth0", end);
  } finally {
    closeSync(namespace);
  }
}

/** Packets that fit in here must fit where they go out. */
function outsideMtu(): number {
  const out = parseRoutes(readFileSync("/proc/net/route", "latin1")).find((route) => route.prefixLength === 0);
  if (out === undefined) return 1500;
  return Number(readFileSync(`/sys/class/net/${out.link}/mtu`, "latin1")) || 1500;
}

function reserve({ stateDir }: BridgePlace, subnet: Subnet): string {
  for (const address of hostAddresses(subnet)) {
    const file = `${stateDir}/addresses/${address}`;
    if (isAlive(file)) continue;
    writeFileSync(file, identity(process.pid), { mode: 0o600 });
    return address;
  }
  throw failed("all addresses of the container network are taken");
}

function inUse({ stateDir }: BridgePlace): boolean {
  return (
    userFiles(stateDir).some(isLocked) ||
    readdirSync(`${stateDir}/addresses`).some((address) => isAlive(`${stateDir}/addresses/${address}`))
  );
}

function userFiles(stateDir: string): readonly string[] {
  return readdirSync(`${stateDir}/users`).map((name) => `${stateDir}/users/${name}`);
}

/** True while the process that made the file lives; a file of a dead one is removed. */
function isLocked(file: string): boolean {
  const fd = openSync(file, "r");
  try {
    if (libc("flock", fd, LOCK_EX | LOCK_NB) < 0) return true;
    rmSync(file, { force: true });
    return false;
  } finally {
    closeSync(fd);
  }
}

/** An address file names pid and start time of who has it; one of a dead process is removed. */
function isAlive(file: string): boolean {
  try {
    const text = readFileSync(file, "latin1");
    if (text === identity(Number.parseInt(text, 10))) return true;
    rmSync(file, { force: true });
    return false;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}

/** `pid starttime`, or `pid gone` for a process that is not there (or a zombie). */
function identity(pid: number): string {
  return `${pid} ${startTimeOf(pid) ?? "gone"}`;
}

const LOCK_EX = 2;
const LOCK_NB = 4;

/** The sections are a few ms long, so the wait may block. Closing the fd unlocks. */
function lockState({ stateDir }: BridgePlace): number {
  const fd = openSync(`${stateDir}/lock`, "a", 0o600);
  const result = libc("flock", fd, LOCK_EX);
  if (result < 0) closeSync(fd);
  check(result, "locking the container network");
  return fd;
}

function locked<T>(place: BridgePlace, work: () => T): T {
  const fd = lockState(place);
  try {
    return work();
  } finally {
    closeSync(fd);
  }
}

function readIfThere(file: string): string {
  return existsSync(file) ? readFileSync(file, "latin1") : "";
}

function writeIfThere(file: string, value: string): void {
  if (existsSync(file)) writeFileSync(file, value);
}

function failed(what: string, cause?: unknown): TsbuildError {
  return new TsbuildError({ code: "RUNTIME_FAILED", what, cause });
}
