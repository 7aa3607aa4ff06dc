/**
 * A tree as files in a folder of the caller's. No symlink, of the image or in the folder, leads out. Pure file work in sync
 * calls; `export-folder.worker.ts` runs it beside the command. Source: BuildKit, exporter/local.
 */
import {
  type BigIntStats,
  chmodSync,
  closeSync,
  constants,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { dirname } from "node:path";
import { type BytePath, bytePath, bytePathOfLatin1, fsPath, joinBytePath } from "../kernel/byte-path.ts";
import { copyFileData, deviceNumber, makeNode, setMtime } from "../kernel/files.ts";
import type { Found } from "../store/layered-view.ts";
import { exportFailed } from "./errors.ts";
import { type ExportedTree, exportedEntries } from "./exported-tree.ts";

export interface FolderExport extends Omit<ExportedTree, "checkAbort"> {
  /** Absolute; made if it is not there. */
  readonly folder: string;
  /** What is there and not in the tree goes. */
  readonly removesOthers: boolean;
}

/** Told of each file that is being written, under the name that it has until it is whole; and when none is. */
export type OnStaged = (path: BytePath | undefined) => void;

export interface FolderExportWatch {
  readonly checkAbort: () => void;
  readonly onStaged: OnStaged;
}

/**
 * Files belong to the caller and have the image's modes and times. What is there under the same name is replaced, folders
 * are merged.
 * @throws {TsbuildError} `NO_SPACE`, `PERMISSION_DENIED`, `READ_ONLY`, `INVALID_ARGUMENT`
 */
export function exportToFolder(options: FolderExport, { checkAbort, onStaged }: FolderExportWatch): void {
  const { folder, mtime, removesOthers } = options;
  const times: (readonly [BytePath, bigint])[] = [];
  const names = new Map<BytePath, Set<string>>();
  const root = bytePath(folder);
  try {
    makeFolders(folder);
    for (const { path, found, linkTo } of exportedEntries({ ...options, checkAbort })) {
      const to = path === "" ? root : joinBytePath(root, path);
      const time = mtime === undefined ? found.stat.mtimeNs : BigInt(mtime) * 1_000_000_000n;
      if (path !== "") {
        const parent = path.includes("/") ? (path.slice(0, path.lastIndexOf("/")) as BytePath) : ("" as BytePath);
        names.get(parent)?.add(path.slice(path.lastIndexOf("/") + 1));
      }
      if (found.type === "dir") {
        names.set(path, new Set());
        if (path !== "") makeFolder(to, found.stat);
        times.push([to, time]);
        continue;
      }
      if (linkTo !== undefined)
        replaceBy(to, onStaged, (staged) => linkSync(fsPath(joinBytePath(root, linkTo)), fsPath(staged)));
      else writeEntry(to, found, onStaged);
      setMtime(fsPath(to), time);
    }
    if (removesOthers)
      for (const [path, kept] of names) removeOthers(path === "" ? root : joinBytePath(root, path), kept);
    // Innermost first: writing into a folder changes its time.
    for (const [path, time] of times.toReversed()) setMtime(fsPath(path), time);
  } catch (error) {
    throw exportFailed(folder, error);
  }
}

/** One by one: Node's own recursive call never ends where the kernel lets nobody make a folder, as in /proc. */
function makeFolders(folder: string): void {
  if (lstatSync(folder, { throwIfNoEntry: false }) !== undefined) return;
  makeFolders(dirname(folder));
  mkdirSync(folder);
}

function makeFolder(to: BytePath, { mode }: BigIntStats): void {
  const there = lstatSync(fsPath(to), { throwIfNoEntry: false });
  if (there !== undefined && !there.isDirectory()) rmSync(fsPath(to), { force: true });
  if (there === undefined || !there.isDirectory()) mkdirSync(fsPath(to));
  chmodSync(fsPath(to), Number(mode & 0o7777n));
}

function writeEntry(to: BytePath, { type, stat, hostPath }: Found, onStaged: OnStaged): void {
  const mode = Number(stat.mode & 0o7777n);
  replaceBy(to, onStaged, (staged) => {
    switch (type) {
      case "file": {
        const from = openSync(hostPath, constants.O_RDONLY | constants.O_NOFOLLOW);
        try {
          const fd = openSync(fsPath(staged), "wx", 0o600);
          try {
            copyFileData(from, fd);
          } finally {
            closeSync(fd);
          }
        } finally {
          closeSync(from);
        }
        break;
      }
      case "symlink":
        symlinkSync(readlinkSync(hostPath, { encoding: "buffer" }), fsPath(staged));
        return;
      case "fifo":
        makeNode(fsPath(staged), { type }, mode);
        break;
      case "char":
      case "block":
        makeNode(fsPath(staged), { type, device: deviceNumber(stat.rdev) }, mode);
        break;
      default:
        throw new Error(`a ${type} has no content`);
    }
    chmodSync(fsPath(staged), mode);
  });
}

/** Under its name when it is whole; a folder in its place goes first. */
function replaceBy(to: BytePath, onStaged: OnStaged, write: (staged: BytePath) => void): void {
  const staged = `${to}.${process.pid}.tsbuild` as BytePath;
  onStaged(staged);
  try {
    write(staged);
    if (lstatSync(fsPath(to), { throwIfNoEntry: false })?.isDirectory() === true)
      rmSync(fsPath(to), { recursive: true, force: true });
    renameSync(fsPath(staged), fsPath(to));
    // Two names of one file: rename(2) does nothing and leaves both.
    rmSync(fsPath(staged), { force: true });
  } catch (error) {
    rmSync(fsPath(staged), { force: true });
    throw error;
  } finally {
    onStaged(undefined);
  }
}

function removeOthers(folder: BytePath, kept: ReadonlySet<string>): void {
  for (const name of readdirSync(fsPath(folder), { encoding: "buffer" })) {
    const text = name.toString("latin1");
    if (!kept.has(text)) rmSync(fsPath(joinBytePath(folder, bytePathOfLatin1(text))), { recursive: true, force: true });
  }
}
