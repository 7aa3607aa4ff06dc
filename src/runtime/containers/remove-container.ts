/** The end of a container: its folder, its name, and the volumes that were made for it alone. */
import type { Store } from "../../store/store.ts";
import { removeCgroup } from "../cgroup/cgroup.ts";
import { containerNotFound } from "../container-errors.ts";
import { findVolume, removeVolume } from "../volumes.ts";
import { listContainers, openContainer, unpublishContainer } from "./container-folder.ts";
import type { ContainerId } from "./container-id.ts";
import { groupOf } from "./container-processes.ts";

/**
 * Removes a container that does not run. `volumes`: its anonymous volumes too, unless another container uses them.
 * Named volumes and binds always stay.
 */
export function removeContainer(store: Store, id: ContainerId, options: { readonly volumes: boolean }): void {
  const container = openContainer(store, id);
  if (container === undefined) throw containerNotFound(id, undefined);
  removeCgroup(groupOf(container));
  unpublishContainer(store, container);
  if (!options.volumes) return;
  const mounts = container.record?.mounts ?? [];
  const anonymous = mounts.flatMap((mount) => (mount.kind === "volume" && mount.anonymous ? [mount.name] : []));
  if (anonymous.length === 0) return;
  const used = volumesInUse(store);
  for (const name of anonymous) if (!used.has(name) && findVolume(store, name) !== undefined) removeVolume(store, name);
}

/** Volume → containers that mount it. */
export function volumesInUse(store: Store): ReadonlyMap<string, readonly ContainerId[]> {
  const used = new Map<string, ContainerId[]>();
  for (const { record } of listContainers(store)) {
    for (const mount of record?.mounts ?? []) {
      if (mount.kind !== "volume" || record === undefined) continue;
      used.set(mount.name, [...(used.get(mount.name) ?? []), record.id]);
    }
  }
  return used;
}
