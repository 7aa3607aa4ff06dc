import { type Op, syscall, text } from "../../launcher-program.ts";
import * as linux from "../../linux-constants.ts";
import { registers } from "./registers.ts";

/** Moves `registers.mount` onto `registers.target`, from descriptor to descriptor, and closes both. */
export function moveMount(doing: string): Op[] {
  const flags = linux.MOVE_MOUNT_F_EMPTY_PATH | linux.MOVE_MOUNT_T_EMPTY_PATH;
  return [
    syscall("move_mount", [registers.mount, text(""), registers.target, text(""), flags], { doing }),
    syscall("close", [registers.mount], { doing }),
    syscall("close", [registers.target], { doing }),
  ];
}
