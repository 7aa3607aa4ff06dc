/**
 * Volumes: folders that outlive containers, `volumes/<name>/_data`, with what is known about one in `volume.json`
 * beside it. A volume exists when its `volume.json` does.
 */
import {
  chmodSync,
  copyFileSync,
  constants as fsConstants,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../errors.ts";
import { bytePath } from "../kernel/byte-path.ts";
import { setMtime } from "../kernel/files.ts";
import { check, cPath, libc } from "../kernel/libc.ts";
import type { Found, LayeredView } from "../store/layered-view.ts";
import type { Store } from "../store/store.ts";
import { invalidVolumeName, volumeNotFound } from "./container-errors.ts";
import { newContainerId } from "./containers/container-id.ts";

export interface Volume {
  readonly name: string;
  /** RFC 3339. */
  readonly created: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Made for one container, by VOLUME or `-v /path`. */
  readonly anonymous: boolean;
  /** Absolute path of its content. */
  readonly mountpoint: string;
}

export function volumeFolder(store: Store, name: string): string {
  return join(store.volumesFolder, name);
}

export function volumeData(store: Store, name: string): string {
  return join(store.volumesFolder, name, "_data");
}

/** @throws {TsbuildError} `INVALID_ARGUMENT` */
export function parseVolumeName(name: string): string {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name)) throw invalidVolumeName(name);
  return name;
}

export function newAnonymousVolumeName(): string {
  return newContainerId();
}

/** The volume of that name, made when there is none. */
export function ensureVolume(
  store: Store,
  name: string,
  fields: { readonly created: string; readonly anonymous: boolean },
): Volume {
  const known = findVolume(store, name);
  if (known !== undefined) return known;
  mkdirSync(volumeData(store, parseVolumeName(name)), { recursive: true, mode: 0o755 });
  chmodSync(volumeFolder(store, name), 0o711);
  const staged = join(volumeFolder(store, name), `volume.json.${process.pid}`);
  writeFileSync(staged, JSON.stringify({ created: fields.created, labels: {}, anonymous: fields.anonymous }));
  renameSync(staged, join(volumeFolder(store, name), "volume.json"));
  return { name, ...fields, labels: {}, mountpoint: volumeData(store, name) };
}

export function findVolume(store: Store, name: string): Volume | undefined {
  try {
    const fields = JSON.parse(readFileSync(join(volumeFolder(store, name), "volume.json"), "utf8")) as Omit<
      Volume,
      "name"
    >;
    return { ...fields, name, mountpoint: volumeData(store, name) };
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

export function listVolumes(store: Store): readonly Volume[] {
  try {
    return readdirSync(store.volumesFolder)
      .sort()
      .flatMap((name) => findVolume(store, name) ?? []);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

/** Gone at once, with one rename; its content goes afterwards. @throws {TsbuildError} `INVALID_ARGUMENT` */
export function removeVolume(store: Store, name: string): void {
  if (findVolume(store, name) === undefined) throw volumeNotFound(name);
  using temporary = store.temporaryFolder("volume");
  renameSync(volumeFolder(store, name), `${temporary.path}/volume`);
  rmSync(`${temporary.path}/volume`, { recursive: true, force: true });
}

// Filling ---------------------------------------------------------------------------------------------------------

/**
 * Fills an empty volume with what the image has at `destination`, owners, modes and times kept; the volume's own folder
 * gets those of the image's. A destination that is no folder, or a volume with content, is left as it is.
 */
export function copyUp(view: LayeredView, destination: string, data: string): void {
  if (readdirSync(data).length > 0) return;
  const source = view.lookup(bytePath(destination));
  if (source === undefined || source.type !== "dir") return;
  copyChildren(view, source, data);
  copyAttributes(source, data);
}

function copyChildren(view: LayeredView, folder: Found, to: string | Buffer): void {
  for (const child of view.readdir(folder)) {
    const name = child.path.slice(child.path.lastIndexOf("/") + 1);
    copyEntry(view, child, below(to, name));
  }
}

function copyEntry(view: LayeredView, entry: Found, to: string | Buffer): void {
  switch (entry.type) {
    case "dir":
      mkdirSync(to, { mode: 0o700 });
      copyChildren(view, entry, to);
      break;
    case "file":
      copyFileSync(entry.hostPath, to, fsConstants.COPYFILE_FICLONE | fsConstants.COPYFILE_EXCL);
      break;
    case "symlink":
      symlinkSync(readlinkSync(entry.hostPath, { encoding: "buffer" }), to);
      break;
    case "char":
    case "block":
    case "fifo": {
      const mode = Number(entry.stat.mode);
      check(libc("mknodat", -100, cPath(to), mode, Number(entry.stat.rdev)), "filling a volume: mknod");
      break;
    }
    case "socket":
      return;
  }
  copyAttributes(entry, to);
}

function copyAttributes({ hostPath, stat, type }: Found, to: string | Buffer): void {
  lchownSync(to, Number(stat.uid), Number(stat.gid));
  // After the owner: chown(2) clears set-user-ID. A symlink has no mode of its own.
  if (type !== "symlink") chmodSync(to, Number(stat.mode) & 0o7777);
  if (type === "file") copyCapability(hostPath, to);
  setMtime(to, stat.mtimeNs);
}

function copyCapability(from: string | Buffer, to: string | Buffer): void {
  const value = Buffer.alloc(64);
  const size = libc("lgetxattr", cPath(from), "security.capability", value, value.length);
  if (size <= 0) return;
  check(libc("lsetxattr", cPath(to), "security.capability", value, size, 0), "filling a volume: setxattr");
}

function below(folder: string | Buffer, latin1Name: string): string | Buffer {
  const name = Buffer.from(latin1Name, "latin1");
  return Buffer.concat([Buffer.from(folder), Buffer.from("/"), name]);
}

/** Bytes that the files below `folder` use, hard links once. */
export function diskUsage(folder: string): number {
  const seen = new Set<string>();
  const walk = (path: Buffer): number => {
    let sum = 0;
    for (const name of readdirSync(path, { encoding: "buffer" })) {
      const child = Buffer.concat([path, Buffer.from("/"), name]);
      const stat = lstatSync(child, { throwIfNoEntry: false });
      if (stat === undefined) continue;
      if (stat.isDirectory()) sum += walk(child);
      else if (stat.isFile() && (stat.nlink === 1 || !seen.has(`${stat.dev}:${stat.ino}`))) {
        seen.add(`${stat.dev}:${stat.ino}`);
        sum += stat.size;
      }
    }
    return sum;
  };
  return walk(Buffer.from(folder));
}
