/** Holds on to a running container by its pid 1. */
import { TsbuildError } from "../../../errors.ts";
import { openProcess } from "../../../kernel/processes.ts";
import type { ExecRequest } from "../../driver.ts";

/**
 * A pidfd of the container's pid 1; the caller closes it.
 * @throws {TsbuildError} `CONTAINER_STATE` when that process is gone.
 */
export function openContainer({
  pid,
  startTime,
  containerId,
}: Pick<ExecRequest, "pid" | "startTime" | "containerId">): number {
  const pidfd = openProcess(pid, startTime);
  if (pidfd !== undefined) return pidfd;
  throw new TsbuildError({
    code: "CONTAINER_STATE",
    what: "the container is not running",
    where: { kind: "container", container: containerId },
  });
}
