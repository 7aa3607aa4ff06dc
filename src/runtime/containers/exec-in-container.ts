/** A further process in a running container, with the container's own settings where the caller says nothing else. */
import type { ProcessSpec } from "../../oci/runtime-spec.ts";
import { containerNotRunning, containerPausedForExec } from "../container-errors.ts";
import type { Driver, RunningContainer, StdioRequest } from "../driver.ts";
import { capabilities } from "../linux-constants.ts";
import { type ReadRootFile, resolveUser } from "../user.ts";
import type { TerminalSize } from "./connection.ts";
import type { Container } from "./container-folder.ts";
import { observe } from "./container-state.ts";
import { mergeEnv } from "./create-container.ts";
import { readLaunch } from "./launch.ts";
import type { ProcessIdentity } from "./process-identity.ts";
import { openRoot, readFileInRoot } from "./root-access.ts";

export interface ExecOptions {
  readonly args: readonly string[];
  /** `K=V`; wins over the container's. */
  readonly env: readonly string[];
  /** As `--user` takes it; undefined: the container's. */
  readonly user: string | undefined;
  readonly workingDir: string | undefined;
  readonly tty: boolean;
  readonly size: TerminalSize | undefined;
  readonly privileged: boolean;
  readonly stdio: StdioRequest;
  /** It goes on when this process ends. */
  readonly detach: boolean;
  readonly driver: Driver;
  readonly signal: AbortSignal;
  readonly trace?: ((text: string) => void) | undefined;
}

/**
 * Starts it. The container's files say who a user is, as they are now.
 * @throws {TsbuildError} `CONTAINER_STATE`, `USER_NOT_FOUND`, and what the driver's `exec` throws.
 */
export async function execInContainer(container: Container, options: ExecOptions): Promise<RunningContainer> {
  const { folder } = container;
  const target = requireRunning(container);
  const { spec } = readLaunch(folder);
  return await options.driver.exec({
    pid: target.pid,
    startTime: target.startTime,
    process: processOf(spec.process, options, liveReader(target.pid)),
    linux: spec.linux,
    containerId: folder.id,
    stdio: options.stdio,
    detach: options.detach,
    signal: options.signal,
    ...(options.trace !== undefined && { trace: options.trace }),
  });
}

/** Its pid 1. @throws {TsbuildError} `CONTAINER_STATE` */
export function requireRunning({ folder }: Container): ProcessIdentity {
  const { status, process } = observe(folder);
  if (status === "paused") throw containerPausedForExec(folder.id);
  if (status !== "running" || process === undefined) throw containerNotRunning(folder.id);
  return process;
}

function processOf(base: ProcessSpec, options: ExecOptions, read: ReadRootFile): ProcessSpec {
  const { user: wanted, size, tty, privileged } = options;
  const user = wanted === undefined ? base.user : resolveUser(wanted, read);
  const held = privileged ? capabilities : base.capabilities.bounding;
  const own = wanted === undefined ? base.env : withHomeOf(base.env, wanted, read);
  return {
    ...base,
    terminal: tty,
    ...(size !== undefined && { consoleSize: { height: size.rows, width: size.columns } }),
    user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids ?? [], umask: 0o022 },
    args: options.args,
    env: mergeEnv(mergeEnv(own, tty ? ["TERM=xterm"] : []), options.env),
    cwd: options.workingDir ?? base.cwd,
    capabilities: {
      bounding: held,
      effective: user.uid === 0 ? held : [],
      permitted: user.uid === 0 ? held : [],
      inheritable: [],
      ambient: [],
    },
  };
}

function withHomeOf(env: readonly string[], user: string, read: ReadRootFile): readonly string[] {
  return mergeEnv(env, [`HOME=${resolveUser(user, read).home}`]);
}

/** Reads in the running container's root, whatever it has mounted there; symlinks stay inside. */
function liveReader(pid: number): ReadRootFile {
  return (path) => {
    using root = openRoot(`/proc/${pid}/root`);
    return readFileInRoot(root.fd, path, 10 * 1024 * 1024);
  };
}
