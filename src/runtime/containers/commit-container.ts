/** An image from a container: its image's layers, one more with what it changed, and the config it runs with. */

import type { BigIntStats } from "node:fs";
import {
  chmodSync,
  closeSync,
  constants,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
} from "node:fs";
import { copyFileData, deviceNumber, makeNode, setMtime } from "../../kernel/files.ts";
import { getXattr, listXattrs, setXattr } from "../../kernel/xattr.ts";
import type { ContainerConfig } from "../../oci/image-config.ts";
import { imageConfigJson } from "../../oci/image-config-json.ts";
import { spaceExplained } from "../../store/errors.ts";
import type { Store, StoredImage } from "../../store/store.ts";
import { imageGone } from "../container-errors.ts";
import type { LiveContainer } from "./container-folder.ts";
import { type ContainerRecord, commandLine } from "./container-record.ts";
import { observe } from "./container-state.ts";
import { pauseContainer, unpauseContainer } from "./stop-container.ts";

export interface CommitOptions {
  readonly author: string | undefined;
  readonly message: string | undefined;
  /** The config that the container runs with, as the caller wants it in the image. */
  readonly change: (config: ContainerConfig) => ContainerConfig;
  /** Its processes stand still while its files are read. */
  readonly pause: boolean;
  /** RFC 3339. */
  readonly created: string;
  readonly signal: AbortSignal;
}

/** @throws {TsbuildError} `IMAGE_NOT_FOUND` when its image's record is gone, and what `change` throws. */
export async function commitContainer(
  store: Store,
  container: LiveContainer,
  options: CommitOptions,
): Promise<StoredImage> {
  const { record } = container;
  const base = store.images.get(record.image.id);
  if (base === undefined) throw imageGone(record.image.name);
  const config = options.change(configOf(record, base.config.config));
  using lease = store.lease("commit");
  lease.addLayers(base.chain);
  await using snapshot = store.layers.prepare(base.chain);
  try {
    await copyUpper(container, snapshot.upperdir, options.pause);
  } catch (error) {
    throw spaceExplained(store.root, error);
  }
  await using layer = snapshot.commit();
  const { diffId } = await layer.seal(options.signal);
  const { author, message, created } = options;
  const entry = {
    created,
    created_by: commandLine(record.process).join(" "),
    ...(author !== undefined && { author }),
    ...(message !== undefined && { comment: message }),
  };
  const image = {
    ...base.config,
    ...(author !== undefined && { author }),
    config,
    created,
    history: [...base.config.history, entry],
    rootfs: { type: "layers" as const, diff_ids: [...base.config.rootfs.diff_ids, diffId] },
  };
  return store.images.add({ config: imageConfigJson(image), chain: [...base.chain, layer.id] });
}

function configOf(record: ContainerRecord, base: ContainerConfig): ContainerConfig {
  const { process } = record;
  const keys = (names: readonly string[]): Record<string, Record<string, never>> =>
    Object.fromEntries(names.map((name) => [name, {}]));
  const volumes = record.mounts.flatMap((mount) =>
    mount.kind === "volume" && mount.anonymous ? [mount.destination] : [],
  );
  return {
    ...base,
    ...(process.user !== "" && { User: process.user }),
    ...(record.exposedPorts.length > 0 && { ExposedPorts: keys(record.exposedPorts) }),
    ...(process.env.length > 0 && { Env: process.env }),
    ...(process.entrypoint.length > 0 && { Entrypoint: process.entrypoint }),
    ...(process.command.length > 0 && { Cmd: process.command }),
    ...(volumes.length > 0 && { Volumes: keys(volumes) }),
    ...(process.workingDir !== "/" && { WorkingDir: process.workingDir }),
    ...(Object.keys(record.labels).length > 0 && { Labels: record.labels }),
    ...(process.stopSignal !== undefined && { StopSignal: process.stopSignal }),
  };
}

async function copyUpper(container: LiveContainer, to: string, pause: boolean): Promise<void> {
  const frozen = pause && observe(container.folder).status === "running";
  if (frozen) await pauseContainer(container);
  try {
    copyFolder(container.folder.upperdir, to, new Map());
  } finally {
    if (frozen) unpauseContainer(container);
  }
}

/** As it is, overlay marks included. `links`: inode → first copy. */
function copyFolder(from: string, to: string, links: Map<string, Buffer>): void {
  copyContent(Buffer.from(from), Buffer.from(to), links);
  copyAttributes(Buffer.from(from), Buffer.from(to), lstatSync(from, { bigint: true }));
}

function copyContent(from: Buffer, to: Buffer, links: Map<string, Buffer>): void {
  for (const name of readdirSync(from, { encoding: "buffer" })) {
    const [source, target] = [below(from, name), below(to, name)];
    const stat = lstatSync(source, { bigint: true, throwIfNoEntry: false });
    if (stat === undefined) continue;
    if (stat.isDirectory()) {
      mkdirSync(target, { mode: 0o700 });
      copyContent(source, target, links);
    } else {
      const inode = `${stat.dev}:${stat.ino}`;
      const first = stat.nlink > 1n ? links.get(inode) : undefined;
      if (first !== undefined) {
        linkSync(first, target);
        continue;
      }
      if (!copyOne(source, target, stat)) continue;
      links.set(inode, target);
    }
    copyAttributes(source, target, stat);
  }
}

/** False for what a layer cannot hold. */
function copyOne(source: Buffer, target: Buffer, stat: BigIntStats): boolean {
  if (stat.isFile()) copyFile(source, target);
  else if (stat.isSymbolicLink()) symlinkSync(readlinkSync(source, { encoding: "buffer" }), target);
  else if (stat.isFIFO()) makeNode(target, { type: "fifo" }, 0o600);
  else if (stat.isCharacterDevice()) makeNode(target, { type: "char", device: deviceNumber(stat.rdev) }, 0o600);
  else if (stat.isBlockDevice()) makeNode(target, { type: "block", device: deviceNumber(stat.rdev) }, 0o600);
  else return false;
  return true;
}

function copyFile(source: Buffer, target: Buffer): void {
  const from = openSync(source, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const to = openSync(target, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    try {
      copyFileData(from, to);
    } finally {
      closeSync(to);
    }
  } finally {
    closeSync(from);
  }
}

function copyAttributes(source: Buffer, target: Buffer, stat: BigIntStats): void {
  lchownSync(target, Number(stat.uid), Number(stat.gid));
  // After the owner: chown(2) clears set-user-ID. A symlink has no mode of its own.
  if (!stat.isSymbolicLink()) chmodSync(target, Number(stat.mode) & 0o7777);
  for (const name of listXattrs(source)) {
    const value = getXattr(source, name);
    if (value !== undefined) setXattr(target, name, value);
  }
  setMtime(target, stat.mtimeNs);
}

function below(folder: Buffer, name: Buffer): Buffer {
  return Buffer.concat([folder, Buffer.from("/"), name]);
}
