/** One container for a test: folders, a spec with Docker's defaults, and what came out of it. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type ContainerSpecOptions, containerSpec } from "../../src/runtime/container-spec.ts";
import type { ContainerRequest, Driver, ExitStatus, RunningContainer } from "../../src/runtime/driver.ts";
import { busyboxTree, hasBusybox } from "./busybox-rootfs.ts";

/** Containers need root, and these a static busybox. */
export const canRunContainers: boolean = process.getuid?.() === 0 && hasBusybox;

/** A checkout that was not built has no launcher yet. */
export function buildLauncherOnce(): void {
  const root = fileURLToPath(new URL("../../", import.meta.url));
  if (existsSync(join(root, `dist/launcher-${process.arch}`))) return;
  const run = spawnSync(process.execPath, [join(root, "scripts/build-launcher.mjs")], { encoding: "utf8" });
  if (run.status !== 0) throw new Error(run.stderr);
}

/** A folder of base layer and containers; removed with everything in it. */
export interface Sandbox extends Disposable {
  readonly folder: string;
  /** A busybox tree. */
  readonly base: string;
  /** A request with a fresh upper directory; `upperdir` is its path. */
  request(options: RequestOptions): ContainerRequest & { readonly upperdir: string };
}

export interface RequestOptions extends Partial<Omit<ContainerRequest, "spec">> {
  readonly args: readonly string[];
  readonly spec?: Partial<ContainerSpecOptions>;
  /** Layers above the base, bottom first. */
  readonly layers?: readonly string[];
}

export function sandbox(): Sandbox {
  const folder = mkdtempSync(join(tmpdir(), "tsbuild-test-"));
  const base = join(folder, "base");
  busyboxTree(base);
  let count = 0;
  return {
    folder,
    base,
    request: ({ args, spec, layers = [], ...rest }) => {
      count += 1;
      const own = join(folder, `container${count}`);
      const upperdir = join(own, "upper");
      for (const name of ["upper", "work", "scratch"]) mkdirSync(join(own, name), { recursive: true });
      const id = `test-${process.pid}-${count}`;
      return {
        id,
        spec: containerSpec({
          args,
          env: ["PATH=/bin"],
          cwd: "/",
          user: { uid: 0, gid: 0, additionalGids: [] },
          hostname: "box",
          network: "none",
          ...spec,
        }),
        rootfs: {
          kind: "overlay",
          lowerdirs: [base, ...layers],
          upperdir,
          workdir: join(own, "work"),
          volatile: true,
        },
        sharedDir: join(folder, "shared"),
        scratchDir: () => join(own, "scratch"),
        network: { kind: "none" },
        stdio: { stdin: "null", stdout: "pipe", stderr: "pipe" },
        init: false,
        signal: new AbortController().signal,
        ...rest,
        upperdir,
      };
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

export interface Output {
  readonly status: ExitStatus;
  readonly stdout: string;
  readonly stderr: string;
}

/** Waits for the end of a container and of its output. */
export async function outputOf(container: RunningContainer): Promise<Output> {
  const [stdout, stderr, status] = await Promise.all([
    textOf(container.stdout),
    textOf(container.stderr),
    container.exited,
  ]);
  return { status, stdout, stderr };
}

async function textOf(stream: AsyncIterable<Buffer> | undefined): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream ?? []) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

export async function runOnce(driver: Driver, request: ContainerRequest): Promise<Output> {
  return await outputOf(await driver.start(request));
}
