/** tsbuild as a user calls it, without a process of its own for each call: the command line with a world made here. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { runCommandLine } from "../src/cli/run-command-line.ts";
import type { BuildEvent } from "../src/executor/events.ts";
import type { Builder, BuildRun } from "./build-run.ts";
import { readImage } from "./image.ts";
import type { BuildCall } from "./workspace.ts";

/** Makes a store in `root` with the base in it. */
export async function startTsbuild(root: string, base: string, signal: AbortSignal): Promise<Builder> {
  const call = async (args: readonly string[], at: Partial<BuildCall> = {}): Promise<{ code: number; log: string }> => {
    const chunks: Buffer[] = [];
    const code = await runCommandLine(args, {
      stdin: () => streamOf(at.input),
      stdout: () => sink([]),
      stderr: () => sink(chunks),
      environment: { PATH: process.env["PATH"], TSBUILD_ROOT: root, ...at.environment },
      cwd: at.cwd ?? "/",
      uid: process.getuid?.() ?? 0,
      signal,
      interceptSignals: () => ({ [Symbol.dispose]: () => undefined }),
      setColor: () => undefined,
    });
    return { code, log: Buffer.concat(chunks).toString() };
  };
  const loaded = await call(["load", "-i", base]);
  if (loaded.code !== 0) throw new Error(loaded.log);
  return {
    name: "tsbuild",
    async build(at) {
      const idFile = join(at.cwd, "id");
      rmSync(idFile, { force: true });
      const tag = at.tag === undefined ? [] : ["-t", at.tag];
      const { code, log } = await call(["build", "--progress=json", "--iidfile=id", ...tag, ...at.args, at.path], at);
      return runOf(code, log, existsSync(idFile) ? readFileSync(idFile, "utf8") : undefined);
    },
    async read({ image = "" }, folder) {
      const archive = join(folder, "image.tar");
      const { code, log } = await call(["save", "-o", archive, image]);
      if (code !== 0) throw new Error(log);
      return await readImage(archive);
    },
  };
}

function sink(chunks: Buffer[]): NodeJS.WriteStream {
  const stream = new Writable({
    write(chunk: Buffer | string, _encoding, done) {
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  // A stream that is no terminal: the command line asks for nothing that a Writable lacks.
  return stream as NodeJS.WriteStream;
}

function streamOf(input: string | Uint8Array | undefined): NodeJS.ReadStream {
  // As above, for reading.
  return Readable.from(input === undefined ? [] : [Buffer.from(input)]) as NodeJS.ReadStream;
}

function runOf(code: number, text: string, image: string | undefined): BuildRun {
  const events: BuildEvent[] = [];
  const words: string[] = [];
  for (const line of text.split("\n")) {
    if (!line.startsWith('{"kind":')) words.push(line);
    // What the library reports, printed by the progress of that name: bytes are base64 there.
    else events.push(JSON.parse(line) as BuildEvent);
  }
  const titles = new Map(
    events.flatMap((event) => (event.kind === "plan" ? event.steps.map((step) => [step.id, step.text]) : [])),
  );
  const stepsOf = (kind: BuildEvent["kind"]): readonly string[] =>
    events.flatMap((event) => (event.kind === kind && "step" in event ? (titles.get(event.step) ?? []) : []));
  const output = Map.groupBy(
    events.flatMap((event) => (event.kind === "stepOutput" ? [event] : [])),
    ({ step, stream }) => `${step} ${stream}`,
  );
  const printed = [...output.values()].flatMap((parts) =>
    Buffer.concat(parts.map(({ bytes }) => Buffer.from(String(bytes), "base64")))
      .toString()
      .split("\n"),
  );
  const notes = events.flatMap((event) => {
    if (event.kind === "note") return [event.text];
    return event.kind === "warning" ? [event.diagnostic.message] : [];
  });
  return {
    ok: code === 0,
    refused: !events.some(({ kind }) => kind === "plan"),
    log: [...notes, ...words].join("\n").trim(),
    printed,
    hits: stepsOf("stepHit"),
    misses: stepsOf("stepStarted"),
    image,
  };
}
