/**
 * The OCI runtime spec of a container as people ask for it: what Docker gives a container by default, with the changes
 * that flags make. A pure function; `crun run` and `runc run` accept the result as it is.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import type {
  DeviceSpec,
  MountSpec,
  NamespaceType,
  ProcessSpec,
  ResourcesSpec,
  RuntimeSpec,
  SeccompSpec,
} from "../oci/runtime-spec.ts";
import { hostDevices } from "./devices.ts";
import { unknownCapability } from "./drivers/errors.ts";
import { capabilities } from "./linux-constants.ts";
import { rememberProgram } from "./seccomp/compile-seccomp.ts";
import { defaultFilters } from "./seccomp/default-filters.ts";
import { defaultSeccomp, thisKernel } from "./seccomp/profile.ts";

export interface ContainerSpecOptions {
  /** At least one; looked up in the PATH of `env` unless it has a slash. */
  readonly args: readonly string[];
  /** Complete: nothing of the caller's environment is added. */
  readonly env: readonly string[];
  readonly cwd: string;
  readonly user: { readonly uid: number; readonly gid: number; readonly additionalGids: readonly number[] };
  /** Absent: the host's name, in the host's UTS namespace. */
  readonly hostname?: string;
  readonly domainname?: string;
  /** Absent: namespaces of its own. Those of the host are shared, or those at a path. */
  readonly namespaces?: SharedNamespaces;
  readonly terminal?: boolean;
  readonly consoleSize?: { readonly height: number; readonly width: number };
  readonly privileged?: boolean;
  /** Names with or without `CAP_`, or `ALL`. What is dropped is dropped first. */
  readonly capAdd?: readonly string[];
  readonly capDrop?: readonly string[];
  readonly readonlyRootfs?: boolean;
  /** After the default mounts, sorted by depth of their destination. One at a default's destination replaces it. */
  readonly mounts?: readonly MountSpec[];
  /** Beside the default ones; one at the path of another replaces it. */
  readonly devices?: readonly DeviceSpec[];
  /** 64 MiB unless told. */
  readonly shmSizeBytes?: number;
  /** `host` has no network namespace; the others do. */
  readonly network: "none" | "host" | "attached";
  /** Ports below 1024 and pings are for every user, as in Docker's containers; BuildKit's steps go without. Default: true. */
  readonly openPorts?: boolean;
  readonly seccomp?: "default" | "unconfined" | SeccompSpec;
  readonly noNewPrivileges?: boolean;
  /** `/tsbuild/<id>`; absent: no cgroup of its own. */
  readonly cgroupsPath?: string;
  readonly resources?: ResourcesSpec;
  /** Names without `RLIMIT_`, as `--ulimit` has them. */
  readonly ulimits?: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly oomScoreAdj?: number;
  readonly sysctl?: Readonly<Record<string, string>>;
  readonly hooks?: NonNullable<RuntimeSpec["hooks"]>;
}

export interface SharedNamespaces {
  readonly pid?: "host" | { readonly path: string };
  readonly ipc?: "host";
  readonly cgroup?: "host";
}

/** Docker's fourteen; as a mask a80425fb. */
export const defaultCapabilities: readonly string[] = [
  "CAP_AUDIT_WRITE",
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_MKNOD",
  "CAP_NET_BIND_SERVICE",
  "CAP_NET_RAW",
  "CAP_SETFCAP",
  "CAP_SETGID",
  "CAP_SETPCAP",
  "CAP_SETUID",
  "CAP_SYS_CHROOT",
];

const maskedPaths: readonly string[] = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];

const readonlyPaths: readonly string[] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/** The host's processors, found once: a path per processor. */
let throttlePaths: readonly string[] | undefined;

export function defaultMaskedPaths(): readonly string[] {
  throttlePaths ??= findThrottlePaths();
  return [...maskedPaths, ...throttlePaths];
}

/** Not globSync: its first call takes 9 ms. */
function findThrottlePaths(): readonly string[] {
  const folder = "/sys/devices/system/cpu";
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => /^cpu\d+$/.test(name))
    .map((name) => `${folder}/${name}/thermal_throttle`)
    .filter((path) => existsSync(path))
    .sort();
}

const devices: readonly DeviceSpec[] = [
  { path: "/dev/null", type: "c", major: 1, minor: 3, fileMode: 0o666, uid: 0, gid: 0 },
  { path: "/dev/zero", type: "c", major: 1, minor: 5, fileMode: 0o666, uid: 0, gid: 0 },
  { path: "/dev/full", type: "c", major: 1, minor: 7, fileMode: 0o666, uid: 0, gid: 0 },
  { path: "/dev/random", type: "c", major: 1, minor: 8, fileMode: 0o666, uid: 0, gid: 0 },
  { path: "/dev/urandom", type: "c", major: 1, minor: 9, fileMode: 0o666, uid: 0, gid: 0 },
  { path: "/dev/tty", type: "c", major: 5, minor: 0, fileMode: 0o666, uid: 0, gid: 0 },
];

type DeviceRules = NonNullable<ResourcesSpec["devices"]>;

/** Nodes of any kind may be made; opened only these, the console and terminals. */
const deviceRules: DeviceRules = [
  { allow: false, access: "rwm" },
  { allow: true, type: "c", access: "m" },
  { allow: true, type: "b", access: "m" },
  ...devices.map(({ major, minor }) => ({ allow: true, type: "c" as const, major, minor, access: "rwm" })),
  { allow: true, type: "c", major: 5, minor: 1, access: "rwm" },
  { allow: true, type: "c", major: 5, minor: 2, access: "rwm" },
  { allow: true, type: "c", major: 136, access: "rwm" },
];

const MIB = 1024 * 1024;

/** @throws {TsbuildError} `INVALID_ARGUMENT` for a capability that does not exist. */
export function containerSpec(options: ContainerSpecOptions): RuntimeSpec {
  const privileged = options.privileged === true;
  const held = privileged ? ownCapabilities() : heldCapabilities(options.capAdd ?? [], options.capDrop ?? []);
  const seccomp = seccompOf(options, held);
  return {
    ociVersion: "1.0.2",
    process: processSpec(options, held),
    root: { path: "rootfs", readonly: options.readonlyRootfs === true },
    ...(options.hostname === undefined ? {} : { hostname: options.hostname }),
    ...(options.domainname === undefined ? {} : { domainname: options.domainname }),
    mounts: mountsOf(options, privileged),
    ...(options.hooks !== undefined && Object.keys(options.hooks).length > 0 && { hooks: options.hooks }),
    linux: {
      namespaces: namespacesOf(options),
      devices: devicesOf(options),
      ...(options.cgroupsPath === undefined ? {} : { cgroupsPath: options.cgroupsPath }),
      resources: {
        ...options.resources,
        devices: privileged
          ? [{ allow: true, access: "rwm" }]
          : [...deviceRules, ...(options.resources?.devices ?? [])],
      },
      ...(seccomp === undefined ? {} : { seccomp }),
      maskedPaths: privileged ? [] : defaultMaskedPaths(),
      readonlyPaths: privileged ? [] : readonlyPaths,
      ...sysctlOf(options),
    },
  };
}

/** Those that a container may use, it has nodes of. */
function devicesOf(options: ContainerSpecOptions): readonly DeviceSpec[] {
  const byPath = new Map<string, DeviceSpec>();
  const host = options.privileged === true ? hostDevices() : [];
  for (const device of [...host, ...devices, ...(options.devices ?? [])]) byPath.set(device.path, device);
  return [...byPath.values()];
}

function processSpec(options: ContainerSpecOptions, held: readonly string[]): ProcessSpec {
  const root = options.user.uid === 0;
  return {
    terminal: options.terminal === true,
    ...(options.consoleSize === undefined ? {} : { consoleSize: options.consoleSize }),
    user: {
      uid: options.user.uid,
      gid: options.user.gid,
      // The primary group too (CVE-2022-36109): giving up one's gid must not give the access of "other".
      additionalGids: [...new Set([options.user.gid, ...options.user.additionalGids])],
      umask: 0o022,
    },
    args: options.args,
    env: options.env,
    cwd: options.cwd,
    // Inheritable stays empty (CVE-2022-24769): with it, file capabilities would give back what was dropped.
    capabilities: {
      bounding: held,
      effective: root ? held : [],
      permitted: root ? held : [],
      inheritable: [],
      ambient: [],
    },
    rlimits: rlimitsOf(options.ulimits ?? []),
    noNewPrivileges: options.noNewPrivileges === true,
    ...(options.oomScoreAdj === undefined ? {} : { oomScoreAdj: options.oomScoreAdj }),
  };
}

const MAX_OPEN_FILES = { soft: 1024, hard: 524_288 } as const;

/**
 * The number of open files is the same for everyone: Node raises its own soft limit to the hard one, and there are
 * programs that close every descriptor they might have. The other limits are the caller's.
 */
function rlimitsOf(ulimits: NonNullable<ContainerSpecOptions["ulimits"]>): NonNullable<ProcessSpec["rlimits"]> {
  const asked = ulimits.map(({ name, soft, hard }) => ({ type: `RLIMIT_${name.toUpperCase()}`, soft, hard }));
  if (asked.some((limit) => limit.type === "RLIMIT_NOFILE")) return asked;
  const hard = Math.min(ownHardLimit(), MAX_OPEN_FILES.hard);
  return [{ type: "RLIMIT_NOFILE", soft: Math.min(MAX_OPEN_FILES.soft, hard), hard }, ...asked];
}

let hardLimit: number | undefined;

function ownHardLimit(): number {
  if (hardLimit !== undefined) return hardLimit;
  // "Max open files            1024                 524288               files"
  const word = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1];
  hardLimit = word === undefined || word === "unlimited" ? Number.POSITIVE_INFINITY : Number(word);
  return hardLimit;
}

/** All: what we have ourselves. Nobody can give more. */
export function ownCapabilities(): readonly string[] {
  const mask = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1] ?? "0"}`);
  return capabilities.filter((_, number) => (mask & (1n << BigInt(number))) !== 0n);
}

function capabilityName(name: string): string {
  const upper = name.toUpperCase();
  const full = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  if (!capabilities.includes(full)) throw unknownCapability(name);
  return full;
}

function isAll(name: string): boolean {
  return name.toUpperCase() === "ALL" || name.toUpperCase() === "CAP_ALL";
}

function heldCapabilities(add: readonly string[], drop: readonly string[]): readonly string[] {
  const held = new Set(drop.some(isAll) ? [] : defaultCapabilities);
  for (const name of drop) if (!isAll(name)) held.delete(capabilityName(name));
  if (add.some(isAll)) for (const name of ownCapabilities()) held.add(name);
  for (const name of add) if (!isAll(name)) held.add(capabilityName(name));
  // `--cap-add ALL --cap-drop X`: all but X.
  if (add.some(isAll)) for (const name of drop) if (!isAll(name)) held.delete(capabilityName(name));
  return [...held].sort();
}

function seccompOf(options: ContainerSpecOptions, held: readonly string[]): SeccompSpec | undefined {
  if (options.seccomp === "unconfined" || (options.privileged === true && options.seccomp === undefined)) {
    return undefined;
  }
  if (typeof options.seccomp === "object") return options.seccomp;
  const arch = process.arch === "arm64" ? "arm64" : "x64";
  const spec = defaultSeccomp({ capabilities: held, arch, kernel: thisKernel() });
  const isDefault =
    held.length === defaultCapabilities.length && defaultCapabilities.every((name) => held.includes(name));
  if (isDefault) rememberProgram(spec, Buffer.from(defaultFilters[arch], "base64"));
  return spec;
}

function namespacesOf(options: ContainerSpecOptions): RuntimeSpec["linux"]["namespaces"] {
  const { pid, ipc, cgroup } = options.namespaces ?? {};
  const own = (type: NamespaceType, isOwn: boolean): readonly { readonly type: NamespaceType }[] =>
    isOwn ? [{ type }] : [];
  return [
    ...(typeof pid === "object" ? [{ type: "pid" as const, path: pid.path }] : own("pid", pid === undefined)),
    ...own("ipc", ipc === undefined),
    ...own("mount", true),
    ...own("cgroup", cgroup === undefined),
    ...own("uts", options.hostname !== undefined),
    ...own("network", options.network !== "host"),
  ];
}

function sysctlOf(options: ContainerSpecOptions): { readonly sysctl?: Readonly<Record<string, string>> } {
  const own =
    options.network === "host" || options.openPorts === false
      ? {}
      : { "net.ipv4.ping_group_range": "0 2147483647", "net.ipv4.ip_unprivileged_port_start": "0" };
  const sysctl = { ...own, ...options.sysctl };
  return Object.keys(sysctl).length === 0 ? {} : { sysctl };
}

function mountsOf(options: ContainerSpecOptions, privileged: boolean): MountSpec[] {
  const extra = [...(options.mounts ?? [])].sort((a, b) => depth(a.destination) - depth(b.destination));
  const replaced = new Set(extra.map((mount) => mount.destination));
  return [...defaultMounts(options, privileged).filter((mount) => !replaced.has(mount.destination)), ...extra];
}

/** A target inside another is mounted after it. */
function depth(path: string): number {
  return path.split("/").filter((part) => part !== "").length;
}

function defaultMounts(options: ContainerSpecOptions, privileged: boolean): MountSpec[] {
  const access = privileged ? "rw" : "ro";
  const shmBytes = options.shmSizeBytes ?? 64 * MIB;
  const sharesIpc = options.namespaces?.ipc === "host";
  return [
    { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", access] },
    {
      destination: "/sys/fs/cgroup",
      type: "cgroup",
      source: "cgroup",
      options: ["nosuid", "noexec", "nodev", "relatime", access],
    },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
    sharesIpc
      ? { destination: "/dev/shm", type: "bind", source: "/dev/shm", options: ["rbind", "nosuid", "noexec", "nodev"] }
      : {
          destination: "/dev/shm",
          type: "tmpfs",
          source: "shm",
          options: ["nosuid", "noexec", "nodev", "mode=1777", `size=${shmBytes}`],
        },
  ];
}
