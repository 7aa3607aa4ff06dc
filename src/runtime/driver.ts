/**
 * The seam between who wants a container (executor, `run`) and who makes one. In: an OCI runtime spec, a root file
 * system described as overlay layers, and stdio. Out: a running process. Two drivers implement it, `native` (our
 * launcher) and `oci` (an installed crun or runc); one conformance suite passes on both.
 */
import type { Readable, Writable } from "node:stream";
import type { MountSpec, RuntimeSpec } from "../oci/runtime-spec.ts";

export interface Driver {
  readonly name: string;
  /**
   * Starts one container. Resolves when its command has been executed (execve succeeded).
   * @throws {TsbuildError} `COMMAND_NOT_FOUND` (127), `COMMAND_NOT_EXECUTABLE` (126), `RUNTIME_FAILED` (125) with the
   * sentence of the operation that failed.
   */
  start(request: ContainerRequest): Promise<RunningContainer>;
  /** A further process in a running container. Throws as `start` does. */
  exec(request: ExecRequest): Promise<RunningContainer>;
  /** Whether a bind of `source` may have `uidMappings` and `gidMappings`. Drivers without it take none. */
  canMapOwners?(source: string, mappings: OwnerMappings): Promise<boolean>;
}

export type OwnerMappings = Required<Pick<MountSpec, "uidMappings" | "gidMappings">>;

/** The root file system. `lowerdirs` are layer trees, bottom first. */
export type Rootfs =
  | {
      readonly kind: "overlay";
      readonly lowerdirs: readonly string[];
      readonly upperdir: string;
      /** A fresh, empty folder on the upperdir's file system. */
      readonly workdir: string;
      /** Never synced: for build steps, whose upperdir is thrown away after a crash. */
      readonly volatile: boolean;
    }
  | { readonly kind: "directory"; readonly path: string };

export type NetworkMode =
  /** A new network namespace with loopback up, nothing else. */
  | { readonly kind: "none" }
  /** The caller's network namespace. */
  | { readonly kind: "host" }
  /** A new network namespace that `attach` connects (veth, addresses, routes) before the command starts. */
  | { readonly kind: "attached"; readonly attach: (pid: number) => Promise<void> };

export interface StdioRequest {
  /** `null`: /dev/null, `empty`: a pipe that nobody writes to. Of both a read ends at once. */
  readonly stdin: "pipe" | "null" | "empty";
  /** `fd`: an open file descriptor of ours that becomes stdout and stderr (a log, a pipe of a monitor). */
  readonly stdout: "pipe" | "null" | { readonly fd: number };
  readonly stderr: "pipe" | "null" | { readonly fd: number };
}

export interface ContainerRequest {
  /** 64 hex digits, or a step's name; unique in the store. Names the cgroup. */
  readonly id: string;
  readonly spec: RuntimeSpec;
  readonly rootfs: Rootfs;
  /** A folder on the upperdir's file system that stays, for what containers have in common. Made when it is missing. */
  readonly sharedDir: string;
  /** Makes a folder on the same file system when it is first asked for, which the caller removes afterwards. */
  readonly scratchDir: () => string;
  readonly network: NetworkMode;
  /** `spec.process.terminal` decides between these pipes and a pty of the container's own. */
  readonly stdio: StdioRequest;
  /** pid 1 of the container stays a reaper of ours that forwards signals (`--init`). */
  readonly init: boolean;
  /** Where state that outlives this process lies (the `exit` file); a folder that exists. Absent for build steps. */
  readonly stateDir?: string;
  /** Abort = SIGKILL. */
  readonly signal: AbortSignal;
  /** Prints the compiled program of system calls before it runs (`--debug`). */
  readonly trace?: (text: string) => void;
}

export interface ExecRequest {
  readonly pid: number;
  /** Field 22 of /proc/pid/stat: with `pid` the identity of the container's pid 1. */
  readonly startTime: string;
  readonly process: RuntimeSpec["process"];
  readonly linux: Pick<RuntimeSpec["linux"], "seccomp" | "cgroupsPath">;
  /** Seen in the container's own names, not the host's. */
  readonly containerId: string;
  readonly stdio: StdioRequest;
  /** It goes on when this process ends (`exec -d`). Else it ends with it. */
  readonly detach?: boolean;
  readonly signal: AbortSignal;
  readonly trace?: (text: string) => void;
}

export interface RunningContainer {
  /** Of the container's pid 1, in our pid namespace. */
  readonly pid: number;
  readonly startTime: string;
  readonly stdin: Writable | undefined;
  readonly stdout: Readable | undefined;
  readonly stderr: Readable | undefined;
  /** With `terminal`: both directions, instead of the three above. */
  readonly pty: ContainerPty | undefined;
  /** Resolves once, after pid 1 was reaped; never rejects. */
  readonly exited: Promise<ExitStatus>;
  /** Signal number, to pid 1. False when it is gone. */
  kill(signal: number): boolean;
}

export interface ContainerPty {
  readonly stream: Readable & Writable;
  resize(size: { readonly columns: number; readonly rows: number }): void;
}

export interface ExitStatus {
  /** The exit code, or 128 + the signal. */
  readonly code: number;
  /** The signal's number, when one ended it. */
  readonly signal: number | undefined;
  readonly oomKilled: boolean;
  readonly usage: { readonly maxRssBytes: number; readonly userMs: number; readonly systemMs: number };
}
