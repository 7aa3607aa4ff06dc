/**
 * Standard streams of a container. Node's own 'pipe' is a socketpair, and a socket cannot be opened through
 * /proc/self/fd: `echo > /dev/stdout` would fail in the container. So these are pipes.
 */
import { closeSync, openSync } from "node:fs";
import { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { check, libc } from "../../../kernel/libc.ts";
import type { StdioRequest } from "../../driver.ts";
import { O_CLOEXEC } from "../../linux-constants.ts";

export interface Stdio {
  /** Descriptors of ours for 0–2; /dev/null where the container opens its own. */
  readonly forSpawn: readonly number[];
  /** Which of 0–2 become the container's /dev/null. */
  readonly nulls: readonly number[];
  /** Which of 0–2 are pipes made here. */
  readonly owned: readonly number[];
  readonly stdin: Writable | undefined;
  readonly stdout: Readable | undefined;
  readonly stderr: Readable | undefined;
  /** Our ends of outputs, which the launcher keeps open too: a container whose monitor died blocks, and is not killed. */
  readonly readEnds: readonly number[];
  /** Closes the container's ends here; after spawn. */
  closeTheirs(): void;
  /** Gives up everything; when the container did not start. */
  destroy(): void;
}

function makePipe(): { readonly read: number; readonly write: number } {
  const ends = new Int32Array(2);
  check(libc("pipe2", ends, O_CLOEXEC), "making a pipe");
  return { read: ends[0] ?? -1, write: ends[1] ?? -1 };
}

let nullFd: number | undefined;

/** Only so that 0–2 are not free for something else: a container opens a /dev/null of its own. */
function devNull(): number {
  nullFd ??= openSync("/dev/null", "r+");
  return nullFd;
}

/** With a terminal nothing is made here: the container's ends come from its own devpts. */
export function makeStdio(request: StdioRequest, terminal: boolean): Stdio {
  const forSpawn = [devNull(), devNull(), devNull()];
  const nulls: number[] = [];
  const owned: number[] = [];
  const theirs: number[] = [];
  const readEnds: number[] = [];
  let stdin: Writable | undefined;
  const outputs: (Readable | undefined)[] = [undefined, undefined];

  if (!terminal) {
    if (request.stdin === "null") {
      nulls.push(0);
    } else {
      const pipe = makePipe();
      if (request.stdin === "empty") closeSync(pipe.write);
      else stdin = new Socket({ fd: pipe.write, readable: false, writable: true });
      forSpawn[0] = pipe.read;
      theirs.push(pipe.read);
      owned.push(0);
    }
    for (const [index, want] of [request.stdout, request.stderr].entries()) {
      const fd = index + 1;
      if (want === "null") {
        nulls.push(fd);
      } else if (want === "pipe") {
        const pipe = makePipe();
        outputs[index] = new Socket({ fd: pipe.read, readable: true, writable: false });
        forSpawn[fd] = pipe.write;
        theirs.push(pipe.write);
        readEnds.push(pipe.read);
        owned.push(fd);
      } else {
        forSpawn[fd] = want.fd;
      }
    }
  }
  return {
    forSpawn,
    nulls,
    owned,
    stdin,
    stdout: outputs[0],
    stderr: outputs[1],
    readEnds,
    closeTheirs: () => {
      for (const fd of theirs.splice(0)) closeSync(fd);
    },
    destroy: () => {
      for (const stream of [stdin, ...outputs]) stream?.destroy();
      for (const fd of theirs.splice(0)) closeSync(fd);
    },
  };
}
