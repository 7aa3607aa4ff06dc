/** Builds through the program, and what came of it, read back from the store. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { bytePath, textOfBytePath } from "../../src/kernel/byte-path.ts";
import type { ImageConfig } from "../../src/oci/image-config.ts";
import type { LayerEntry } from "../../src/store/layer-entry.ts";
import { layeredView } from "../../src/store/layered-view.ts";
import { openStore } from "../../src/store/open-store.ts";
import { busyboxTree } from "../support/busybox-rootfs.ts";
import { type TsbuildResult, tsbuild } from "../support/tsbuild.ts";

/** `name: content`, `name/: ""` a folder, `name -> target` a link; a mode in octal may follow the name: `name@755`. */
export type Files = Readonly<Record<string, string>>;

export interface Built extends TsbuildResult {
  /** Of the image that was built; fails the test when there is none. */
  readonly image: BuiltImage;
}

export interface BuiltImage {
  readonly id: string;
  readonly config: ImageConfig;
  readonly configText: string;
  /** Each layer as `path`, `path/`, `path -> target`, `.wh.path`, in tar order. */
  readonly layers: readonly (readonly string[])[];
  /** `mode uid:gid` of a path of the last layer. */
  metadata(path: string): string;
  read(path: string): string | undefined;
  /** Modification time of a path, in epoch seconds. */
  times(path: string): number | undefined;
}

export class Workshop implements Disposable {
  readonly folder: string = mkdtempSync("/tmp/tsbuild-test-e2e-");
  readonly root: string = `${this.folder}/store`;
  #count = 0;

  /** Imports the image `b`: busybox, `bob` (1000) and `staff` (50). */
  async importBase(): Promise<void> {
    busyboxTree(`${this.folder}/base`);
    // What a RUN would add to a bare root file system: so that layers of these tests hold their own doing only.
    for (const name of ["dev", "proc", "sys"]) mkdirSync(`${this.folder}/base/${name}`);
    execFileSync("tar", ["-cf", `${this.folder}/base.tar`, "-C", `${this.folder}/base`, "."]);
    const imported = await this.tsbuild(["import", `${this.folder}/base.tar`, "b"]);
    if (imported.code !== 0) throw new Error(imported.stderr);
  }

  async tsbuild(args: readonly string[], input?: string | Uint8Array): Promise<TsbuildResult> {
    return await tsbuild(args, {
      env: { TSBUILD_ROOT: this.root },
      cwd: this.folder,
      ...(input !== undefined && { input }),
    });
  }

  /** A new context folder: absolute. */
  context(files: Files): string {
    const context = `${this.folder}/context${this.#count++}`;
    mkdirSync(context);
    for (const [name, content] of Object.entries(files)) make(context, name, content);
    return context;
  }

  /** `dockerfile` with `⏎` or real line ends. */
  async build(dockerfile: string, files: Files = {}, args: readonly string[] = []): Promise<Built> {
    return await this.buildIn(this.context(files), dockerfile, args);
  }

  async buildIn(context: string, dockerfile: string, args: readonly string[] = []): Promise<Built> {
    const file = `${this.folder}/Dockerfile${this.#count++}`;
    const idFile = `${file}.id`;
    writeFileSync(file, `${dockerfile.replaceAll("⏎", "\n")}\n`);
    const result = await this.tsbuild(["build", "--progress=plain", "--iidfile", idFile, "-f", file, ...args, context]);
    const read = (): BuiltImage => this.image(result, idFile);
    return {
      ...result,
      get image() {
        return read();
      },
    };
  }

  image(result: TsbuildResult, idFile: string): BuiltImage {
    if (result.code !== 0) throw new Error(`the build failed:\n${result.stderr}`);
    const id = execFileSync("cat", [idFile], { encoding: "utf8" });
    using store = openStore(this.root);
    const image = store.images.lookup(id);
    const indexes = image.chain.map((layer) => store.layers.index(layer));
    const trees = store.layers.trees(image.chain);
    return {
      id,
      config: image.config,
      configText: image.configBytes.toString(),
      layers: indexes.map((index) => index.map(printed)),
      metadata: (path) => {
        const entry = indexes.at(-1)?.find((each) => textOfBytePath(each.path) === path);
        return entry === undefined ? "missing" : `${entry.mode.toString(8)} ${entry.uid}:${entry.gid}`;
      },
      times: (path) => {
        const found = layeredView(trees).lookup(bytePath(path));
        return found === undefined ? undefined : Number(found.stat.mtimeNs / 1_000_000_000n);
      },
      read: (path) =>
        layeredView(trees)
          .readFile(bytePath(path), 1 << 20)
          ?.toString(),
    };
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function make(context: string, name: string, content: string): void {
  const [link = "", target] = name.split(" -> ");
  const [path = "", mode] = link.split("@");
  const full = `${context}/${path}`;
  mkdirSync(dirname(full), { recursive: true });
  if (target !== undefined) symlinkSync(target, full);
  else if (path.endsWith("/")) mkdirSync(full, { recursive: true });
  else writeFileSync(full, content);
  if (mode !== undefined) chmodSync(full, Number.parseInt(mode, 8));
}

function printed(entry: LayerEntry): string {
  const path = textOfBytePath(entry.path);
  switch (entry.type) {
    case "dir":
      return `${path}/`;
    case "symlink":
      return `${path} -> ${textOfBytePath(entry.target)}`;
    case "hardlink":
      return `${path} = ${textOfBytePath(entry.target)}`;
    case "whiteout":
      return path.replace(/[^/]*$/, ".wh.$&");
    default:
      return path;
  }
}
