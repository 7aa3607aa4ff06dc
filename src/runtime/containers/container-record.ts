/**
 * What was asked of a container: fixed when it is created, but for its name. Everything a start needs stands here, as
 * values that print; what happened since is the *state* (container-state.ts). Stored as `containers/<id>/config.json`.
 */
import type { ImageId } from "../../oci/digest.ts";
import type { Healthcheck } from "../../oci/image-config.ts";
import type { LayerId } from "../../store/store.ts";
import type { Limits } from "../limits.ts";
import type { ContainerId } from "./container-id.ts";

/** Raised when a field changes its meaning; a record of another format is shown as dead and can only be removed. */
export const recordFormat = 1;

export interface ContainerRecord {
  readonly format: typeof recordFormat;
  readonly id: ContainerId;
  readonly name: string;
  /** RFC 3339 with nanoseconds. */
  readonly created: string;
  readonly image: {
    readonly id: ImageId;
    /** As the user wrote it. */
    readonly name: string;
    /** Bottom first. */
    readonly layers: readonly LayerId[];
    readonly platform: string;
  };
  readonly process: ProcessRequest;
  readonly hostname: string;
  readonly domainname: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly exposedPorts: readonly string[];
  /** In the order they are mounted: a target inside another comes later. */
  readonly mounts: readonly ContainerMount[];
  readonly host: HostRequest;
}

export interface ProcessRequest {
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  /** The image's and the caller's, one entry a name. PATH, HOSTNAME, HOME and TERM are added at the start. */
  readonly env: readonly string[];
  readonly workingDir: string;
  readonly user: string;
  readonly tty: boolean;
  readonly openStdin: boolean;
  /** The first attached client's end of input is the container's. */
  readonly stdinOnce: boolean;
  readonly attachStdin: boolean;
  readonly attachStdout: boolean;
  readonly attachStderr: boolean;
  /** As written: `SIGTERM`, `TERM`, `15`. */
  readonly stopSignal: string | undefined;
  /** Seconds; −1 waits for ever. */
  readonly stopTimeout: number | undefined;
  readonly healthcheck: Healthcheck | undefined;
}

export interface HostRequest {
  readonly network: "host" | "none" | "bridge";
  readonly restart: RestartPolicy;
  readonly autoRemove: boolean;
  readonly init: boolean;
  readonly privileged: boolean;
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
  readonly securityOpt: readonly string[];
  readonly groupAdd: readonly string[];
  readonly readonlyRootfs: boolean;
  /** Target → options, as `--tmpfs` takes them. */
  readonly tmpfs: Readonly<Record<string, string>>;
  readonly shmSizeBytes: number;
  readonly limits: Limits;
  readonly ulimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly oomScoreAdj: number;
  /** `name:address`, as `--add-host` takes them. */
  readonly extraHosts: readonly string[];
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly dnsOptions: readonly string[];
  readonly sysctls: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly log: LogRequest;
  readonly portBindings: readonly PortBinding[];
  /** What `-v` was given, for inspect and for `--volumes-from`. */
  readonly binds: readonly string[];
  readonly volumesFrom: readonly string[];
  /** Device nodes of the host. */
  readonly devices?: readonly DeviceRequest[];
  /** Names in the Container Device Interface, each required. */
  readonly cdiDevices?: readonly string[];
  /** `c 1:3 rwm`: for nodes that are made later. */
  readonly deviceRules?: readonly string[];
  /** What it shares with the host, or with another container; absent: nothing. */
  readonly namespaces?: NamespaceRequest;
  /** Its control group lies below this one. */
  readonly cgroupParent?: string;
  readonly containerIdFile: string;
  readonly runtime: string;
}

export interface DeviceRequest {
  readonly hostPath: string;
  readonly containerPath: string;
  /** Letters of `rwm`. */
  readonly permissions: string;
}

export interface NamespaceRequest {
  readonly pid?: "host" | { readonly container: string };
  readonly ipc?: "host";
  readonly uts?: "host";
  readonly cgroup?: "host";
}

export type RestartPolicy =
  | { readonly kind: "no" }
  | { readonly kind: "always" }
  | { readonly kind: "unless-stopped" }
  /** 0 = as often as it fails. */
  | { readonly kind: "on-failure"; readonly maximumRetryCount: number };

export type LogRequest =
  | { readonly driver: "none" }
  | {
      readonly driver: "json-file";
      /** A file is put away before a write would make it larger. Absent: it grows without bound, as docker's does. */
      readonly maxSizeBytes?: number;
      /** How many files there are at most, the one being written included. */
      readonly maxFiles: number;
    };

export interface PortBinding {
  readonly containerPort: number;
  readonly protocol: "tcp" | "udp";
  readonly hostIp: string;
  readonly hostPort: number;
}

export type ContainerMount =
  | {
      readonly kind: "bind";
      /** Absolute, on the host. */
      readonly source: string;
      readonly destination: string;
      readonly readonly: boolean;
      readonly propagation: Propagation;
      readonly recursive: boolean;
    }
  | {
      readonly kind: "volume";
      readonly name: string;
      readonly destination: string;
      readonly readonly: boolean;
      /** Goes with the container (`rm -v`, `--rm`). */
      readonly anonymous: boolean;
      /** An empty one is filled with what the image has there. */
      readonly copyUp: boolean;
    }
  | {
      readonly kind: "tmpfs";
      readonly destination: string;
      /** Mount options, comma separated. */
      readonly options: string;
    };

export type Propagation = "rprivate" | "private" | "rslave" | "slave" | "rshared" | "shared";

/** The words that the container's pid 1 is executed with. */
export function commandLine(process: Pick<ProcessRequest, "entrypoint" | "command">): readonly string[] {
  return [...process.entrypoint, ...process.command];
}
