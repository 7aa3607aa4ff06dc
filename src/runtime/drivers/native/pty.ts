/** The container's terminal, seen from here: the master that the launcher keeps, taken with pidfd_getfd(2). */
import { ReadStream } from "node:tty";
import { check, libc } from "../../../kernel/libc.ts";
import { openPid } from "../../../kernel/processes.ts";
import type { ContainerPty } from "../../driver.ts";
import { TIOCSWINSZ } from "../../linux-constants.ts";
import { windowSize } from "./terminal.ts";

/** Equal on all architectures, as all numbers from 424 on. */
const PIDFD_GETFD = 438;

/** Takes descriptor `fd` of process `pid`. Needs the right to trace it. */
export function openPty(pid: number, fd: number): ContainerPty {
  const doing = "taking the container's terminal";
  const pidfd = check(openPid(pid), doing);
  let master: number;
  try {
    master = check(libc("syscall", PIDFD_GETFD, pidfd, fd, 0, 0, 0), doing);
  } finally {
    libc("close", pidfd);
  }
  const stream = new ReadStream(master);
  // EIO is how a terminal says that its last slave was closed: the end, and no error.
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EIO") stream.push(null);
  });
  return {
    stream,
    resize: ({ columns, rows }) => {
      libc("ioctlBuffer", master, TIOCSWINSZ, windowSize({ height: rows, width: columns }));
    },
  };
}
