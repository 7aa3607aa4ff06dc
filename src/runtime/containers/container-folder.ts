/**
 * Where a container lies: `containers/<id>/`, and its name as a link `containers/.names/<name>` → id. The folder is
 * made complete beside them and renamed into place; the name is taken by symlink(2), which only one of two racers can.
 */
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { errnoOf } from "../../errors.ts";
import type { Store } from "../../store/store.ts";
import { containerNameTaken, containerNotFound, containerPrefixAmbiguous } from "../container-errors.ts";
import { fixedTimestamp } from "../logs.ts";
import { type ContainerId, isContainerId, newContainerId, randomContainerName } from "./container-id.ts";
import { type ContainerRecord, recordFormat } from "./container-record.ts";
import { initialState } from "./container-state.ts";
import { identityOf, ownIdentity } from "./process-identity.ts";

export interface ContainerFolder {
  readonly id: ContainerId;
  readonly path: string;
  readonly recordFile: string;
  readonly stateFile: string;
  readonly launchFile: string;
  /** Identity of the process that owns the container's stdio; there as long as it does. */
  readonly claimFile: string;
  /** Written by the launcher. */
  readonly exitFile: string;
  readonly healthFile: string;
  /** There while it is frozen. */
  readonly pausedFile: string;
  /** There after a `stop` or `kill` by hand, until the next start: it ends the restart policy. */
  readonly stoppedFile: string;
  readonly logFile: string;
  readonly hostsFile: string;
  readonly hostnameFile: string;
  readonly resolvFile: string;
  readonly upperdir: string;
  /** Parent of each start's fresh workdir. */
  readonly work: string;
  /** For the driver's stub trees. */
  readonly scratch: string;
}

export interface Container {
  readonly folder: ContainerFolder;
  /** Undefined when its record cannot be read: it is dead, and can be removed. */
  readonly record: ContainerRecord | undefined;
}

export interface LiveContainer extends Container {
  readonly record: ContainerRecord;
}

export function containerFolder(store: Store, id: ContainerId): ContainerFolder {
  return containerFolderAt(store.containerFolder(id), id);
}

export function containerFolderAt(path: string, id: ContainerId): ContainerFolder {
  return {
    id,
    path,
    recordFile: `${path}/config.json`,
    stateFile: `${path}/state.json`,
    launchFile: `${path}/launch.json`,
    claimFile: `${path}/supervisor`,
    exitFile: `${path}/exit`,
    healthFile: `${path}/health.json`,
    pausedFile: `${path}/paused`,
    stoppedFile: `${path}/stopped`,
    logFile: `${path}/${id}-json.log`,
    hostsFile: `${path}/hosts`,
    hostnameFile: `${path}/hostname`,
    resolvFile: `${path}/resolv.conf`,
    upperdir: `${path}/upper`,
    work: `${path}/work`,
    scratch: `${path}/scratch`,
  };
}

/**
 * Makes the folder and takes the name; without a wanted name, a random one that is free.
 * @throws {TsbuildError} `CONFLICT`, with nothing left behind.
 */
export function publishContainer(
  store: Store,
  wantedName: string | undefined,
  recordOf: (id: ContainerId, name: string) => ContainerRecord,
): LiveContainer {
  const id = newContainerId();
  const folder = containerFolder(store, id);
  const names = namesFolder(folder);
  mkdirSync(names, { recursive: true, mode: 0o700 });
  if (wantedName !== undefined) {
    const holder = nameHolder(store, names, wantedName);
    if (holder !== undefined) throw containerNameTaken(wantedName, holder);
  }
  for (let attempt = 0; ; attempt += 1) {
    const name = wantedName ?? randomContainerName(attempt);
    if (wantedName === undefined && nameHolder(store, names, name) !== undefined) continue;
    const record = recordOf(id, name);
    writeFolder(store, folder, record);
    if (takeName(store, names, name, id)) return { folder, record };
    discardFolder(store, folder);
    if (wantedName !== undefined) throw containerNameTaken(name, nameHolder(store, names, name) ?? "");
  }
}

function writeFolder(store: Store, folder: ContainerFolder, record: ContainerRecord): void {
  const staged = transientPath(folder);
  for (const name of ["", "/upper"]) mkdirSync(staged + name, { mode: 0o700 });
  copyRootAttributes(store, record, `${staged}/upper`);
  writeFileSync(`${staged}/config.json`, JSON.stringify(record));
  writeFileSync(`${staged}/state.json`, JSON.stringify(initialState));
  // Before the folder has its name: a container that is there has its layers.
  store.pin(folder.id, record.image.id, record.image.layers);
  renameSync(staged, folder.path);
}

/** In an overlay the upper root's mode and owner are the root's. */
function copyRootAttributes(store: Store, record: ContainerRecord, upperdir: string): void {
  const top = store.layers.trees(record.image.layers).at(-1);
  const stat = top === undefined ? undefined : lstatSync(top);
  chownSync(upperdir, stat?.uid ?? 0, stat?.gid ?? 0);
  chmodSync(upperdir, (stat?.mode ?? 0o755) & 0o7777);
}

/** Removes the folder with one rename; what is in it goes afterwards, by us or by whoever lists containers next. */
function discardFolder(store: Store, folder: ContainerFolder): void {
  const staged = transientPath(folder);
  try {
    renameSync(folder.path, staged);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    throw error;
  }
  store.unpin(folder.id);
  rmSync(staged, { recursive: true, force: true });
}

/** What a folder is called while it is made or removed: with it goes who does so, for if that process is killed. */
function transientPath(folder: ContainerFolder): string {
  const { pid, startTime, pidNamespace } = ownIdentity();
  return join(dirname(folder.path), `.transient-${pid}-${startTime}-${digitsOf(pidNamespace)}-${folder.id}`);
}

function digitsOf(pidNamespace: string): string {
  return pidNamespace.replace(/\D/g, "");
}

function sweepTransients(store: Store, parent: string, names: readonly string[]): void {
  for (const name of names) {
    const [, pid, startTime, namespace, id = ""] = /^\.transient-(\d+)-(\d+)-(\d+)-([0-9a-f]+)$/.exec(name) ?? [];
    // Of processes in another namespace we cannot tell.
    if (pid === undefined || namespace !== digitsOf(ownIdentity().pidNamespace)) continue;
    if (identityOf(Number(pid))?.startTime === startTime) continue;
    store.unpin(id);
    rmSync(join(parent, name), { recursive: true, force: true });
  }
}

/** The folder before its name: a name whose container is gone is free. */
export function unpublishContainer(store: Store, container: Container): void {
  discardFolder(store, container.folder);
  const names = namesFolder(container.folder);
  const name = container.record?.name;
  if (name !== undefined && linkTarget(join(names, name)) === container.folder.id) unlinkSync(join(names, name));
}

/** @throws {TsbuildError} `CONFLICT` */
export function renameContainer(store: Store, container: LiveContainer, name: string): void {
  const { folder, record } = container;
  const names = namesFolder(folder);
  const holder = nameHolder(store, names, name);
  if (holder !== undefined || !takeName(store, names, name, folder.id)) throw containerNameTaken(name, holder ?? "");
  const staged = `${folder.recordFile}.${process.pid}`;
  writeFileSync(staged, JSON.stringify({ ...record, name }));
  renameSync(staged, folder.recordFile);
  if (linkTarget(join(names, record.name)) === folder.id) unlinkSync(join(names, record.name));
}

// Finding --------------------------------------------------------------------------------------------------------

/** Newest first. */
export function listContainers(store: Store): readonly Container[] {
  const parent = containersFolder(store);
  let entries: string[];
  try {
    entries = readdirSync(parent);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
  sweepTransients(store, parent, entries);
  const containers = entries.filter(isContainerId).flatMap((id) => openContainer(store, id) ?? []);
  const created = (container: Container): string => fixedTimestamp(container.record?.created ?? "");
  return containers.sort((a, b) => (created(a) < created(b) ? 1 : created(a) > created(b) ? -1 : 0));
}

/**
 * What a user typed: full ID, name, or unique prefix of an ID, in this order.
 * @throws {TsbuildError} `CONTAINER_NOT_FOUND`, `INVALID_ARGUMENT` when a prefix fits several.
 */
export function findContainer(store: Store, text: string): Container {
  const typed = text.startsWith("/") ? text.slice(1) : text;
  if (isContainerId(typed)) {
    const container = openContainer(store, typed);
    if (container !== undefined) return container;
  }
  const parent = containersFolder(store);
  const holder = typed === "" || typed.includes("/") ? undefined : nameHolder(store, join(parent, ".names"), typed);
  const named = holder === undefined ? undefined : openContainer(store, holder);
  if (named !== undefined) return named;
  const all = listContainers(store);
  const fitting = /^[0-9a-f]+$/.test(typed) ? all.filter((container) => container.folder.id.startsWith(typed)) : [];
  if (fitting.length > 1) throw containerPrefixAmbiguous(typed);
  if (fitting[0] !== undefined) return fitting[0];
  throw containerNotFound(text, nearestName(typed, all));
}

/** @throws {TsbuildError} as above, and `CONTAINER_STATE` for one whose record cannot be read. */
export function openContainer(store: Store, id: ContainerId): Container | undefined {
  const folder = containerFolder(store, id);
  let text: string;
  try {
    text = readFileSync(folder.recordFile, "utf8");
  } catch (error) {
    return errnoOf(error) === "ENOENT" && !isFolder(folder.path) ? undefined : { folder, record: undefined };
  }
  return { folder, record: parseRecord(text) };
}

/** A record is written by us, whole; one that is damaged or of another format counts as none. */
function parseRecord(text: string): ContainerRecord | undefined {
  try {
    const record = JSON.parse(text) as ContainerRecord;
    return record.format === recordFormat ? record : undefined;
  } catch {
    return undefined;
  }
}

function isFolder(path: string): boolean {
  try {
    readdirSync(path);
    return true;
  } catch {
    return false;
  }
}

function containersFolder(store: Store): string {
  return dirname(store.containerFolder("0".repeat(64)));
}

function namesFolder(folder: ContainerFolder): string {
  return join(dirname(folder.path), ".names");
}

/** The container that has this name; a link to one that is gone, or that was renamed since, holds nothing. */
function nameHolder(store: Store, names: string, name: string): ContainerId | undefined {
  const target = linkTarget(join(names, name));
  if (target === undefined || !isContainerId(target)) return undefined;
  return openContainer(store, target)?.record?.name === name ? target : undefined;
}

function takeName(store: Store, names: string, name: string, id: ContainerId): boolean {
  const link = join(names, name);
  try {
    symlinkSync(id, link);
    return true;
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
  }
  if (nameHolder(store, names, name) !== undefined) return false;
  // Left behind by a process that was killed between the folder and its name.
  const staged = `${link}.${id}`;
  symlinkSync(id, staged);
  renameSync(staged, link);
  return linkTarget(link) === id;
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function nearestName(typed: string, containers: readonly Container[]): string | undefined {
  const names = containers.flatMap((container) => container.record?.name ?? []);
  return names.find((name) => name.startsWith(typed) || typed.startsWith(name));
}
