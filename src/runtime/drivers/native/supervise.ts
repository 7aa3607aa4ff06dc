/** What every program of ours ends with: the launcher waits for its child, and for whoever started it. */
import { parentsToRemove } from "../../cgroup/cgroup.ts";
import { builtin, label, type Op, recordTypes, struct, syscall, text } from "../../launcher-program.ts";
import * as linux from "../../linux-constants.ts";
import { registers } from "./registers.ts";
import { takeTerminal } from "./terminal.ts";

export interface SupervisePlan {
  readonly terminal: boolean;
  readonly exitFile: boolean;
  /** Control groups to remove at the end, should their owner not have done it. */
  readonly cgroupFolders: readonly string[];
}

/** From `parentGoes` on: stdio is the child's alone, and all that is left is to wait. */
export function superviseOps({ terminal, exitFile, cgroupFolders }: SupervisePlan): Op[] {
  const doing = "supervising";
  return [
    label("parentGoes"),
    syscall("close", [registers.childSync], { doing }),
    syscall("close_range", [0, 2, 0], { doing }),
    builtin("report", [recordTypes.pid, 0, registers.child]),
    ...(terminal ? takeTerminal() : []),
    builtin("supervise", [
      registers.child,
      registers.pidfd,
      registers.parentSync,
      exitFile ? registers.exitFile : -1,
      terminal ? registers.ptyMaster : -1,
    ]),
    ...removeCgroups(cgroupFolders),
    builtin("exit", [0], { exitCode: 0 }),
  ];
}

const REMOVE_ROUNDS = 4;

/**
 * For kill -9 of whoever started us; in all other cases it has cleaned up and released us before we come here. A group is busy for a moment after its
 * last process: then all are tried again.
 */
function removeCgroups(folders: readonly string[]): Op[] {
  if (folders.length === 0) return [];
  const doing = "removing control groups";
  const pause = Buffer.alloc(16);
  pause.writeBigUInt64LE(20_000_000n, 8);
  const remove = (folder: string): readonly Parameters<typeof syscall>[1][number][] => [
    linux.AT_FDCWD,
    text(folder),
    linux.AT_REMOVEDIR,
  ];
  const rounds = Array.from({ length: REMOVE_ROUNDS }, (_, round) => [
    ...folders.map((folder) =>
      syscall("unlinkat", remove(folder), {
        tolerate: ["EBUSY", "ENOENT", "EACCES", "EROFS"],
        jump: { when: "first", to: `groupsBusy${round}` },
        doing,
      }),
    ),
    syscall("getpid", [], { jump: { when: "always", to: "groupsGone" }, doing }),
    label(`groupsBusy${round}`),
    syscall("nanosleep", [struct(pause, "{20 ms}"), 0], { tolerate: "all", doing }),
  ]);
  return [
    ...rounds.flat(),
    label("groupsGone"),
    ...parentsToRemove(folders).map((parent) => syscall("unlinkat", remove(parent), { tolerate: "all", doing })),
  ];
}
