/**
 * The one place that declares C functions. A wrong prototype is a memory error, so every function here is called once
 * for success and once for errno by test/kernel/libc.test.ts. koffi is loaded on first use: not every command needs it.
 *
 * Each function returns what C returns, or −errno: a thrown error costs 25 µs, and on hot paths failure is an answer.
 * Paths are text or, for names that are not UTF-8, Buffers (a NUL is appended here).
 */
import { createRequire } from "node:module";
import { constants } from "node:os";
import { TsbuildError } from "../errors.ts";

type CFunction = ((...args: unknown[]) => number) & {
  /** On a thread of the pool; koffi's own. */
  readonly async: (...args: unknown[]) => void;
};

/** Prototypes by name. `syscall` has a fixed form of six words: those numbers ≥ 424 are equal on all architectures. */
const prototypes = {
  lgetxattr: "long lgetxattr(const void *path, const char *name, _Out_ uint8_t *value, size_t size)",
  llistxattr: "long llistxattr(const void *path, _Out_ uint8_t *list, size_t size)",
  lsetxattr: "int lsetxattr(const void *path, const char *name, const uint8_t *value, size_t size, int flags)",
  lremovexattr: "int lremovexattr(const void *path, const char *name)",
  fgetxattr: "long fgetxattr(int fd, const char *name, _Out_ uint8_t *value, size_t size)",
  fsetxattr: "int fsetxattr(int fd, const char *name, const uint8_t *value, size_t size, int flags)",
  mknodat: "int mknodat(int dir, const void *path, unsigned int mode, unsigned long dev)",
  mkdirat: "int mkdirat(int dir, const void *path, unsigned int mode)",
  linkat: "int linkat(int olddir, const void *old, int newdir, const void *new, int flags)",
  symlinkat: "int symlinkat(const void *target, int dir, const void *path)",
  unlinkat: "int unlinkat(int dir, const void *path, int flags)",
  fchownat: "int fchownat(int dir, const void *path, unsigned int uid, unsigned int gid, int flags)",
  fchmodat: "int fchmodat(int dir, const void *path, unsigned int mode, int flags)",
  utimensat: "int utimensat(int dir, const void *path, const int64_t *times, int flags)",
  renameat2: "int renameat2(int olddir, const void *old, int newdir, const void *new, unsigned int flags)",
  readlinkat: "long readlinkat(int dir, const void *path, _Out_ uint8_t *buffer, size_t size)",
  syncfs: "int syncfs(int fd)",
  copy_file_range:
    "long copy_file_range(int in, int64_t *inOffset, int out, int64_t *outOffset, size_t size, unsigned int flags)",
  ioctlBuffer: "int ioctl(int fd, unsigned long request, _Inout_ uint8_t *argument)",
  ioctl: "int ioctl(int fd, unsigned long request, unsigned long argument)",
  fcntl: "int fcntl(int fd, int command, _Inout_ uint8_t *argument)",
  fcntlNumber: "int fcntl(int fd, int command, long argument)",
  flock: "int flock(int fd, int operation)",
  mount: "int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)",
  umount2: "int umount2(const char *target, int flags)",
  unshare: "int unshare(int flags)",
  setns: "int setns(int fd, int type)",
  memfd_create: "int memfd_create(const char *name, unsigned int flags)",
  socketpair: "int socketpair(int domain, int type, int protocol, _Out_ int *ends)",
  posix_spawn:
    "int posix_spawn(_Out_ int *pid, const char *path, void *actions, void *attributes, const char **argv, const char **envp)",
  posix_spawn_file_actions_init: "int posix_spawn_file_actions_init(void *actions)",
  posix_spawn_file_actions_adddup2: "int posix_spawn_file_actions_adddup2(void *actions, int fd, int target)",
  posix_spawn_file_actions_destroy: "int posix_spawn_file_actions_destroy(void *actions)",
  waitpid: "int waitpid(int pid, _Out_ int *status, int options)",
  pipe2: "int pipe2(_Out_ int *ends, int flags)",
  write: "long write(int fd, const uint8_t *bytes, size_t size)",
  close: "int close(int fd)",
  socket: "int socket(int domain, int type, int protocol)",
  send: "long send(int fd, const uint8_t *message, size_t size, int flags)",
  recv: "long recv(int fd, _Out_ uint8_t *buffer, size_t size, int flags)",
  kill: "int kill(int pid, int signal)",
  prctl: "int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)",
  syscall: "long syscall(long number, long a, long b, long c, long d, long e)",
  syscallPath: "long syscall(long number, long a, const void *path, const void *c, long d, long e)",
  syscallName: "long syscall(long number, const char *name, long b, long c, long d, long e)",
  open_tree: "long syscall(long number, int dir, const void *path, unsigned int flags)",
  mount_setattr:
    "long syscall(long number, int dir, const void *path, unsigned int flags, const uint8_t *attributes, size_t size)",
  syscallOption: "long syscall(long number, long a, long b, const char *key, const char *value, long e)",
} as const;

export type LibcName = keyof typeof prototypes;

interface Loaded {
  readonly get: (name: LibcName) => CFunction;
  readonly call: (name: LibcName, args: readonly unknown[]) => number;
}

let loaded: Loaded | undefined;

/**
 * The addon itself where it lies for glibc: koffi's own way to it, with a look at the ELF headers of Node, takes five
 * milliseconds more.
 */
function loadKoffi(): typeof import("koffi") {
  const require = createRequire(import.meta.filename);
  const target = `linux-${process.arch}`;
  try {
    return require(`@koromix/koffi-${target}/${target.replace("-", "_")}/koffi.node`);
  } catch {
    return require("koffi");
  }
}

function load(): Loaded {
  if (loaded !== undefined) return loaded;
  const koffi = loadKoffi();
  const library = koffi.load(null);
  const functions = new Map<LibcName, CFunction>();
  const get = (name: LibcName): CFunction => {
    let fn = functions.get(name);
    if (fn === undefined) {
      fn = library.func(prototypes[name]) as CFunction;
      functions.set(name, fn);
    }
    return fn;
  };
  const call = (name: LibcName, args: readonly unknown[]): number => {
    const result = Number(get(name)(...args));
    return result === -1 ? -koffi.errno() : result;
  };
  loaded = { get, call };
  return loaded;
}

/** Calls a C function on this thread. Returns its result, or −errno. */
export function libc(name: LibcName, ...args: readonly unknown[]): number {
  return load().call(name, args);
}

/** Starts a call on a thread of the pool. `over` gets its result; −1 of one that failed, whose errno is that thread's. */
export function libcInBackground(name: LibcName, args: readonly unknown[], over: (result: number) => void): void {
  load()
    .get(name)
    .async(...args, (error: unknown, result: unknown) => over(error === null ? Number(result) : -1));
}

/** A path as C wants it: bytes and a NUL. */
export function cPath(path: string | Buffer): Buffer {
  return Buffer.concat([typeof path === "string" ? Buffer.from(path, "utf8") : path, Buffer.of(0)]);
}

const errnoNames = new Map<number, string>(Object.entries(constants.errno).map(([name, number]) => [number, name]));

/** `ENOENT` of −2 or 2. */
export function errnoName(errno: number): string {
  return errnoNames.get(Math.abs(errno)) ?? `errno ${Math.abs(errno)}`;
}

export const errno: typeof constants.errno = constants.errno;

/**
 * Turns a −errno into an error that says what was being done.
 * @throws {TsbuildError} `SYSCALL_FAILED`, or `NO_SPACE`, `READ_ONLY` and `PERMISSION_DENIED` where errno says so.
 */
export function check(result: number, doing: string): number {
  if (result >= 0) return result;
  const name = errnoName(result);
  const code =
    name === "ENOSPC" || name === "EDQUOT"
      ? "NO_SPACE"
      : name === "EROFS"
        ? "READ_ONLY"
        : name === "EPERM" || name === "EACCES"
          ? "PERMISSION_DENIED"
          : "SYSCALL_FAILED";
  throw new TsbuildError({ code, what: `${doing}: ${name}` });
}
