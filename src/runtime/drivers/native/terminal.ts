/**
 * A terminal of the container's own: made in its devpts, so that `tty` prints /dev/pts/0 there. The master goes to the
 * launcher by SCM_RIGHTS and from there to us; the slave is found by ioctl, never by a path (CVE-2025-52565).
 */
import type { ProcessSpec } from "../../../oci/runtime-spec.ts";
import {
  at,
  builtin,
  type DataAt,
  label,
  type Op,
  type Struct,
  space,
  struct,
  syscall,
  text,
} from "../../launcher-program.ts";
import * as linux from "../../linux-constants.ts";
import { moveMount } from "./move-mount.ts";
import { CHILD_SYNC_FD, registers } from "./registers.ts";

/** `struct msghdr` with one byte and one control message of one descriptor. */
function message(): { readonly header: Struct; readonly descriptor: DataAt } {
  const control = Buffer.alloc(24);
  control.writeBigUInt64LE(20n, 0); // cmsg_len: header and one int
  control.writeUInt32LE(1, 8); // SOL_SOCKET
  control.writeUInt32LE(1, 12); // SCM_RIGHTS
  const controlData = struct(control, "SCM_RIGHTS");
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(1n, 8);
  const vectorData = struct(vector, "iovec", [{ at: 0, to: struct(Buffer.from("T\0\0\0\0\0\0\0"), "byte") }]);
  const header = Buffer.alloc(56);
  header.writeBigUInt64LE(1n, 24); // one iovec
  header.writeBigUInt64LE(24n, 40); // length of the control message
  return {
    header: struct(header, "msghdr", [
      { at: 16, to: vectorData },
      { at: 32, to: controlData },
    ]),
    descriptor: at(controlData, 16),
  };
}

export function windowSize(size: { readonly height: number; readonly width: number }): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(size.height, 0);
  bytes.writeUInt16LE(size.width, 2);
  return bytes;
}

/** Child: makes the pair, becomes its session's leader, and sends the master away. */
export function giveTerminal(process: ProcessSpec, { console }: { readonly console: boolean }): Op[] {
  const doing = "making the terminal";
  const { ptyMaster, ptySlave } = registers;
  const sent = message();
  const size = process.consoleSize;
  return [
    syscall("openat", [registers.pts, text("ptmx"), linux.O_RDWR | linux.O_NOCTTY | linux.O_CLOEXEC], {
      into: ptyMaster,
      doing,
    }),
    syscall("ioctl", [ptyMaster, linux.TIOCSPTLCK, struct(Buffer.alloc(8), "0")], { doing }),
    syscall("ioctl", [ptyMaster, linux.TIOCGPTPEER, linux.O_RDWR | linux.O_NOCTTY | linux.O_CLOEXEC], {
      into: ptySlave,
      doing,
    }),
    // Before the command can ask for it.
    ...(size === undefined
      ? []
      : [
          syscall("ioctl", [ptyMaster, linux.TIOCSWINSZ, struct(windowSize(size), `{${size.height}, ${size.width}}`)], {
            doing,
          }),
        ]),
    syscall("fchown", [ptySlave, process.user.uid, 5], { tolerate: ["EINVAL", "EPERM"], doing }),
    ...[0, 1, 2].map((fd) => syscall("dup3", [ptySlave, fd, 0], { doing })),
    syscall("ioctl", [ptySlave, linux.TIOCSCTTY, 0], { doing }),
    ...(console ? consoleOps(doing) : []),
    builtin("store32", [sent.descriptor, ptyMaster]),
    syscall("sendmsg", [CHILD_SYNC_FD, sent.header, linux.MSG_NOSIGNAL], { doing }),
    syscall("close", [ptyMaster], { doing }),
    syscall("close", [ptySlave], { doing }),
  ];
}

/** /dev/console is the slave, bound from its descriptor. */
function consoleOps(doing: string): Op[] {
  const clone = linux.OPEN_TREE_CLONE | linux.OPEN_TREE_CLOEXEC;
  return [
    syscall("open_tree", [registers.ptySlave, text(""), clone | linux.AT_EMPTY_PATH], { into: registers.mount, doing }),
    syscall("openat", [registers.dev, text("console"), linux.O_PATH | linux.O_CLOEXEC], {
      into: registers.target,
      doing,
    }),
    ...moveMount(doing),
  ];
}

/** Parent: takes the master. Nothing arrives when the child failed before: it has said why, and SUPERVISE hears it end. */
export function takeTerminal(): Op[] {
  const received = message();
  const none = space(8, "none");
  none.bytes.writeInt32LE(-1, 0);
  const doing = "taking the terminal";
  return [
    builtin("load32", [none], { into: registers.ptyMaster }),
    syscall("recvmsg", [registers.parentSync, received.header, linux.MSG_CMSG_CLOEXEC], {
      tolerate: "all",
      jump: { when: "positive", to: "terminalTaken" },
      doing,
    }),
    syscall("getpid", [], { jump: { when: "always", to: "terminalMissing" }, doing }),
    label("terminalTaken"),
    builtin("load32", [received.descriptor], { into: registers.ptyMaster }),
    label("terminalMissing"),
  ];
}
