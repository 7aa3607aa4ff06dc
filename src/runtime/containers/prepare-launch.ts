/** From a container's record to one start of it: its user looked up in its own files, its mounts, its runtime spec. */
import { hostname as hostName } from "node:os";
import { bytePath } from "../../kernel/byte-path.ts";
import { defaultPath } from "../../oci/image-config.ts";
import type { DeviceSpec, MountSpec, ResourcesSpec, RuntimeSpec, SeccompSpec } from "../../oci/runtime-spec.ts";
import { type LayeredView, layeredView } from "../../store/layered-view.ts";
import type { Store } from "../../store/store.ts";
import { invalidSecurityOption, noSuchDevice } from "../container-errors.ts";
import { containerSpec, type SharedNamespaces } from "../container-spec.ts";
import { type DeviceEdits, noDeviceEdits } from "../device-edits.ts";
import { devicesBelow } from "../devices.ts";
import { hostHostsFile, hostResolvFile, hostsFile, resolvFile, writeInPlace } from "../hosts-files.ts";
import { resourcesOf } from "../limits.ts";
import { type ReadRootFile, type ResolvedUser, resolveUser } from "../user.ts";
import { volumeData } from "../volumes.ts";
import type { TerminalSize } from "./connection.ts";
import { findContainer, type LiveContainer } from "./container-folder.ts";
import { shortId } from "./container-id.ts";
import { groupOf } from "./container-processes.ts";
import { type ContainerRecord, commandLine, type DeviceRequest } from "./container-record.ts";
import { mergeEnv } from "./create-container.ts";
import { requireRunning } from "./exec-in-container.ts";
import type { Launch } from "./launch.ts";

/** Larger account files are refused, not read (CVE-2024-9676). */
const maxAccountFileBytes = 10 * 1024 * 1024;

/**
 * Writes hosts, hostname and resolv.conf, and returns the launch.
 * @throws {TsbuildError} `USER_NOT_FOUND`, `INVALID_ARGUMENT`
 */
export async function prepareLaunch(
  store: Store,
  container: LiveContainer,
  size: TerminalSize | undefined,
  specFolders: readonly string[] | undefined,
): Promise<Launch> {
  const { record, folder } = container;
  const { host, process } = record;
  const lowerdirs = store.layers.trees(record.image.layers);
  const hostname = containerHostname(record);
  const sharesUts = host.namespaces?.uts === "host";
  const network = writeNetworkFiles(container, hostname);
  const user = resolveUser(process.user, rootFileReader([...lowerdirs, folder.upperdir]), host.groupAdd);
  const edits = await cdiEdits(host.cdiDevices ?? [], user, specFolders);
  const hostNodes = (host.devices ?? []).flatMap(requestedNodes);
  const spec = containerSpec({
    args: commandLine(process),
    env: mergeEnv(environmentOf(record, hostname, user.home), edits.env),
    cwd: process.workingDir,
    user: { ...user, additionalGids: [...user.additionalGids, ...edits.additionalGids] },
    ...(!sharesUts && { hostname, ...(record.domainname !== "" && { domainname: record.domainname }) }),
    namespaces: namespacesOf(store, host),
    terminal: process.tty,
    ...(size !== undefined && { consoleSize: { height: size.rows, width: size.columns } }),
    privileged: host.privileged,
    capAdd: host.capAdd,
    capDrop: host.capDrop,
    readonlyRootfs: host.readonlyRootfs,
    mounts: [...edits.mounts, ...mountSpecs(store, container)],
    devices: [...edits.devices, ...hostNodes.map(({ node }) => node)],
    shmSizeBytes: host.shmSizeBytes,
    network: host.network === "bridge" ? "attached" : host.network,
    ...securityOf(host.securityOpt),
    cgroupsPath: groupOf(container),
    resources: {
      ...resourcesOf(host.limits),
      devices: [...edits.rules, ...hostNodes.map(({ rule }) => rule), ...(host.deviceRules ?? []).map(deviceRule)],
    },
    ulimits: host.ulimits,
    oomScoreAdj: host.oomScoreAdj,
    sysctl: host.sysctls,
    hooks: edits.hooks,
  });
  return {
    spec: withMasks(spec, host.securityOpt),
    lowerdirs,
    network: host.network,
    hostname,
    ...network,
    init: host.init,
    tty: process.tty,
    openStdin: process.openStdin,
    stdinOnce: process.stdinOnce,
    healthcheck: process.healthcheck,
    restart: host.restart,
    autoRemove: host.autoRemove,
    log: host.log,
    runtime: host.runtime,
    storeRoot: store.root,
    sharedDir: store.runtimeFolder,
  };
}

async function cdiEdits(
  names: readonly string[],
  user: ResolvedUser,
  folders: readonly string[] | undefined,
): Promise<DeviceEdits> {
  if (names.length === 0) return noDeviceEdits;
  const { readCdi, findDevices, deviceSpecFolders } = await import("../cdi.ts");
  const { deviceEdits } = await import("../device-edits.ts");
  const cdi = await readCdi(folders ?? deviceSpecFolders);
  return deviceEdits(
    names.flatMap((name) => findDevices(cdi, { name, required: true })),
    user,
  );
}

interface RequestedNode {
  readonly node: DeviceSpec;
  readonly rule: NonNullable<ResourcesSpec["devices"]>[number];
}

/** A device, or all that lie in a folder. @throws {TsbuildError} `INVALID_ARGUMENT` */
function requestedNodes({ hostPath, containerPath, permissions }: DeviceRequest): readonly RequestedNode[] {
  const nodes = devicesBelow(hostPath, containerPath);
  if (nodes.length === 0) throw noSuchDevice(hostPath);
  return nodes.map((node) => ({
    node,
    rule: {
      allow: true,
      type: node.type === "b" ? "b" : "c",
      major: node.major,
      minor: node.minor,
      access: permissions,
    },
  }));
}

/** `c 1:3 rwm`, `a *:* rwm`: checked when the flag was read. */
function deviceRule(text: string): RequestedNode["rule"] {
  const [type = "a", numbers = "*:*", access = "rwm"] = text.split(" ");
  const [major, minor] = numbers.split(":").map((number) => (number === "*" ? undefined : Number(number)));
  return {
    allow: true,
    ...(type === "b" || type === "c" ? { type } : {}),
    ...(major !== undefined && { major }),
    ...(minor !== undefined && { minor }),
    access,
  };
}

/** @throws {TsbuildError} `CONTAINER_STATE` when the container whose namespace is shared does not run */
function namespacesOf(store: Store, { namespaces }: ContainerRecord["host"]): SharedNamespaces {
  const pid = namespaces?.pid;
  return {
    ...(namespaces?.ipc !== undefined && { ipc: namespaces.ipc }),
    ...(namespaces?.cgroup !== undefined && { cgroup: namespaces.cgroup }),
    ...(pid === "host" && { pid }),
    ...(typeof pid === "object" && {
      pid: { path: `/proc/${requireRunning(findContainer(store, pid.container)).pid}/ns/pid` },
    }),
  };
}

export function rootFileReader(trees: readonly string[]): ReadRootFile {
  const view = layeredView(trees);
  return (path) => view.readFile(bytePath(path), maxAccountFileBytes);
}

export function containerHostname(record: ContainerRecord): string {
  if (record.hostname !== "") return record.hostname;
  return record.host.network === "host" || record.host.namespaces?.uts === "host" ? hostName() : shortId(record.id);
}

/** Later wins: defaults, the image's, the caller's; HOME last, where nobody set it. */
function environmentOf(record: ContainerRecord, hostname: string, home: string): readonly string[] {
  const defaults = [`PATH=${defaultPath}`, `HOSTNAME=${hostname}`, ...(record.process.tty ? ["TERM=xterm"] : [])];
  const env = mergeEnv(defaults, record.process.env);
  return env.some((entry) => entry.startsWith("HOME=")) ? env : [...env, `HOME=${home}`];
}

function writeNetworkFiles(
  { record, folder }: LiveContainer,
  hostname: string,
): Pick<Launch, "hosts" | "gatewayNames"> {
  const { host } = record;
  // On the bridge its address is known only once it is connected.
  const onBridge = (entry: string): boolean => host.network === "bridge" && entry.endsWith(":host-gateway");
  const hostNetwork = host.network === "host";
  writeInPlace(folder.hostnameFile, `${hostname}\n`);
  const hosts = hostsFile({
    address: undefined,
    hostname,
    extraHosts: host.extraHosts.filter((entry) => !onBridge(entry)),
    gateway: undefined,
    hostFile: hostNetwork ? hostHostsFile() : undefined,
  });
  writeInPlace(folder.hostsFile, hosts);
  const { dns, dnsSearch, dnsOptions } = host;
  const hostFile = hostResolvFile(hostNetwork);
  writeInPlace(folder.resolvFile, resolvFile({ hostFile, hostNetwork, dns, dnsSearch, dnsOptions }));
  return {
    hosts,
    gatewayNames: host.extraHosts.filter(onBridge).map((entry) => entry.split(":")[0]?.toLowerCase() ?? ""),
  };
}

function mountSpecs(store: Store, { record, folder }: LiveContainer): MountSpec[] {
  const view = layeredView([...store.layers.trees(record.image.layers), folder.upperdir]);
  const bind = (destination: string, source: string, options: readonly string[]): MountSpec => ({
    destination,
    type: "bind",
    source,
    options,
  });
  const own = ["rbind", "rprivate"];
  const specs = [
    bind("/etc/resolv.conf", folder.resolvFile, own),
    bind("/etc/hostname", folder.hostnameFile, own),
    bind("/etc/hosts", folder.hostsFile, own),
  ];
  for (const [destination, options] of Object.entries(record.host.tmpfs)) specs.push(tmpfs(destination, options, view));
  for (const mount of record.mounts) {
    switch (mount.kind) {
      case "bind": {
        const access = mount.readonly ? "ro" : "rw";
        const kind = mount.recursive ? "rbind" : "bind";
        specs.push(bind(mount.destination, mount.source, [kind, access, mount.propagation]));
        break;
      }
      case "volume":
        specs.push(
          bind(mount.destination, volumeData(store, mount.name), ["rbind", mount.readonly ? "ro" : "rw", "rprivate"]),
        );
        break;
      case "tmpfs":
        specs.push(tmpfs(mount.destination, mount.options, view));
        break;
    }
  }
  // A mount of the user's own at /etc/hosts replaces ours.
  const last = new Map(specs.map((spec) => [spec.destination, spec]));
  return [...last.values()];
}

/** It has the mode of the folder that it covers, and is everyone's where there was none. As with runc. */
function tmpfs(destination: string, options: string, view: LayeredView): MountSpec {
  const given = options === "" ? [] : options.split(",");
  const covered = view.lookup(bytePath(destination));
  const mode = covered?.type === "dir" ? Number(covered.stat.mode) & 0o7777 : 0o1777;
  const own = given.some((option) => option.startsWith("mode=")) ? [] : [`mode=${mode.toString(8)}`];
  return { destination, type: "tmpfs", source: "tmpfs", options: ["noexec", "nosuid", "nodev", ...own, ...given] };
}

function securityOf(options: readonly string[]): {
  readonly seccomp?: "default" | "unconfined" | SeccompSpec;
  readonly noNewPrivileges?: boolean;
} {
  let seccomp: "default" | "unconfined" | undefined;
  let noNewPrivileges: boolean | undefined;
  for (const option of options) {
    const [key = "", value = "true"] = option.split(/[=:](.*)/s);
    if (key === "no-new-privileges") noNewPrivileges = value !== "false";
    else if (key === "seccomp" && value === "unconfined") seccomp = "unconfined";
    else if (key === "seccomp" && value === "builtin") seccomp = "default";
    else if (key === "systempaths" && value === "unconfined") continue;
    // Without AppArmor on the machine there is nothing to be confined by.
    else if ((key === "apparmor" || key === "label") && /^(unconfined|disable)$/.test(value)) continue;
    else throw invalidSecurityOption(option);
  }
  return {
    ...(seccomp !== undefined && { seccomp }),
    ...(noNewPrivileges !== undefined && { noNewPrivileges }),
  };
}

function withMasks(spec: RuntimeSpec, securityOpt: readonly string[]): RuntimeSpec {
  if (!securityOpt.includes("systempaths=unconfined")) return spec;
  return { ...spec, linux: { ...spec.linux, maskedPaths: [], readonlyPaths: [] } };
}
