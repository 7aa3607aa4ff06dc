/**
 * The mounts of a RUN as the container's spec has them, and what stands behind each: folders of contexts and layers,
 * cache mounts of the store, secrets. Source: Dockerfile reference, "RUN --mount".
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { assertNever, errnoOf } from "../errors.ts";
import { bytePath } from "../kernel/byte-path.ts";
import { libc } from "../kernel/libc.ts";
import { canonicalJson } from "../oci/canonical-json.ts";
import { hexOf, sha256 } from "../oci/digest.ts";
import type { MountSpec } from "../oci/runtime-spec.ts";
import type { RunInput, RunMount, TreeRef } from "../planner/build-graph.ts";
import type { SecretSource, SshSource } from "../planner/build-options.ts";
import type { Selection } from "../planner/selection.ts";
import type { OwnerMappings } from "../runtime/driver.ts";
import { copyTree } from "./copy-tree.ts";
import { agentMissing, mountSourceNotFound, secretMissing } from "./errors.ts";
import { UpperTree } from "./upper-tree.ts";

export interface MountPlace {
  /** A folder on the upperdir's file system that is removed after the step. */
  readonly scratchDir: () => string;
  readonly cacheMountsFolder: string;
  readonly secrets: ReadonlyMap<string, SecretSource>;
  readonly ssh: ReadonlyMap<string, SshSource>;
  /** What a new cache mount with a `from` is filled with: by target. */
  readonly filling: (target: string) => Selection | undefined;
  /** Trees of a stage or image, bottom first. */
  readonly trees: (from: TreeRef) => Promise<readonly string[]>;
  /** Of a folder of the image; undefined where there is none. */
  readonly folderMode: (path: string) => number | undefined;
  /** What a bind shows of a context; it is only read. */
  readonly context: (bind: BindOfContext) => Promise<ContextBind>;
  /** One overlay option a tree, for a driver that uses the new mount interface; else one for all. */
  readonly overlayOptions: "lowerdir+" | "lowerdir";
  readonly signal: AbortSignal;
}

export interface BindOfContext {
  /** Of the context; the main one has none. */
  readonly name: string | undefined;
  readonly source: string;
  readonly target: string;
  readonly readonly: boolean;
}

export interface ContextBind {
  /** Absolute. */
  readonly path: string;
  /** Who has all of its files on the host, where that is not root: they are shown as root's. */
  readonly owner?: { readonly uid: number; readonly gid: number };
}

export interface PreparedMounts extends Disposable {
  readonly mounts: readonly MountSpec[];
  /** Of secrets, last in the environment. */
  readonly env: readonly string[];
  /** The container runs: what only its mounts must still see goes away. */
  started(): void;
}

/** @throws {TsbuildError} `SOURCE_NOT_FOUND`, `INVALID_ARGUMENT`, `UNSUPPORTED` */
export async function prepareMounts(input: RunInput, place: MountPlace): Promise<PreparedMounts> {
  const preparation = new Preparation(place);
  try {
    preparation.scripts(input.scripts);
    for (const mount of input.mounts) await preparation.add(mount);
    return preparation;
  } catch (error) {
    preparation[Symbol.dispose]();
    throw error;
  }
}

class Preparation implements PreparedMounts {
  readonly mounts: MountSpec[] = [];
  readonly env: string[] = [];
  readonly #place: MountPlace;
  readonly #caches = new Map<string, string>();
  readonly #locks: number[] = [];
  readonly #agents: Disposable[] = [];
  #secretsFolder: string | undefined;
  #socketsFolder: string | undefined;
  #count = 0;

  constructor(place: MountPlace) {
    this.#place = place;
  }

  /** Read-only, in a folder that exists for this step alone. */
  scripts(scripts: RunInput["scripts"]): void {
    if (scripts.length === 0) return;
    const folder = this.#scratch("pipes");
    mkdirSync(folder, { mode: 0o755 });
    for (const { name, content } of scripts) {
      writeFileSync(`${folder}/${name}`, content);
      chmodSync(`${folder}/${name}`, 0o755);
    }
    this.mounts.push({ destination: "/dev/pipes", type: "bind", source: folder, options: ["rbind", "ro"] });
  }

  async add(mount: RunMount): Promise<void> {
    switch (mount.type) {
      case "bind":
        this.mounts.push(await this.#bind(mount));
        return;
      case "cache":
        this.mounts.push({
          destination: mount.target,
          type: "bind",
          source: await this.#cache(mount),
          options: ["rbind", mount.readonly ? "ro" : "rw"],
        });
        return;
      case "tmpfs":
        this.mounts.push({
          destination: mount.target,
          type: "tmpfs",
          source: "tmpfs",
          options: [
            "nosuid",
            "nodev",
            ...(mount.readonly ? ["ro"] : []),
            `mode=${this.#modeOfTarget(mount.target).toString(8)}`,
            ...(mount.sizeBytes === undefined ? [] : [`size=${mount.sizeBytes}`]),
          ],
        });
        return;
      case "secret":
        this.#secret(mount);
        return;
      case "ssh":
        await this.#agent(mount);
        return;
      default:
        assertNever(mount);
    }
  }

  /** A tmpfs has the mode of the folder that it covers, and is everyone's where there was none. As with runc. */
  #modeOfTarget(target: string): number {
    const isInside = this.mounts.some(({ destination }) => target.startsWith(`${destination}/`));
    const covered = isInside || /^\/(?:dev|proc|sys)\//.test(target) ? undefined : this.#place.folderMode(target);
    return covered ?? 0o1777;
  }

  started(): void {
    if (this.#secretsFolder !== undefined) rmSync(this.#secretsFolder, { recursive: true, force: true });
    this.#secretsFolder = undefined;
  }

  [Symbol.dispose](): void {
    this.started();
    for (const agent of this.#agents.splice(0)) agent[Symbol.dispose]();
    if (this.#socketsFolder !== undefined) rmSync(this.#socketsFolder, { recursive: true, force: true });
    this.#socketsFolder = undefined;
    for (const lock of this.#locks.splice(0)) closeSync(lock);
  }

  // bind ------------------------------------------------------------------------------------------------------------

  async #bind(mount: Extract<RunMount, { type: "bind" }>): Promise<MountSpec> {
    const { from, source, target, readonly } = mount;
    const options = ["rbind", readonly ? "ro" : "rw"];
    if (from.kind === "context") {
      const { path, owner } = await this.#place.context({ name: from.name, source, target, readonly });
      if (readonly) return { destination: target, type: "bind", source: path, options, ...(owner && asRoots(owner)) };
      return lstatSync(path).isDirectory()
        ? this.#overlay(target, [path], false)
        : { destination: target, type: "bind", source: this.#privateCopy(path), options };
    }
    const trees = await this.#place.trees(from);
    const root = new UpperTree(trees.at(-1) ?? this.#emptyFolder(), trees.slice(0, -1));
    const { path, node } = root.resolve(bytePath(source));
    if (node === undefined) throw mountSourceNotFound(source, describe(from));
    if (node.type !== "dir") {
      const file = readonly ? String(node.hostPath) : this.#privateCopy(String(node.hostPath));
      return { destination: target, type: "bind", source: file, options };
    }
    return this.#overlay(target, root.foldersAt(path).toReversed(), readonly);
  }

  /** `folders` bottom first. Writes, if there may be any, go to the scratch folder and away with it. */
  #overlay(target: string, folders: readonly string[], readonly: boolean): MountSpec {
    const [only, ...more] = folders;
    if (readonly && only !== undefined && more.length === 0)
      return { destination: target, type: "bind", source: only, options: ["rbind", "ro"] };
    const topmostFirst = folders.toReversed();
    const options =
      this.#place.overlayOptions === "lowerdir+"
        ? topmostFirst.map((folder) => `lowerdir+=${folder}`)
        : [`lowerdir=${topmostFirst.map((folder) => folder.replace(/[\\:,]/g, "\\$&")).join(":")}`];
    if (readonly) options.push("ro");
    else {
      const upper = this.#scratch("upper");
      const work = this.#scratch("work");
      mkdirSync(upper);
      mkdirSync(work);
      copyFolderMetadata(topmostFirst[0] ?? upper, upper);
      options.push(`upperdir=${upper}`, `workdir=${work}`);
    }
    return { destination: target, type: "overlay", source: "overlay", options };
  }

  #privateCopy(file: string): string {
    const copy = this.#scratch("file");
    writeFileSync(copy, readFileSync(file));
    copyFolderMetadata(file, copy);
    return copy;
  }

  // cache -----------------------------------------------------------------------------------------------------------

  /** The folder of a cache mount, locked as its sharing wants until this is disposed. */
  async #cache(mount: Extract<RunMount, { type: "cache" }>): Promise<string> {
    const key = hexOf(sha256(cacheIdentity(mount, this.#place.filling(mount.target))));
    const known = this.#caches.get(key);
    if (known !== undefined) return known;
    const { cacheMountsFolder, signal } = this.#place;
    for (let instance = 0; ; ) {
      signal.throwIfAborted();
      const folder = `${cacheMountsFolder}/${instance === 0 ? key : `${key}-${instance}`}`;
      const lock = openSync(`${folder}.lock`, constants.O_RDWR | constants.O_CREAT, 0o600);
      if (libc("flock", lock, (mount.sharing === "shared" ? LOCK_SH : LOCK_EX) | LOCK_NB) === 0) {
        this.#locks.push(lock);
        this.#create(folder, mount);
        this.#caches.set(key, folder);
        return folder;
      }
      closeSync(lock);
      if (mount.sharing === "private") instance++;
      else await wait(25, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }

  /** Complete before it has its name; two that make it at once: the first one's stays. */
  #create(folder: string, mount: Extract<RunMount, { type: "cache" }>): void {
    if (lstatSync(folder, { throwIfNoEntry: false }) !== undefined) return;
    const staged = mkdtempSync(`${this.#place.scratchDir()}/cache-`);
    if (mount.from.kind !== "scratch") this.#fill(staged, mount);
    else {
      chownSync(staged, mount.uid, mount.gid);
      chmodSync(staged, mount.mode);
    }
    try {
      renameSync(staged, folder);
    } catch (error) {
      const code = errnoOf(error);
      if (code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
    }
  }

  #fill(folder: string, mount: Extract<RunMount, { type: "cache" }>): void {
    const [source] = this.#place.filling(mount.target)?.sources ?? [];
    if (source === undefined || source.entries[0].type !== "dir")
      throw mountSourceNotFound(mount.source, describe(mount.from));
    copyTree({
      upperdir: folder,
      lowerdirs: [],
      destination: "/",
      sources: [source],
      owner: undefined,
      chmod: undefined,
      parents: false,
    });
    const { mode, uid, gid } = source.entries[0];
    chownSync(folder, uid, gid);
    chmodSync(folder, mode);
  }

  // secret ----------------------------------------------------------------------------------------------------------

  #secret(mount: Extract<RunMount, { type: "secret" }>): void {
    const secret = this.#place.secrets.get(mount.id);
    if (secret === undefined) {
      if (mount.required) throw secretMissing(mount.id);
      // Set and empty: what the command tests for must not depend on who builds.
      if (mount.env !== undefined) this.env.push(`${mount.env}=`);
      return;
    }
    const value = secret.kind === "file" ? readFileSync(secret.path) : Buffer.from(secret.value);
    if (mount.env !== undefined) this.env.push(`${mount.env}=${value.toString("utf8")}`);
    if (mount.target === undefined) return;
    this.#secretsFolder ??= makeMemoryFolder("secrets");
    const source = `${this.#secretsFolder}/${this.#count++}`;
    writeFileSync(source, value, { mode: 0o400 });
    chownSync(source, mount.uid, mount.gid);
    chmodSync(source, mount.mode);
    const noexec = (mount.mode & 0o111) === 0 ? ["noexec"] : [];
    this.mounts.push({
      destination: mount.target,
      type: "bind",
      source,
      options: ["rbind", "ro", "nosuid", "nodev", ...noexec],
    });
  }

  // ssh -------------------------------------------------------------------------------------------------------------

  async #agent(mount: Extract<RunMount, { type: "ssh" }>): Promise<void> {
    const agent = this.#place.ssh.get(mount.id);
    if (agent === undefined) {
      if (mount.required) throw agentMissing(mount.id);
      return;
    }
    // Not in the store: the name of a socket has at most 107 bytes.
    this.#socketsFolder ??= makeMemoryFolder("ssh");
    const source = `${this.#socketsFolder}/${this.#count++}`;
    const { forwardAgent } = await import("./ssh/forward-agent.ts");
    this.#agents.push(await forwardAgent(agent, source, mount));
    this.mounts.push({ destination: mount.target, type: "bind", source, options: ["rbind", "rw", "nosuid", "nodev"] });
  }

  #scratch(what: string): string {
    return `${this.#place.scratchDir()}/${what}-${this.#count++}`;
  }

  #emptyFolder(): string {
    const folder = this.#scratch("empty");
    mkdirSync(folder);
    return folder;
  }
}

/** Mappings that show the files of one owner as root's. */
export function asRoots(owner: NonNullable<ContextBind["owner"]>): OwnerMappings {
  const to = (id: number) => [{ containerID: id, hostID: 0, size: 1 }];
  return { uidMappings: to(owner.uid), gidMappings: to(owner.gid) };
}

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const TMPFS_MAGIC = 0x01021994;

/** Another base or another owner is another cache; as with BuildKit the base counts by what it is, not by its name. */
function cacheIdentity(mount: Extract<RunMount, { type: "cache" }>, base: Selection | undefined): string {
  const { id, source, mode, uid, gid } = mount;
  const owned = mode !== 0o755 || uid !== 0 || gid !== 0;
  const filled = base === undefined ? undefined : { digest: base.digest, source };
  return canonicalJson({ id, base: filled, owner: owned ? { mode, uid, gid } : undefined });
}

function describe(from: TreeRef): string {
  switch (from.kind) {
    case "scratch":
      return "scratch";
    case "image":
      return from.image.name;
    case "step":
      return `step ${from.step}`;
    case "context":
      return from.name === undefined ? "the build context" : `the build context ${from.name}`;
    default:
      return assertNever(from);
  }
}

function copyFolderMetadata(from: string, to: string): void {
  const { uid, gid, mode } = lstatSync(from);
  chownSync(to, uid, gid);
  chmodSync(to, mode & 0o7777);
}

/**
 * A folder in memory for as long as a container starts: its binds keep the files when their names are gone. One that a
 * killed process has left is taken away by the next.
 */
function makeMemoryFolder(kind: "secrets" | "ssh"): string {
  const base = ["/run", "/dev/shm"].find((folder) => isTmpfs(folder)) ?? "/run";
  for (const name of readdirSync(base)) {
    const owner = /^tsbuild-(?:secrets|ssh)-([0-9]+)-/.exec(name)?.[1];
    if (owner !== undefined && lstatSync(`/proc/${owner}`, { throwIfNoEntry: false }) === undefined)
      rmSync(`${base}/${name}`, { recursive: true, force: true });
  }
  return mkdtempSync(`${base}/tsbuild-${kind}-${process.pid}-`);
}

function isTmpfs(folder: string): boolean {
  try {
    return statfsSync(folder).type === TMPFS_MAGIC;
  } catch {
    return false; // not there, so it is none
  }
}
