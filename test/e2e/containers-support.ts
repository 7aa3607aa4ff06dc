/** Containers through the program: a store with the image `b`, and all that runs in it ended afterwards. */
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { program, type TsbuildResult } from "../support/tsbuild.ts";
import { Workshop } from "./build-support.ts";

/** What is used of node-pty: its own declarations are for another module name than the one it is installed by. */
interface Pty {
  readonly pid: number;
  onData(listener: (data: string) => void): void;
  onExit(listener: (end: { readonly exitCode: number; readonly signal?: number }) => void): void;
  write(data: string): void;
  resize(columns: number, rows: number): void;
}
interface PtyOptions {
  readonly cols: number;
  readonly rows: number;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}
const { spawn: spawnPty } = createRequire(import.meta.url)("node-pty") as {
  readonly spawn: (file: string, args: readonly string[], options: PtyOptions) => Pty;
};

export class Yard extends Workshop implements AsyncDisposable {
  /** `tsbuild …`, words separated by blanks; longer ones come as an array. */
  async t(words: string | readonly string[], input?: string | Uint8Array): Promise<TsbuildResult> {
    return await this.tsbuild(typeof words === "string" ? words.split(" ") : words, input);
  }

  /** The same for what must succeed: its standard output without the last newline. */
  async out(words: string | readonly string[], input?: string | Uint8Array): Promise<string> {
    const { code, stdout, stderr } = await this.t(words, input);
    if (code !== 0) throw new Error(`exit code ${code}: ${stdout}${stderr}`);
    return stdout.replace(/\n$/, "");
  }

  /** In a terminal of 100 × 30. */
  terminal(words: readonly string[]): Terminal {
    return new Terminal([process.execPath, program, ...words], this.root, this.folder);
  }

  /** A shell in one; `$TSBUILD` is the program. */
  shell(script: string): Terminal {
    const command = `TSBUILD='${process.execPath} ${program}'; ${script}`;
    return new Terminal(["/bin/sh", "-c", command], this.root, this.folder);
  }

  containers(): readonly string[] {
    return readdirSync(`${this.root}/containers`).filter((name) => /^[0-9a-f]{64}$/.test(name));
  }

  /** Removes all containers: what a test that failed left must not fail the next. */
  async clear(): Promise<void> {
    const containers = this.containers();
    if (containers.length > 0) await this.t(["rm", "-f", "-v", ...containers]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.clear();
    this[Symbol.dispose]();
  }
}

export async function yard(): Promise<Yard> {
  const made = new Yard();
  await made.importBase();
  return made;
}

/** A process in a pseudo-terminal of ours. */
export class Terminal implements Disposable {
  readonly #pty: Pty;
  readonly exited: Promise<number>;
  text = "";
  #wake: () => void = () => undefined;

  constructor(words: readonly string[], root: string, cwd: string) {
    const env = { ...process.env, TSBUILD_ROOT: root, TERM: "xterm" };
    const [file = "", ...args] = words;
    this.#pty = spawnPty(file, args, { cols: 100, rows: 30, cwd, env });
    this.#pty.onData((data) => {
      this.text += data;
      this.#wake();
    });
    this.exited = new Promise((resolve) => {
      this.#pty.onExit(({ exitCode, signal }) => resolve(signal ? 128 + signal : exitCode));
    });
  }

  get pid(): number {
    return this.#pty.pid;
  }

  type(text: string): void {
    this.#pty.write(text);
  }

  resize(columns: number, rows: number): void {
    this.#pty.resize(columns, rows);
  }

  /** Waits until the screen has shown it. */
  async shows(pattern: RegExp, withinMs = 15_000): Promise<void> {
    const deadline = performance.now() + withinMs;
    while (!pattern.test(this.text)) {
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`${pattern} did not appear in: ${JSON.stringify(this.text)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  [Symbol.dispose](): void {
    try {
      process.kill(this.#pty.pid, "SIGKILL");
    } catch {
      // It has ended.
    }
  }
}

/** Until `condition` holds. */
export async function until(condition: () => boolean | Promise<boolean>, withinMs = 15_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
