/**
 * Each function of libc.ts once for success and once for errno: a wrong prototype is a memory error, and shows here.
 * The tables are keyed by name, so that the compiler asks for a row for each new function.
 */
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { check, cPath, errno, errnoName, type LibcName, libc } from "../../src/kernel/libc.ts";

const NOFOLLOW = 0x100;
const isRoot = process.getuid?.() === 0;
const privileged = new Set<LibcName>([
  "mount",
  "open_tree",
  "mount_setattr",
  "umount2",
  "mknodat",
  "setns",
  "fchownat",
]);

let folder: string;
let file: number;
let dir: number;
const opened: number[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tsbuild-test-"));
  writeFileSync(join(folder, "file"), "content");
  symlinkSync("target", join(folder, "link"));
  mkdirSync(join(folder, "mnt"));
  file = openSync(join(folder, "file"), "r+");
  dir = openSync(folder, "r");
});
afterAll(() => {
  for (const fd of [file, dir, ...opened]) closeSync(fd);
  rmSync(folder, { recursive: true, force: true });
});

const at = (name: string): Buffer => cPath(join(folder, name));
const missing = (): Buffer => at("missing/missing");
const keep = (fd: number): number => {
  if (fd >= 0) opened.push(fd);
  return fd;
};
const value = Buffer.from("v");
const out = (): Buffer => Buffer.alloc(64);
const actions = Buffer.alloc(512);
const spawned = new Int32Array(1);
const times = new BigInt64Array([1n, 2n, 3n, 4n]);

interface Case {
  /** What it returns, or what must hold after it. */
  readonly works: () => unknown;
  readonly gives: unknown;
  /** Absent where C says that it cannot fail. */
  readonly fails?: () => number;
  readonly errno?: keyof typeof constants.errno;
}

const bad = -1;
const cases: Record<LibcName, Case> = {
  lsetxattr: {
    works: () => libc("lsetxattr", at("file"), "user.a", value, 1, 0),
    gives: 0,
    fails: () => libc("lsetxattr", missing(), "user.a", value, 1, 0),
    errno: "ENOENT",
  },
  lgetxattr: {
    works: () => libc("lgetxattr", at("file"), "user.a", out(), 64),
    gives: 1,
    fails: () => libc("lgetxattr", at("file"), "user.none", out(), 64),
    errno: "ENODATA",
  },
  llistxattr: {
    works: () => {
      const list = out();
      return list.toString("latin1", 0, libc("llistxattr", at("file"), list, 64)).includes("user.a\0");
    },
    gives: true,
    fails: () => libc("llistxattr", missing(), out(), 64),
    errno: "ENOENT",
  },
  fgetxattr: {
    works: () => libc("fgetxattr", file, "user.a", out(), 64),
    gives: 1,
    fails: () => libc("fgetxattr", bad, "user.a", out(), 64),
    errno: "EBADF",
  },
  fsetxattr: {
    works: () => libc("fsetxattr", file, "user.b", value, 1, 0),
    gives: 0,
    fails: () => libc("fsetxattr", bad, "user.b", value, 1, 0),
    errno: "EBADF",
  },
  lremovexattr: {
    works: () => libc("lremovexattr", at("file"), "user.b"),
    gives: 0,
    fails: () => libc("lremovexattr", at("file"), "user.none"),
    errno: "ENODATA",
  },
  mknodat: {
    works: () => libc("mknodat", dir, cPath("node"), 0o020666, 0x103),
    gives: 0,
    fails: () => libc("mknodat", dir, cPath("file"), 0o010666, 0),
    errno: "EEXIST",
  },
  mkdirat: {
    works: () => libc("mkdirat", dir, cPath("folder"), 0o755),
    gives: 0,
    fails: () => libc("mkdirat", dir, cPath("folder"), 0o755),
    errno: "EEXIST",
  },
  linkat: {
    works: () => libc("linkat", dir, cPath("file"), dir, cPath("hard"), 0),
    gives: 0,
    fails: () => libc("linkat", dir, cPath("missing"), dir, cPath("hard2"), 0),
    errno: "ENOENT",
  },
  symlinkat: {
    works: () => libc("symlinkat", cPath("target"), dir, cPath("link2")),
    gives: 0,
    fails: () => libc("symlinkat", cPath("target"), dir, cPath("link2")),
    errno: "EEXIST",
  },
  unlinkat: {
    works: () => libc("unlinkat", dir, cPath("link2"), 0),
    gives: 0,
    fails: () => libc("unlinkat", dir, cPath("missing"), 0),
    errno: "ENOENT",
  },
  fchownat: {
    works: () => libc("fchownat", dir, cPath("link"), 1, 2, NOFOLLOW),
    gives: 0,
    fails: () => libc("fchownat", dir, cPath("missing"), 1, 2, 0),
    errno: "ENOENT",
  },
  fchmodat: {
    works: () => libc("fchmodat", dir, cPath("file"), 0o600, 0),
    gives: 0,
    fails: () => libc("fchmodat", dir, cPath("missing"), 0o600, 0),
    errno: "ENOENT",
  },
  utimensat: {
    works: () => libc("utimensat", dir, cPath("link"), times, NOFOLLOW),
    gives: 0,
    fails: () => libc("utimensat", dir, cPath("missing"), times, 0),
    errno: "ENOENT",
  },
  renameat2: {
    works: () => libc("renameat2", dir, cPath("hard"), dir, cPath("hard3"), 1),
    gives: 0,
    fails: () => libc("renameat2", dir, cPath("hard3"), dir, cPath("file"), 1),
    errno: "EEXIST",
  },
  readlinkat: {
    works: () => {
      const target = out();
      return target.toString("latin1", 0, libc("readlinkat", dir, cPath("link"), target, 64));
    },
    gives: "target",
    fails: () => libc("readlinkat", dir, cPath("file"), out(), 64),
    errno: "EINVAL",
  },
  syncfs: { works: () => libc("syncfs", dir), gives: 0, fails: () => libc("syncfs", bad), errno: "EBADF" },
  copy_file_range: {
    works: () => {
      const to = keep(openSync(join(folder, "copy"), "w"));
      libc("copy_file_range", file, null, to, null, 7, 0);
      return readFileSync(join(folder, "copy"), "utf8");
    },
    gives: "content",
    fails: () => libc("copy_file_range", bad, null, file, null, 1, 0),
    errno: "EBADF",
  },
  ioctl: {
    // FIOCLEX
    works: () => libc("ioctl", file, 0x5451, 0),
    gives: 0,
    fails: () => libc("ioctl", bad, 0x5451, 0),
    errno: "EBADF",
  },
  ioctlBuffer: {
    // FIONREAD: how much there is to read
    works: () => {
      const count = Buffer.alloc(8);
      libc("ioctlBuffer", openedFile(), 0x541b, count);
      return count.readInt32LE(0);
    },
    gives: 7,
    fails: () => libc("ioctlBuffer", bad, 0x541b, Buffer.alloc(8)),
    errno: "EBADF",
  },
  fcntl: {
    // F_OFD_GETLK: nobody holds a lock, so the type becomes F_UNLCK
    works: () => {
      const lock = Buffer.alloc(32);
      libc("fcntl", file, 36, lock);
      return lock.readInt16LE(0);
    },
    gives: 2,
    fails: () => libc("fcntl", bad, 36, Buffer.alloc(32)),
    errno: "EBADF",
  },
  fcntlNumber: {
    // F_GETFD
    works: () => libc("fcntlNumber", file, 1, 0) & 1,
    gives: 1,
    fails: () => libc("fcntlNumber", bad, 1, 0),
    errno: "EBADF",
  },
  flock: {
    works: () => libc("flock", file, 2 | 4),
    gives: 0,
    fails: () => libc("flock", openedFile(), 2 | 4),
    errno: "EWOULDBLOCK",
  },
  mount: {
    works: () => libc("mount", "tmpfs", join(folder, "mnt"), "tmpfs", 0, "size=4k"),
    gives: 0,
    fails: () => libc("mount", "none", join(folder, "missing"), "tmpfs", 0, null),
    errno: "ENOENT",
  },
  umount2: {
    works: () => libc("umount2", join(folder, "mnt"), 2),
    gives: 0,
    fails: () => libc("umount2", join(folder, "mnt"), 0),
    errno: "EINVAL",
  },
  unshare: { works: () => libc("unshare", 0), gives: 0, fails: () => libc("unshare", 1), errno: "EINVAL" },
  setns: {
    works: () => libc("setns", keep(openSync("/proc/self/ns/uts", "r")), 0),
    gives: 0,
    fails: () => libc("setns", file, 0),
    errno: "EINVAL",
  },
  memfd_create: {
    works: () => keep(libc("memfd_create", "test", 1)) >= 0,
    gives: true,
    fails: () => libc("memfd_create", "test", 0x7fff0000),
    errno: "EINVAL",
  },
  socketpair: {
    works: () => {
      const ends = new Int32Array(2);
      const result = libc("socketpair", 1, 1, 0, ends);
      for (const fd of ends) keep(fd);
      return result === 0 && libc("send", ends[0], value, 1, 0) === 1 && libc("recv", ends[1], out(), 64, 0) === 1;
    },
    gives: true,
    fails: () => libc("socketpair", 9999, 1, 0, new Int32Array(2)),
    errno: "EAFNOSUPPORT",
  },
  posix_spawn_file_actions_init: {
    works: () => libc("posix_spawn_file_actions_init", actions),
    gives: 0,
  },
  posix_spawn_file_actions_adddup2: {
    works: () => libc("posix_spawn_file_actions_adddup2", actions, file, 1),
    gives: 0,
    fails: () => -libc("posix_spawn_file_actions_adddup2", actions, -1, 1),
    errno: "EBADF",
  },
  posix_spawn: {
    works: () => libc("posix_spawn", spawned, "/bin/sh", null, null, ["sh", "-c", 'exit "$A"', null], ["A=7", null]),
    gives: 0,
    // The error is what it returns.
    fails: () => -libc("posix_spawn", new Int32Array(1), join(folder, "missing"), null, null, ["x", null], [null]),
    errno: "ENOENT",
  },
  waitpid: {
    works: () => {
      const status = new Int32Array(1);
      return libc("waitpid", spawned[0], status, 0) === spawned[0] && (status[0] ?? 0) >> 8;
    },
    gives: 7,
    fails: () => libc("waitpid", process.pid, new Int32Array(1), 0),
    errno: "ECHILD",
  },
  posix_spawn_file_actions_destroy: {
    works: () => libc("posix_spawn_file_actions_destroy", actions),
    gives: 0,
  },
  pipe2: {
    works: () => {
      const ends = new Int32Array(2);
      const result = libc("pipe2", ends, 0o2000000);
      for (const fd of ends) keep(fd);
      return result === 0 && (ends[0] ?? 0) > 2 && ends[0] !== ends[1];
    },
    gives: true,
    fails: () => libc("pipe2", new Int32Array(2), 1),
    errno: "EINVAL",
  },
  write: {
    works: () => libc("write", keep(openSync(join(folder, "written"), "w")), Buffer.from("abc"), 3),
    gives: 3,
    fails: () => libc("write", bad, Buffer.from("abc"), 3),
    errno: "EBADF",
  },
  close: {
    works: () => libc("close", openSync(join(folder, "file"), "r")),
    gives: 0,
    fails: () => libc("close", bad),
    errno: "EBADF",
  },
  socket: {
    works: () => keep(libc("socket", 2, 2, 0)) >= 0,
    gives: true,
    fails: () => libc("socket", 9999, 2, 0),
    errno: "EAFNOSUPPORT",
  },
  // A netlink socket talks to the kernel: RTM_GETLINK of the loopback interface is answered.
  send: {
    works: () => libc("send", netlink(), getLoopback(), 32, 0),
    gives: 32,
    fails: () => libc("send", file, value, 1, 0),
    errno: "ENOTSOCK",
  },
  recv: {
    works: () => {
      const fd = netlink();
      libc("send", fd, getLoopback(), 32, 0);
      const answer = Buffer.alloc(4096);
      return libc("recv", fd, answer, answer.length, 0) > 32 && answer.readUInt16LE(4);
    },
    gives: 16, // RTM_NEWLINK
    fails: () => libc("recv", file, out(), 64, 0),
    errno: "ENOTSOCK",
  },
  kill: {
    works: () => libc("kill", process.pid, 0),
    gives: 0,
    fails: () => libc("kill", process.pid, 9999),
    errno: "EINVAL",
  },
  prctl: {
    // PR_GET_DUMPABLE
    works: () => libc("prctl", 3, 0, 0, 0, 0),
    gives: 1,
    fails: () => libc("prctl", 9999, 0, 0, 0, 0),
    errno: "EINVAL",
  },
  syscall: {
    // pidfd_open
    works: () => keep(libc("syscall", 434, process.pid, 0, 0, 0, 0)) >= 0,
    gives: true,
    fails: () => libc("syscall", 434, process.pid, -1, 0, 0, 0),
    errno: "EINVAL",
  },
  syscallPath: {
    // openat2(dir, "file", {O_RDONLY})
    works: () => keep(libc("syscallPath", 437, dir, cPath("file"), Buffer.alloc(24), 24, 0)) >= 0,
    gives: true,
    fails: () => libc("syscallPath", 437, dir, cPath("missing"), Buffer.alloc(24), 24, 0),
    errno: "ENOENT",
  },
  syscallName: {
    // fsopen("tmpfs", FSOPEN_CLOEXEC)
    works: () => keep(libc("syscallName", 430, "tmpfs", 1, 0, 0, 0)) >= 0,
    gives: true,
    fails: () => libc("syscallName", 430, "nosuchfilesystem", 1, 0, 0, 0),
    errno: "ENODEV",
  },
  open_tree: {
    // OPEN_TREE_CLONE
    works: () => keep(libc("open_tree", 428, -100, cPath(folder), 1)) >= 0,
    gives: true,
    fails: () => libc("open_tree", 428, -100, cPath(join(folder, "missing")), 1),
    errno: "ENOENT",
  },
  mount_setattr: {
    // {MOUNT_ATTR_RDONLY} for a mount that is attached nowhere (AT_EMPTY_PATH)
    works: () => {
      const tree = keep(libc("open_tree", 428, -100, cPath(folder), 1));
      return libc("mount_setattr", 442, tree, cPath(""), 0x1000, Buffer.from(`01${"00".repeat(31)}`, "hex"), 32);
    },
    gives: 0,
    fails: () => libc("mount_setattr", 442, -1, cPath(""), 0x1000, Buffer.from(`01${"00".repeat(31)}`, "hex"), 32),
    errno: "EBADF",
  },
  syscallOption: {
    // fsconfig(fd, FSCONFIG_SET_STRING, "size", "1m", 0)
    works: () => libc("syscallOption", 431, keep(libc("syscallName", 430, "tmpfs", 1, 0, 0, 0)), 1, "size", "1m", 0),
    gives: 0,
    fails: () => libc("syscallOption", 431, keep(libc("syscallName", 430, "tmpfs", 1, 0, 0, 0)), 1, "no", "x", 0),
    errno: "EINVAL",
  },
};

function openedFile(): number {
  return keep(openSync(join(folder, "file"), "r"));
}

/** AF_NETLINK, SOCK_RAW, NETLINK_ROUTE */
function netlink(): number {
  return keep(libc("socket", 16, 3, 0));
}

function getLoopback(): Buffer {
  const message = Buffer.alloc(32);
  message.writeUInt32LE(32, 0);
  message.writeUInt16LE(18, 4); // RTM_GETLINK
  message.writeUInt16LE(1, 6); // NLM_F_REQUEST
  message.writeInt32LE(1, 20); // index of lo
  return message;
}

describe.for(Object.entries(cases) as [LibcName, Case][])("%s", ([name, { works, gives, fails, errno }]) => {
  test.skipIf(privileged.has(name) && !isRoot)("does what it says", () => {
    expect(works()).toBe(gives);
  });
  if (fails === undefined || errno === undefined) return;
  test.skipIf(privileged.has(name) && !isRoot)(`fails with −${errno}`, () => {
    expect(errnoName(fails())).toBe(errnoName(constants.errno[errno]));
  });
});

test.for([
  { name: "ENOSPC", code: "NO_SPACE" },
  { name: "EROFS", code: "READ_ONLY" },
  { name: "EACCES", code: "PERMISSION_DENIED" },
  { name: "EIO", code: "SYSCALL_FAILED" },
] as const)("$name becomes $code", ({ name, code }) => {
  expect(() => check(-errno[name], "writing")).toThrow(expect.objectContaining({ code, message: `writing: ${name}` }));
});
