/**
 * Starting a process without copying ourselves first. Node's `spawn` forks, which takes 2 ms and more the larger its
 * heap is; posix_spawn(3) shares the memory until exec and takes a tenth of that. For the launcher only: it needs no
 * environment, no streams of Node's and no exit event, because it reports on a socket.
 */
import { closeSync } from "node:fs";
import { check, errno, errnoName, libc } from "./libc.ts";

/** Larger than any libc's posix_spawn_file_actions_t (glibc: 80 bytes). */
const FILE_ACTIONS_BYTES = 512;
const F_DUPFD_CLOEXEC = 1030;
/** Above every number that a child gets descriptors at. */
const SAFE_FD = 64;
const WNOHANG = 1;

export interface SpawnOptions {
  /** Absolute. */
  readonly file: string;
  readonly argv: readonly string[];
  /** Descriptors of ours that become 0, 1, 2, … All others of ours are closed on exec, as Node opens them. */
  readonly descriptors: readonly number[];
}

/**
 * Returns the pid; the caller calls `reap` with it some day. Environment: empty. Directory and signal mask: ours;
 * ignored signals stay ignored.
 * @throws {TsbuildError} as `check` does.
 */
export function posixSpawn({ file, argv, descriptors }: SpawnOptions): number {
  // A source below the last target could be overwritten before its turn.
  const copies = descriptors.map((fd) =>
    check(libc("fcntlNumber", fd, F_DUPFD_CLOEXEC, SAFE_FD), "copying a descriptor"),
  );
  const actions = Buffer.alloc(FILE_ACTIONS_BYTES);
  libc("posix_spawn_file_actions_init", actions);
  try {
    for (const [target, fd] of copies.entries()) libc("posix_spawn_file_actions_adddup2", actions, fd, target);
    const pid = new Int32Array(1);
    const error = libc("posix_spawn", pid, file, actions, null, [...argv, null], [null]);
    check(-error, `executing ${file}`);
    return pid[0] ?? -1;
  } finally {
    libc("posix_spawn_file_actions_destroy", actions);
    for (const fd of copies) closeSync(fd);
  }
}

/** Takes the child's exit status away, so that it does not stay a zombie; it may still be ending. */
export function reap(pid: number, pauseMs = 1): void {
  const result = libc("waitpid", pid, new Int32Array(1), WNOHANG);
  if (result === 0) setTimeout(() => reap(pid, Math.min(pauseMs * 2, 1000)), pauseMs).unref();
  else if (result < 0 && result !== -errno.ECHILD) throw new Error(`waitpid: ${errnoName(result)}`);
}

/** Two connected sockets, closed on exec. */
export function socketPair(): readonly [number, number] {
  const ends = new Int32Array(2);
  const AF_UNIX = 1;
  const SOCK_STREAM = 1;
  const SOCK_CLOEXEC = 0o2000000;
  check(libc("socketpair", AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "making a socketpair");
  return [ends[0] ?? -1, ends[1] ?? -1];
}
