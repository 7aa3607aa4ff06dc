/** A container as docker's `inspect` prints it: its fields in its order. Source: moby, api/types/container/container.go. */
import type { Store } from "../../store/store.ts";
import { containerNotFound } from "../container-errors.ts";
import { diskUsage, volumeData } from "../volumes.ts";
import { type Container, openContainer } from "./container-folder.ts";
import type { ContainerId } from "./container-id.ts";
import { type ContainerMount, type ContainerRecord, commandLine } from "./container-record.ts";
import { type ContainerState, observe } from "./container-state.ts";
import { readHealth } from "./health.ts";
import { containerHostname } from "./prepare-launch.ts";

export interface ContainerJson {
  readonly [field: string]: unknown;
}

/** @throws {TsbuildError} `CONTAINER_NOT_FOUND` */
export function inspectContainer(
  store: Store,
  id: ContainerId,
  options: { readonly size: boolean } = { size: false },
): ContainerJson {
  const container = openContainer(store, id);
  if (container === undefined) throw containerNotFound(id, undefined);
  const { folder, record } = container;
  const state = observe(folder);
  const health = readHealth(folder, state);
  if (record === undefined) return { Id: id, Name: "", State: stateJson({ ...state, status: "dead" }) };
  const words = commandLine(record.process);
  return {
    Id: id,
    Created: record.created,
    Path: words[0] ?? "",
    Args: words.slice(1),
    State: { ...stateJson(state), ...(health !== undefined && { Health: health }) },
    Image: record.image.id,
    ResolvConfPath: folder.resolvFile,
    HostnamePath: folder.hostnameFile,
    HostsPath: folder.hostsFile,
    LogPath: record.host.log.driver === "none" ? "" : folder.logFile,
    Name: `/${record.name}`,
    RestartCount: state.restartCount,
    Driver: "overlay2",
    Platform: "linux",
    MountLabel: "",
    ProcessLabel: "",
    AppArmorProfile: "",
    ExecIDs: null,
    HostConfig: hostConfigJson(record),
    GraphDriver: {
      Name: "overlay2",
      Data: {
        ID: id,
        LowerDir: record.image.layers
          .map((id) => store.layers.treePath(id))
          .toReversed()
          .join(":"),
        UpperDir: folder.upperdir,
        WorkDir: folder.work,
      },
    },
    ...(options.size && containerSizesJson(store, container)),
    Mounts: record.mounts.flatMap((mount) => mountJson(store, mount)),
    Config: configJson(record),
    NetworkSettings: networkJson(record, state),
  };
}

/** Bytes that the container wrote, and those of its whole root file system. */
export function containerSizes(
  store: Store,
  { folder, record }: Container,
): { readonly rw: number; readonly rootFs: number } {
  const rw = diskUsage(folder.upperdir);
  const below = (record?.image.layers ?? []).reduce((sum, layer) => sum + store.layers.get(layer).sizeBytes, 0);
  return { rw, rootFs: rw + below };
}

function containerSizesJson(store: Store, container: Container): ContainerJson {
  const { rw, rootFs } = containerSizes(store, container);
  return { SizeRw: rw, SizeRootFs: rootFs };
}

function stateJson(state: ContainerState): ContainerJson {
  const { status } = state;
  return {
    Status: status,
    Running: status === "running" || status === "paused" || status === "restarting",
    Paused: status === "paused",
    Restarting: status === "restarting",
    OOMKilled: state.oomKilled,
    Dead: status === "dead",
    ...(state.orphaned && { Orphaned: true }),
    Pid: state.process?.pid ?? 0,
    ExitCode: state.exitCode,
    Error: state.error,
    StartedAt: state.startedAt,
    FinishedAt: state.finishedAt,
  };
}

function hostConfigJson({ host, mounts }: ContainerRecord): ContainerJson {
  const { limits, restart, log } = host;
  const binds = mounts.flatMap((mount) => bindText(mount) ?? []);
  return {
    Binds: binds.length > 0 ? binds : null,
    ContainerIDFile: host.containerIdFile,
    LogConfig: {
      Type: log.driver,
      Config:
        log.driver === "none"
          ? {}
          : {
              ...(log.maxSizeBytes !== undefined && { "max-size": String(log.maxSizeBytes) }),
              ...(log.maxFiles > 1 && { "max-file": String(log.maxFiles) }),
            },
    },
    NetworkMode: host.network,
    PortBindings: {},
    RestartPolicy: {
      Name: restart.kind,
      MaximumRetryCount: restart.kind === "on-failure" ? restart.maximumRetryCount : 0,
    },
    AutoRemove: host.autoRemove,
    VolumeDriver: "",
    VolumesFrom: host.volumesFrom.length > 0 ? host.volumesFrom : null,
    ConsoleSize: [0, 0],
    Annotations: host.annotations,
    CapAdd: host.capAdd.length > 0 ? host.capAdd : null,
    CapDrop: host.capDrop.length > 0 ? host.capDrop : null,
    CgroupnsMode: host.namespaces?.cgroup ?? "private",
    Dns: host.dns,
    DnsOptions: host.dnsOptions,
    DnsSearch: host.dnsSearch,
    ExtraHosts: host.extraHosts.length > 0 ? host.extraHosts : null,
    GroupAdd: host.groupAdd.length > 0 ? host.groupAdd : null,
    IpcMode: host.namespaces?.ipc ?? "private",
    Init: host.init,
    OomScoreAdj: host.oomScoreAdj,
    PidMode: pidMode(host),
    Privileged: host.privileged,
    PublishAllPorts: false,
    ReadonlyRootfs: host.readonlyRootfs,
    SecurityOpt: host.securityOpt.length > 0 ? host.securityOpt : null,
    UTSMode: host.namespaces?.uts ?? "",
    UsernsMode: "",
    ShmSize: host.shmSizeBytes,
    Sysctls: host.sysctls,
    Tmpfs: host.tmpfs,
    Runtime: host.runtime,
    CpuShares: limits.cpuShares ?? 0,
    Memory: limits.memoryBytes ?? 0,
    NanoCpus: limits.nanoCpus ?? 0,
    CgroupParent: host.cgroupParent ?? "",
    CpuPeriod: limits.cpuPeriodUs ?? 0,
    CpuQuota: limits.cpuQuotaUs ?? 0,
    CpusetCpus: limits.cpusetCpus ?? "",
    CpusetMems: limits.cpusetMems ?? "",
    MemoryReservation: limits.memoryReservationBytes ?? 0,
    MemorySwap: limits.memorySwapBytes ?? (limits.memoryBytes ?? 0) * 2,
    Devices: (host.devices ?? []).map(({ hostPath, containerPath, permissions }) => ({
      PathOnHost: hostPath,
      PathInContainer: containerPath,
      CgroupPermissions: permissions,
    })),
    DeviceCgroupRules: host.deviceRules ?? null,
    DeviceRequests: (host.cdiDevices ?? []).length === 0 ? null : [{ Driver: "cdi", DeviceIDs: host.cdiDevices }],
    PidsLimit: limits.pids ?? null,
    Ulimits: host.ulimits.map(({ name, soft, hard }) => ({ Name: name, Hard: hard, Soft: soft })),
  };
}

function pidMode({ namespaces }: ContainerRecord["host"]): string {
  const pid = namespaces?.pid ?? "";
  return typeof pid === "object" ? `container:${pid.container}` : pid;
}

/** As `-v` has it; undefined for what has no source that could be named. */
function bindText(mount: ContainerMount): string | undefined {
  if (mount.kind === "tmpfs" || (mount.kind === "volume" && mount.anonymous)) return undefined;
  const source = mount.kind === "bind" ? mount.source : mount.name;
  return `${source}:${mount.destination}${mount.readonly ? ":ro" : ""}`;
}

function mountJson(store: Store, mount: ContainerMount): readonly ContainerJson[] {
  switch (mount.kind) {
    case "bind":
      return [
        {
          Type: "bind",
          Source: mount.source,
          Destination: mount.destination,
          Mode: mount.readonly ? "ro" : "",
          RW: !mount.readonly,
          Propagation: mount.propagation,
        },
      ];
    case "volume":
      return [
        {
          Type: "volume",
          Name: mount.name,
          Source: volumeData(store, mount.name),
          Destination: mount.destination,
          Driver: "local",
          Mode: mount.readonly ? "ro" : "z",
          RW: !mount.readonly,
          Propagation: "",
        },
      ];
    case "tmpfs":
      return [{ Type: "tmpfs", Source: "", Destination: mount.destination, Mode: "", RW: true, Propagation: "" }];
  }
}

function configJson(record: ContainerRecord): ContainerJson {
  const { process } = record;
  const volumes = record.mounts.filter((mount) => mount.kind === "volume" && mount.anonymous);
  return {
    Hostname: containerHostname(record),
    Domainname: record.domainname,
    User: process.user,
    AttachStdin: process.attachStdin,
    AttachStdout: process.attachStdout,
    AttachStderr: process.attachStderr,
    ...(record.exposedPorts.length > 0 && { ExposedPorts: keysOf(record.exposedPorts) }),
    Tty: process.tty,
    OpenStdin: process.openStdin,
    StdinOnce: process.stdinOnce,
    Env: process.env,
    Cmd: process.command.length > 0 ? process.command : null,
    ...(process.healthcheck !== undefined && { Healthcheck: process.healthcheck }),
    Image: record.image.name,
    Volumes: volumes.length > 0 ? keysOf(volumes.map((volume) => volume.destination)) : null,
    WorkingDir: process.workingDir === "/" ? "" : process.workingDir,
    Entrypoint: process.entrypoint.length > 0 ? process.entrypoint : null,
    OnBuild: null,
    Labels: record.labels,
    ...(process.stopSignal !== undefined && { StopSignal: process.stopSignal }),
    ...(process.stopTimeout !== undefined && { StopTimeout: process.stopTimeout }),
  };
}

function keysOf(names: readonly string[]): Readonly<Record<string, object>> {
  return Object.fromEntries(names.map((name) => [name, {}]));
}

function networkJson({ host, exposedPorts }: ContainerRecord, { address, status }: ContainerState): ContainerJson {
  const up = status === "running" || status === "paused";
  const ip = up ? address : "";
  return {
    SandboxKey: "",
    Ports: up && host.network === "bridge" ? Object.fromEntries(exposedPorts.map((port) => [port, null])) : {},
    IPAddress: ip,
    Networks: {
      [host.network]: { IPAMConfig: null, Links: null, Aliases: null, IPAddress: ip, IPPrefixLen: ip === "" ? 0 : 16 },
    },
  };
}
