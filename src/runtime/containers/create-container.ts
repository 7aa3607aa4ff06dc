/**
 * A container made from an image and a request: what both say is merged into one record, its volumes are made and
 * filled, and the folder is published. Nothing runs yet.
 */
import { mkdirSync, statSync } from "node:fs";
import { posix } from "node:path";
import { assertNever } from "../../errors.ts";
import type { Healthcheck } from "../../oci/image-config.ts";
import { formatPlatform } from "../../oci/platform.ts";
import { type LayeredView, layeredView } from "../../store/layered-view.ts";
import type { Store, StoredImage } from "../../store/store.ts";
import {
  bindSourceMissing,
  duplicateMountPoint,
  invalidMountDestination,
  invalidWorkingDir,
  noCommand,
} from "../container-errors.ts";
import { copyUp, ensureVolume, newAnonymousVolumeName, parseVolumeName, removeVolume, volumeData } from "../volumes.ts";
import { type LiveContainer, publishContainer, unpublishContainer } from "./container-folder.ts";
import { parseContainerName } from "./container-id.ts";
import {
  type ContainerMount,
  type ContainerRecord,
  commandLine,
  type HostRequest,
  type ProcessRequest,
  recordFormat,
} from "./container-record.ts";
import { makeFolderInUpper } from "./upper-folder.ts";

export interface CreateRequest {
  readonly image: StoredImage;
  /** As the user wrote it. */
  readonly imageName: string;
  readonly name: string | undefined;
  /** Undefined: the image's. Given, even empty, the image's CMD goes too. */
  readonly entrypoint: readonly string[] | undefined;
  readonly command: readonly string[];
  /** `K=V`; wins over the image's. */
  readonly env: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly user: string | undefined;
  readonly workingDir: string | undefined;
  /** Undefined: the short ID, or the host's name on its network. */
  readonly hostname: string | undefined;
  readonly domainname: string | undefined;
  readonly exposedPorts: readonly string[];
  readonly mounts: readonly RequestedMount[];
  /** Records of the containers whose mounts are taken over, in order. */
  readonly volumesFrom: readonly { readonly record: ContainerRecord; readonly readonly: boolean | undefined }[];
  readonly process: Pick<
    ProcessRequest,
    "tty" | "openStdin" | "stdinOnce" | "attachStdin" | "attachStdout" | "attachStderr" | "stopTimeout"
  >;
  readonly stopSignal: string | undefined;
  /** Over the image's, field by field. */
  readonly healthcheck: Healthcheck;
  readonly host: HostRequest;
}

/** A mount as flags ask for it. */
export type RequestedMount =
  | (Extract<ContainerMount, { kind: "bind" }> & { readonly createSource: boolean })
  /** Without a name: an anonymous volume. */
  | (Omit<Extract<ContainerMount, { kind: "volume" }>, "name" | "anonymous"> & { readonly name: string | undefined })
  | Extract<ContainerMount, { kind: "tmpfs" }>;

/** Mounts, namespaces and the owners of an image's files are root's. */
export function mayRunContainers(): boolean {
  return process.geteuid?.() === 0;
}

/**
 * @param created RFC 3339.
 * @throws {TsbuildError} `CONFLICT` for a name that is taken, `INVALID_ARGUMENT` for what cannot be; with nothing left.
 */
export function createContainer(store: Store, request: CreateRequest, created: string): LiveContainer {
  const { image, host } = request;
  const config = image.config.config;
  const name = request.name === undefined ? undefined : parseContainerName(request.name);
  const process: ProcessRequest = {
    ...request.process,
    entrypoint: request.entrypoint ?? config.Entrypoint ?? [],
    command: request.command.length > 0 || request.entrypoint !== undefined ? request.command : (config.Cmd ?? []),
    env: mergeEnv(config.Env ?? [], request.env),
    workingDir: workingDirOf(request.workingDir ?? config.WorkingDir ?? ""),
    user: request.user ?? config.User ?? "",
    stopSignal: request.stopSignal ?? config.StopSignal,
    healthcheck: healthcheckOf(config.Healthcheck, request.healthcheck),
  };
  if ((commandLine(process)[0] ?? "") === "") throw noCommand(request.imageName);

  const requested = mountsOf(request, Object.keys(config.Volumes ?? {}));
  const mounts = requested.map((mount): ContainerMount => {
    switch (mount.kind) {
      case "tmpfs":
        return mount;
      case "bind": {
        const { createSource, ...bind } = mount;
        ensureBindSource(bind.source, createSource);
        return bind;
      }
      case "volume":
        return {
          ...mount,
          name: mount.name === undefined ? newAnonymousVolumeName() : parseVolumeName(mount.name),
          anonymous: mount.name === undefined,
        };
      default:
        return assertNever(mount);
    }
  });
  const trees = store.layers.trees(image.chain);
  const madeVolumes = mounts.filter((mount) => mount.kind === "volume" && mount.anonymous);
  const container = publishContainer(store, name, (id, chosenName) => ({
    format: recordFormat,
    id,
    name: chosenName,
    created,
    image: {
      id: image.id,
      name: request.imageName,
      layers: image.chain,
      platform: formatPlatform(image.config),
    },
    process,
    hostname: request.hostname ?? "",
    domainname: request.domainname ?? "",
    labels: { ...config.Labels, ...request.labels },
    exposedPorts: [...new Set([...Object.keys(config.ExposedPorts ?? {}), ...request.exposedPorts])].sort(),
    mounts,
    host,
  }));
  try {
    fillVolumes(store, container.record, layeredView(trees));
    const covered = mounts.some((mount) => isAtOrBelow(process.workingDir, mount.destination));
    if (!covered)
      makeFolderInUpper(
        layeredView([...trees, container.folder.upperdir]),
        container.folder.upperdir,
        process.workingDir,
      );
    return container;
  } catch (error) {
    unpublishContainer(store, container);
    for (const mount of madeVolumes) if (mount.kind === "volume") removeIfThere(store, mount.name);
    throw error;
  }
}

function healthcheckOf(image: Healthcheck | undefined, asked: Healthcheck): Healthcheck | undefined {
  const merged = { ...image, ...asked };
  return merged.Test === undefined || merged.Test[0] === "NONE" ? undefined : merged;
}

/** docker's: what overrides keeps the place of what it overrides, new names come last. */
export function mergeEnv(base: readonly string[], overrides: readonly string[]): readonly string[] {
  const nameOf = (entry: string): string => entry.slice(0, entry.includes("=") ? entry.indexOf("=") : undefined);
  const merged = new Map<string, string>();
  for (const entry of [...base, ...overrides]) merged.set(nameOf(entry), entry);
  return [...merged.values()];
}

function workingDirOf(path: string): string {
  if (path === "") return "/";
  if (!path.startsWith("/")) throw invalidWorkingDir(path);
  const clean = posix.normalize(path);
  return clean.length > 1 && clean.endsWith("/") ? clean.slice(0, -1) : clean;
}

/** The user's own mounts win over those of other containers, and these over the image's VOLUMEs. */
function mountsOf(request: CreateRequest, imageVolumes: readonly string[]): readonly RequestedMount[] {
  const byDestination = new Map<string, RequestedMount>();
  for (const mount of request.mounts) {
    const destination = mountDestination(mount.destination);
    if (byDestination.has(destination)) throw duplicateMountPoint(destination);
    byDestination.set(destination, { ...mount, destination });
  }
  const taken = new Set([...byDestination.keys(), ...Object.keys(request.host.tmpfs)]);
  for (const { record, readonly } of request.volumesFrom) {
    for (const mount of record.mounts) {
      if (taken.has(mount.destination) || mount.kind === "tmpfs") continue;
      const shared = readonly === undefined ? mount : { ...mount, readonly };
      byDestination.set(mount.destination, shared.kind === "bind" ? { ...shared, createSource: false } : shared);
    }
  }
  for (const path of imageVolumes) {
    const destination = posix.resolve("/", path);
    if (destination === "/" || taken.has(destination) || byDestination.has(destination)) continue;
    const volume = { kind: "volume", name: undefined, destination, readonly: false, copyUp: true } as const;
    byDestination.set(destination, volume);
  }
  const depth = (path: string): number => path.split("/").length;
  return [...byDestination.values()].sort(
    (a, b) => depth(a.destination) - depth(b.destination) || (a.destination < b.destination ? -1 : 1),
  );
}

function mountDestination(path: string): string {
  if (!path.startsWith("/")) throw invalidMountDestination(path, "it needs to be an absolute path");
  const clean = posix.resolve(path);
  if (clean === "/") throw invalidMountDestination(path, "it can't be '/'");
  // What is written to /proc and /sys must reach the kernel, not a volume (CVE-2019-16884).
  if (/^\/(proc|sys)(\/|$)/.test(clean)) throw invalidMountDestination(path, "it covers what the kernel shows there");
  return clean;
}

function ensureBindSource(source: string, create: boolean): void {
  if (statSync(source, { throwIfNoEntry: false }) !== undefined) return;
  if (!create) throw bindSourceMissing(source);
  mkdirSync(source, { recursive: true });
}

function fillVolumes(store: Store, record: ContainerRecord, view: LayeredView): void {
  for (const mount of record.mounts) {
    if (mount.kind !== "volume") continue;
    ensureVolume(store, mount.name, { created: record.created, anonymous: mount.anonymous });
    if (mount.copyUp) copyUp(view, mount.destination, volumeData(store, mount.name));
  }
}

function removeIfThere(store: Store, name: string): void {
  try {
    removeVolume(store, name);
  } catch {
    // It was not made yet.
  }
}

function isAtOrBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}
