/** The files of a container, running or not, as an open root; and where its volumes lie when nothing has mounted them. */
import { mkdirSync, rmSync, statSync } from "node:fs";
import type { Store } from "../../store/store.ts";
import { containerBusy } from "../container-errors.ts";
import { volumeData } from "../volumes.ts";
import { claim } from "./claim.ts";
import type { LiveContainer } from "./container-folder.ts";
import { observe } from "./container-state.ts";
import { openOverlay } from "./overlay-root.ts";
import { isAlive } from "./process-identity.ts";
import { type OpenRoot, openRoot } from "./root-access.ts";

export interface ContainerRoot extends Disposable {
  /** The root that `path` (absolute, clean) lies in, and the path there. */
  place(path: string): { readonly root: number; readonly path: string; readonly readonly: boolean };
}

/**
 * Of a running container: its root as it sees it. Else the overlay, held so that no start interferes when it is to be
 * written.
 * @throws {TsbuildError} `CONTAINER_STATE`
 */
export function openContainerRoot(
  store: Store,
  container: LiveContainer,
  access: { readonly write: boolean },
): ContainerRoot {
  const { folder, record } = container;
  const state = observe(folder);
  if ((state.status === "running" || state.status === "paused") && state.process !== undefined) {
    const root = openRoot(`/proc/${state.process.pid}/root`);
    // Only now: what was opened is the root of the process that was meant.
    if (!isAlive(state.process)) {
      root[Symbol.dispose]();
      throw containerBusy(folder.id);
    }
    return {
      place: (path) => ({ root: root.fd, path, readonly: false }),
      [Symbol.dispose]: () => root[Symbol.dispose](),
    };
  }
  using opened = new DisposableStack();
  if (access.write) opened.use(claim(folder));
  const trees = store.layers.trees(record.image.layers);
  const root = opened.use(access.write ? writableOverlay(container, trees, opened) : readOnlyOverlay(container, trees));
  const mounts = record.mounts.toReversed().flatMap((mount) => {
    if (mount.kind === "tmpfs") return [];
    const source = mount.kind === "bind" ? mount.source : volumeData(store, mount.name);
    // A single file that is bound somewhere is no folder to copy from or into.
    return statSync(source, { throwIfNoEntry: false })?.isDirectory() ? [{ mount, source }] : [];
  });
  const roots = new Map<string, OpenRoot>();
  const kept = opened.move();
  return {
    place(path) {
      const found = mounts.find(({ mount }) => path === mount.destination || path.startsWith(`${mount.destination}/`));
      if (found === undefined) return { root: root.fd, path, readonly: record.host.readonlyRootfs };
      const { source, mount } = found;
      let inside = roots.get(source);
      if (inside === undefined) {
        inside = kept.use(openRoot(source));
        roots.set(source, inside);
      }
      return { root: inside.fd, path: path.slice(mount.destination.length) || "/", readonly: mount.readonly };
    },
    [Symbol.dispose]: () => kept.dispose(),
  };
}

/** The root file system alone, without volumes and what else is mounted, running or not: for `export` and `diff`. */
export function openRootfs(store: Store, container: LiveContainer): OpenRoot {
  return readOnlyOverlay(container, store.layers.trees(container.record.image.layers));
}

/** The upperdir as the topmost of the layers below: two overlays may read it, only one may write it. */
function readOnlyOverlay({ folder }: LiveContainer, trees: readonly string[]): OpenRoot {
  return openOverlay({ lowerdirs: [...trees, folder.upperdir] });
}

function writableOverlay({ folder }: LiveContainer, trees: readonly string[], opened: DisposableStack): OpenRoot {
  const workdir = `${folder.path}/copy-work`;
  rmSync(workdir, { recursive: true, force: true });
  mkdirSync(workdir, { mode: 0o700 });
  opened.defer(() => rmSync(workdir, { recursive: true, force: true }));
  return openOverlay({ lowerdirs: trees, upper: { upperdir: folder.upperdir, workdir } });
}
