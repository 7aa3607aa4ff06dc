/** A tar on standard output, or into a file that has its name only when it is complete. */
import { once } from "node:events";
import { closeSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { TsbuildError } from "../../errors.ts";
import type { TarOutput } from "../../runtime/copy-files.ts";
import type { CommandContext } from "../command.ts";

/** @throws {TsbuildError} `USAGE` for a terminal. */
export function standardOutput({ stdout }: CommandContext, refusal: string): TarOutput {
  if (stdout.isTTY) throw new TsbuildError({ code: "USAGE", what: refusal });
  return (chunk) => (stdout.write(chunk) ? undefined : once(stdout, "drain").then(() => undefined));
}

export interface TarFile extends Disposable {
  readonly output: TarOutput;
  /** Without it, disposing leaves no file. */
  complete(): void;
}

export function tarFile(path: string): TarFile {
  const staged = `${path}.${process.pid}.tmp`;
  let fd: number | undefined = openSync(staged, "wx", 0o644);
  const close = (): void => {
    if (fd !== undefined) closeSync(fd);
    fd = undefined;
  };
  return {
    output(chunk) {
      if (fd !== undefined) for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
      return undefined;
    },
    complete() {
      close();
      renameSync(staged, path);
    },
    [Symbol.dispose]() {
      close();
      rmSync(staged, { force: true });
    },
  };
}
