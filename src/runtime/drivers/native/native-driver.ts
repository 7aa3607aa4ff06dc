/** The embedded driver: compiles a spec into a launcher program and runs it. Needs root and Linux 5.12. */
import { join } from "node:path";
import { libc } from "../../../kernel/libc.ts";
import type { CapabilitySets, RuntimeSpec } from "../../../oci/runtime-spec.ts";
import { existingCgroup, makeCgroup } from "../../cgroup/cgroup.ts";
import type { ContainerRequest, Driver, ExecRequest, RunningContainer } from "../../driver.ts";
import { mountFolders } from "../../mount-folders.ts";
import type { SyscallArch } from "../../syscall-table.ts";
import { checkSpec } from "../check-spec.ts";
import { architectureUnsupported } from "../errors.ts";
import { execProgram } from "./exec-program.ts";
import { explainFailure } from "./explain.ts";
import { launch, type Moments } from "./launch.ts";
import { type MountStep, mountSteps, stubMountPoints } from "./mount-steps.ts";
import { openContainer } from "./open-container.ts";
import { removeMountPoints } from "./remove-mount-points.ts";
import { startProgram } from "./start-program.ts";
import { makeStdio, type Stdio } from "./stdio.ts";

export function createNativeDriver(): Driver {
  return { name: "native", start, exec: (request) => execute(request), canMapOwners };
}

export function architecture(): SyscallArch {
  if (process.arch === "x64" || process.arch === "arm64") return process.arch;
  throw architectureUnsupported(process.arch);
}

async function start(request: ContainerRequest): Promise<RunningContainer> {
  const { rootfs, network } = request;
  const arch = architecture();
  checkSpec(request.spec);
  const { mounts, namespaces } = await withNamespaces(mountSteps(request.spec), arch);
  const paths = mountFolders(request, rootfs.kind === "overlay" ? stubMountPoints(mounts) : undefined);
  const terminal = request.spec.process.terminal === true;
  const moments = await momentsOf(request, paths.mountDir);
  // A group of its own even if nobody asked: it is what keeps CAP_MKNOD from the host's devices.
  const cgroup = makeCgroup({ cgroupsPath: `/tsbuild/${request.id}-${process.pid}`, ...request.spec.linux });
  const spec = cgroup.guardsDevices ? request.spec : withoutDeviceNodes(request.spec);
  let stdio: Stdio;
  try {
    stdio = makeStdio(request.stdio, terminal);
  } catch (error) {
    cgroup.remove();
    throw error;
  }
  return await launch({
    compile: () =>
      startProgram({
        spec,
        rootfs,
        paths,
        mounts,
        network: network.kind,
        arch,
        init: request.init,
        id: request.id,
        nullStdio: stdio.nulls,
        ownedStdio: stdio.owned,
        cgroupProcs: cgroup.procsFiles,
        cgroupFolder: cgroup.bornIn,
        cgroupFolders: cgroup.folders,
        waits: {
          whenCreated: moments.created !== undefined,
          beforeCommand: moments.beforeCommand !== undefined,
        },
        exitFile: request.stateDir === undefined ? undefined : join(request.stateDir, "exit"),
      }),
    arch,
    stdio,
    signal: request.signal,
    trace: request.trace,
    passed: [...namespaces, ...(request.stateDir === undefined ? [] : stdio.readEnds)],
    detach: request.stateDir !== undefined,
    terminal,
    moments,
    explain: (failure) =>
      explainFailure(failure, spec.process.args, rootfs.kind === "overlay" ? rootfs.upperdir : undefined),
    afterExit: (created) => {
      if (rootfs.kind === "overlay") {
        removeMountPoints(created, mounts, { upperdir: rootfs.upperdir, mountDir: paths.mountDir });
      }
      if (!ownsProcesses(spec)) cgroup.kill();
      const oomKilled = cgroup.oomKilled();
      cgroup.remove();
      return { oomKilled };
    },
  });
}

/** Of binds that are shown under other owners, the namespaces that say which; they are passed first. */
async function withNamespaces(
  mounts: readonly MountStep[],
  arch: SyscallArch,
): Promise<{ readonly mounts: readonly MountStep[]; readonly namespaces: readonly number[] }> {
  if (mounts.every(({ spec }) => spec.uidMappings === undefined)) return { mounts, namespaces: [] };
  const { mappingNamespace, mappingsOf } = await import("./id-map.ts");
  const namespaces: number[] = [];
  const mapped = mounts.map((step) => {
    const mappings = mappingsOf(step.spec);
    return mappings === undefined
      ? step
      : { ...step, userNamespace: FIRST_PASSED + namespaces.push(mappingNamespace(mappings, arch)) - 1 };
  });
  return { mounts: mapped, namespaces };
}

/** The descriptor after the control channel. */
const FIRST_PASSED = 4;

const canMapOwners: NonNullable<Driver["canMapOwners"]> = async (source, mappings) => {
  const { canMap } = await import("./id-map.ts");
  return canMap(source, mappings, architecture());
};

/** The network first: hooks may look at it. */
async function momentsOf(request: ContainerRequest, root: string): Promise<Moments> {
  const { id, spec, network, scratchDir, signal, trace } = request;
  const attach = network.kind === "attached" ? network.attach : undefined;
  if (spec.hooks === undefined) return { created: attach };
  const { hookMoments } = await import("./hooks.ts");
  const bundle = join(scratchDir(), "bundle");
  const hooks = hookMoments({
    id,
    spec,
    root,
    bundle,
    runInside: execute,
    signal,
    warn: (text) => trace?.(`${text}\n`),
  });
  return {
    ...hooks,
    created: async (pid) => {
      await attach?.(pid);
      await hooks?.created?.(pid);
    },
  };
}

/** Else what it started outlives its first process. */
function ownsProcesses({ linux }: RuntimeSpec): boolean {
  return linux.namespaces.some(({ type, path }) => type === "pid" && path === undefined);
}

/** Where nothing guards devices (no control groups here), none can be made: CAP_MKNOD goes. */
function withoutDeviceNodes(spec: RuntimeSpec): RuntimeSpec {
  const restricted = (spec.linux.resources?.devices ?? []).some((rule) => !rule.allow);
  if (!restricted) return spec;
  const sets = Object.entries(spec.process.capabilities).map(([set, names]: [string, readonly string[]]) => [
    set,
    names.filter((name) => name !== "CAP_MKNOD"),
  ]);
  return { ...spec, process: { ...spec.process, capabilities: Object.fromEntries(sets) as CapabilitySets } };
}

/** `file`: what is executed, where that is not the first argument. */
async function execute(request: ExecRequest, file?: string): Promise<RunningContainer> {
  const arch = architecture();
  const terminal = request.process.terminal === true;
  const pidfd = openContainer(request);
  try {
    const stdio = makeStdio(request.stdio, terminal);
    const cgroup = existingCgroup(request.linux.cgroupsPath);
    return await launch({
      compile: () =>
        execProgram({
          request,
          file,
          arch,
          ownedStdio: stdio.owned,
          cgroupProcs: cgroup.procsFiles,
          cgroupFolder: cgroup.bornIn,
        }),
      arch,
      stdio,
      // CONTAINER_PIDFD: the first descriptor after the control channel.
      passed: [pidfd],
      signal: request.signal,
      trace: request.trace,
      detach: request.detach === true,
      terminal,
      moments: {},
      explain: (failure) => explainFailure(failure, file === undefined ? request.process.args : [file]),
      afterExit: () => ({ oomKilled: false }),
    });
  } finally {
    libc("close", pidfd);
  }
}
