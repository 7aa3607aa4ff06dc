/**
 * One start of a container as a value: everything a supervisor needs, with paths instead of a store. Written to
 * `launch.json`, so that a monitor in a process of its own can run it, and run it again.
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import type { Healthcheck } from "../../oci/image-config.ts";
import type { RuntimeSpec } from "../../oci/runtime-spec.ts";
import type { ContainerFolder } from "./container-folder.ts";
import type { HostRequest, LogRequest, RestartPolicy } from "./container-record.ts";

export interface Launch {
  readonly spec: RuntimeSpec;
  /** Trees of the image's layers, bottom first. */
  readonly lowerdirs: readonly string[];
  readonly network: HostRequest["network"];
  readonly hostname: string;
  /** The hosts file without what only a connected network knows. */
  readonly hosts: string;
  /** Names from `--add-host NAME:host-gateway`. */
  readonly gatewayNames: readonly string[];
  readonly init: boolean;
  readonly tty: boolean;
  readonly openStdin: boolean;
  readonly stdinOnce: boolean;
  readonly healthcheck: Healthcheck | undefined;
  readonly restart: RestartPolicy;
  readonly autoRemove: boolean;
  readonly log: LogRequest;
  /** Name or path of the driver. */
  readonly runtime: string;
  readonly storeRoot: string;
  /** Of the store: what all containers mount on. */
  readonly sharedDir: string;
}

export function writeLaunch(folder: ContainerFolder, launch: Launch): void {
  const staged = `${folder.launchFile}.${process.pid}`;
  writeFileSync(staged, JSON.stringify(launch));
  renameSync(staged, folder.launchFile);
}

export function readLaunch(folder: ContainerFolder): Launch {
  return JSON.parse(readFileSync(folder.launchFile, "utf8")) as Launch;
}
