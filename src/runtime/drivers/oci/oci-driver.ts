/**
 * The driver over an installed OCI runtime (runc, crun, …). The bundle lies in the scratch folder, as does the runtime's
 * own state, so that nothing of it is in /run. A further process needs only the container's namespaces, not who made
 * them: `exec` is the native driver's.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import type { TsbuildError } from "../../../errors.ts";
import { signalPid } from "../../../kernel/processes.ts";
import type { RuntimeSpec } from "../../../oci/runtime-spec.ts";
import { cgroupFolders, oomKillsOf, removeCgroup, reserveCgroup } from "../../cgroup/cgroup.ts";
import type { ContainerRequest, Driver, ExitStatus, RunningContainer } from "../../driver.ts";
import { makeStubTree } from "../../stub-tree.ts";
import { checkSpec } from "../check-spec.ts";
import { commandNotExecutable, commandNotFound, initUnsupported, runtimeFailed } from "../errors.ts";
import { explainFailure } from "../native/explain.ts";
import { launch } from "../native/launch.ts";
import { mountSteps, stubMountPoints } from "../native/mount-steps.ts";
import { architecture, createNativeDriver } from "../native/native-driver.ts";
import { makeStdio } from "../native/stdio.ts";
import { findContainerProcess } from "./container-process.ts";
import { ociProgram } from "./oci-program.ts";

/** `runtime` is an absolute path. */
export function createOciDriver(name: string, runtime: string): Driver {
  return { name, start: (request) => start(name, runtime, request), exec: createNativeDriver().exec };
}

interface Bundle {
  readonly folder: string;
  readonly state: string;
  readonly pidFile: string;
  readonly log: string;
}

async function start(name: string, runtime: string, request: ContainerRequest): Promise<RunningContainer> {
  const { rootfs, network } = request;
  if (request.init) throw initUnsupported(name);
  checkSpec(request.spec);
  const spec = ociSpec(request);
  const scratchDir = request.scratchDir();
  const bundle = makeBundle(scratchDir, spec);
  const stubTree = join(scratchDir, "stub");
  if (rootfs.kind === "overlay") makeStubTree(stubTree, stubMountPoints(mountSteps(request.spec)));
  const terminal = spec.process.terminal === true;
  const cgroupsPath = spec.linux.cgroupsPath ?? "";
  reserveCgroup(cgroupsPath);
  const stdio = makeStdio(request.stdio, terminal);
  const outer = await launch({
    compile: () =>
      ociProgram({
        spec: request.spec,
        rootfs,
        paths: { stubTree, mountDir: join(bundle.folder, "rootfs") },
        network: network.kind,
        arch: architecture(),
        runtime,
        args: runtimeArgs(bundle, request.id, keepsGroup(runtime, spec)),
        exitFile: request.stateDir === undefined ? undefined : join(request.stateDir, "exit"),
        cgroupFolders: [...new Set(cgroupFolders(cgroupsPath).values())],
      }),
    arch: architecture(),
    stdio,
    passed: request.stateDir === undefined ? [] : stdio.readEnds,
    signal: request.signal,
    trace: request.trace,
    detach: request.stateDir !== undefined,
    terminal,
    moments: { created: network.kind === "attached" ? network.attach : undefined },
    explain: (failure) => explainFailure(failure, [runtime]),
    afterExit: () => {
      const oomKilled = oomKillsOf(cgroupsPath) > 0;
      removeCgroup(cgroupsPath);
      return { oomKilled };
    },
  });
  const inner = await innerPid(bundle, outer.exited);
  if (inner === undefined) {
    const said = await restOf(stdio.stderr);
    stdio.destroy();
    throw request.signal.aborted ? request.signal.reason : startFailure(name, bundle, spec, said);
  }
  return withInnerProcess(outer, findContainerProcess(outer.pid, inner), request);
}

/** What the container's first process is told apart by; the outer one is the runtime. */
function withInnerProcess(
  outer: RunningContainer,
  inner: { readonly pid: number; readonly startTime: string },
  request: ContainerRequest,
): RunningContainer {
  let lastSignal: number | undefined;
  const kill = (signal: number): boolean => {
    const sent = signalPid(inner.pid, inner.startTime, signal);
    if (sent) lastSignal = signal;
    return sent;
  };
  const onAbort = (): void => {
    kill(SIGKILL);
  };
  request.signal.addEventListener("abort", onAbort, { once: true });
  const exited = outer.exited.then((status): ExitStatus => {
    request.signal.removeEventListener("abort", onAbort);
    // The runtime's own code is 128 + signal, and does not say that it was one.
    const signal = request.signal.aborted ? SIGKILL : lastSignal;
    return signal !== undefined && status.code === 128 + signal ? { ...status, signal } : status;
  });
  return { ...outer, ...inner, exited, kill };
}

const SIGKILL = 9;

/** The network namespace is the one around the runtime; the control group has a name we know. */
function ociSpec(request: ContainerRequest): RuntimeSpec {
  const { spec } = request;
  const { sysctl, ...linux } = spec.linux;
  const kept = Object.fromEntries(Object.entries(sysctl ?? {}).filter(([key]) => !key.startsWith("net.")));
  return {
    ...spec,
    root: { ...spec.root, path: "rootfs" },
    linux: {
      ...linux,
      cgroupsPath: linux.cgroupsPath ?? `/tsbuild/${request.id}`,
      namespaces: linux.namespaces.filter((namespace) => namespace.type !== "network"),
      ...(Object.keys(kept).length === 0 ? {} : { sysctl: kept }),
    },
  };
}

function makeBundle(scratchDir: string, spec: RuntimeSpec): Bundle {
  const folder = join(scratchDir, "bundle");
  mkdirSync(join(folder, "rootfs"), { recursive: true });
  writeFileSync(join(folder, "config.json"), JSON.stringify(spec));
  return { folder, state: join(scratchDir, "state"), pidFile: join(folder, "pid"), log: join(folder, "log.json") };
}

function runtimeArgs(bundle: Bundle, id: string, keep: boolean): string[] {
  const global = ["--root", bundle.state, "--log", bundle.log, "--log-format", "json"];
  const kept = keep ? ["--keep"] : [];
  return [...global, "run", ...kept, "--bundle", bundle.folder, "--pid-file", bundle.pidFile, id];
}

/**
 * With a memory limit the runtime leaves the control group to us, so that it can be asked whether memory ran out. A
 * runtime without that option (crun before 1.9) leaves it unknown.
 */
function keepsGroup(runtime: string, spec: RuntimeSpec): boolean {
  if (spec.linux.resources?.memory?.limit === undefined) return false;
  return spawnSync(runtime, ["run", "--help"], { encoding: "utf8", env: {} }).stdout.includes("--keep");
}

/** The pid file comes when the command runs. Undefined when the runtime ended without it. */
async function innerPid(bundle: Bundle, exited: Promise<ExitStatus>): Promise<number | undefined> {
  const read = (): number | undefined => {
    try {
      const pid = Number(readFileSync(bundle.pidFile, "utf8"));
      return pid > 0 ? pid : undefined;
    } catch {
      return undefined; // not yet
    }
  };
  const watcher = watch(bundle.folder);
  try {
    return await new Promise((resolve) => {
      const look = (): void => {
        const pid = read();
        if (pid !== undefined) resolve(pid);
      };
      watcher.on("change", look);
      void exited.then(() => resolve(read()));
      look();
    });
  } finally {
    watcher.close();
  }
}

/** What the runtime itself wrote before it ended. */
async function restOf(stderr: Readable | undefined): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stderr ?? []) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8").trim();
}

/** The runtime's last error, as it is: from its log, or what it said on stderr. */
function startFailure(name: string, bundle: Bundle, spec: RuntimeSpec, said: string): TsbuildError {
  const command = spec.process.args[0] ?? "";
  const message = lastError(bundle.log) ?? (said === "" ? undefined : said);
  if (message === undefined) return runtimeFailed(`${name} ended without saying why`);
  if (/\bhooks? /.test(message)) return runtimeFailed(`${name}: ${message}`);
  if (/executable file not found|exec.*no such file or directory|executable file .* not found/i.test(message)) {
    return commandNotFound(command, message);
  }
  if (/exec.*permission denied|open executable: permission denied/i.test(message)) {
    return commandNotExecutable(command, message);
  }
  // crun takes one version of control groups or the other; machines with both are not for it.
  const hint = /hybrid mode not supported/.test(message) ? "use another one: --runtime native, or runc" : undefined;
  return runtimeFailed(`${name}: ${message}`, hint);
}

function lastError(log: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(log, "utf8");
  } catch {
    return undefined; // it did not come that far
  }
  const messages = text.split("\n").flatMap((line) => {
    try {
      const entry = JSON.parse(line) as { level?: unknown; msg?: unknown };
      return entry.level === "error" && typeof entry.msg === "string" ? [entry.msg] : [];
    } catch {
      return []; // not one of its records
    }
  });
  return messages.at(-1);
}
