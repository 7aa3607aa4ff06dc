/**
 * Programs that a spec wants to be run at points of a container's life. Each gets the container's state as JSON on its
 * standard input, and the bundle's config.json to look at.
 * Source: runtime-spec, config.md, "POSIX-platform Hooks", and runtime.md, "Lifecycle", "State".
 */
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { startTimeOf } from "../../../kernel/processes.ts";
import type { HookName, HookSpec, RuntimeSpec } from "../../../oci/runtime-spec.ts";
import { ownCapabilities } from "../../container-spec.ts";
import type { ExecRequest, RunningContainer } from "../../driver.ts";
import { hookFailed } from "../errors.ts";
import type { Moments } from "./launch.ts";

/** Runs a program in the namespaces of a container that waits to be started: `file`, by the words of `process`. */
export type RunInside = (request: ExecRequest, file: string) => Promise<RunningContainer>;

export interface HookPlan {
  readonly id: string;
  readonly spec: RuntimeSpec;
  /** Where the root file system is mounted, as the container's mount namespace has it before the root changes. */
  readonly root: string;
  /** Made here: for config.json, and where hooks start. */
  readonly bundle: string;
  readonly runInside: RunInside;
  readonly signal: AbortSignal;
  /** Hears of hooks that failed when it was too late to matter. */
  readonly warn: (text: string) => void;
}

/** Undefined for a spec without hooks, which is nearly every one. */
export function hookMoments(plan: HookPlan): Moments | undefined {
  const { spec } = plan;
  const hooks = (name: HookName): readonly HookSpec[] => spec.hooks?.[name] ?? [];
  if (Object.values(spec.hooks ?? {}).every((list) => list.length === 0)) return undefined;
  mkdirSync(plan.bundle);
  const config = { ...spec, root: { ...spec.root, path: plan.root } };
  writeFileSync(join(plan.bundle, "config.json"), JSON.stringify(config));
  const run = async (name: HookName, status: Status, pid: number): Promise<void> => {
    for (const hook of hooks(name)) await runHook(plan, { name, hook, status, pid });
  };
  const runToTheEnd = async (name: HookName, status: Status, pid: number): Promise<void> => {
    for (const hook of hooks(name))
      await runHook(plan, { name, hook, status, pid }).catch((error: unknown) => plan.warn(String(error)));
  };
  return {
    created: async (pid) => {
      await run("prestart", "creating", pid);
      await run("createRuntime", "creating", pid);
      await run("createContainer", "creating", pid);
    },
    beforeCommand: hooks("startContainer").length === 0 ? undefined : (pid) => run("startContainer", "created", pid),
    started: (pid) => runToTheEnd("poststart", "running", pid),
    ended: (pid) => runToTheEnd("poststop", "stopped", pid),
  };
}

type Status = "creating" | "created" | "running" | "stopped";

interface HookRun {
  readonly name: HookName;
  readonly hook: HookSpec;
  readonly status: Status;
  readonly pid: number;
}

interface Ended {
  readonly code: number;
  readonly said: string;
}

/** @throws {TsbuildError} `RUNTIME_FAILED` with what the hook said */
async function runHook(plan: HookPlan, run: HookRun): Promise<void> {
  const { hook, name, status, pid } = run;
  const { id, bundle, spec } = plan;
  const state = JSON.stringify({
    ociVersion: spec.ociVersion,
    id,
    status,
    ...(status !== "stopped" && { pid }),
    bundle,
    ...(spec.annotations !== undefined && { annotations: spec.annotations }),
  });
  const limit = hook.timeout === undefined ? undefined : AbortSignal.timeout(hook.timeout * 1000);
  // What comes after the end has to be done even if that was an abort.
  const signals = [status === "stopped" ? [] : plan.signal, limit ?? []].flat();
  const signal = AbortSignal.any(signals);
  const isInside = name === "createContainer" || name === "startContainer";
  const { code, said } = await (isInside ? inside : outside)(plan, run, state, signal).catch((error: unknown) => {
    if (limit?.aborted === true) return { code: -1, said: "" };
    signal.throwIfAborted();
    const why = error instanceof Error ? error.message : String(error);
    throw hookFailed(name, hook.path, "cannot be executed", why.replace(/^cannot start the container: /, ""), error);
  });
  if (limit?.aborted === true) throw hookFailed(name, hook.path, `took more than ${hook.timeout} s`, "");
  if (code !== 0) throw hookFailed(name, hook.path, `exited with status ${code}`, said);
}

/** Nothing of our own environment. */
const plainEnvironment = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];

function outside(plan: HookPlan, { hook }: HookRun, state: string, signal: AbortSignal): Promise<Ended> {
  const { promise, resolve, reject } = Promise.withResolvers<Ended>();
  const [argv0 = hook.path, ...args] = hook.args ?? [];
  const env = Object.fromEntries(
    (hook.env ?? plainEnvironment).map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]),
  );
  const child = spawn(hook.path, args, {
    argv0,
    env,
    cwd: plan.bundle,
    stdio: ["pipe", "pipe", "pipe"],
    signal,
    killSignal: "SIGKILL",
  });
  // Who does not read it need not.
  child.stdin.on("error", () => undefined).end(state);
  const said = collected([child.stdout, child.stderr]);
  child.on("error", reject);
  child.on("close", (code) => resolve({ code: code ?? 128, said: said() }));
  return promise;
}

/** In the container's namespaces: of the host's files before the root changes, of the container's after. */
async function inside(plan: HookPlan, run: HookRun, state: string, signal: AbortSignal): Promise<Ended> {
  const { hook, name, pid } = run;
  const { spec, id, bundle, runInside } = plan;
  const process = {
    args: [...(hook.args ?? [hook.path])],
    env: hook.env ?? plainEnvironment,
    terminal: false,
    // A file of the container gets no more than the container.
    ...(name === "startContainer" ? ofContainer(spec) : { ...ofHost(), cwd: bundle }),
  };
  const hosted = await runInside(
    {
      pid,
      startTime: startTimeOf(pid) ?? "0",
      containerId: id,
      process,
      linux: name === "startContainer" ? spec.linux : {},
      stdio: { stdin: "pipe", stdout: "pipe", stderr: "pipe" },
      signal,
    },
    hook.path,
  );
  hosted.stdin?.on("error", () => undefined).end(state);
  const said = collected([hosted.stdout, hosted.stderr]);
  const { code } = await hosted.exited;
  return { code, said: said() };
}

function ofContainer({ process }: RuntimeSpec): Omit<RuntimeSpec["process"], "args" | "env"> {
  const { terminal: _, consoleSize: _size, args: _args, env: _env, ...rest } = process;
  return { ...rest, cwd: "/" };
}

/** All that we have ourselves. */
function ofHost(): Omit<RuntimeSpec["process"], "args" | "env" | "cwd"> {
  const own = ownCapabilities();
  const capabilities = { bounding: own, effective: own, permitted: own, inheritable: [], ambient: [] };
  return { user: { uid: 0, gid: 0 }, capabilities };
}

/** The first of it: for an error. */
function collected(streams: readonly (Readable | undefined)[]): () => string {
  const chunks: Buffer[] = [];
  let length = 0;
  for (const stream of streams)
    stream?.on("data", (chunk: Buffer) => {
      if (length < 4096) chunks.push(chunk);
      length += chunk.length;
    });
  return () => Buffer.concat(chunks).toString("utf8").slice(0, 4096).trim();
}
