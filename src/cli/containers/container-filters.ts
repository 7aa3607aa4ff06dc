/** Which containers `ps` means. Source: docker ps, "Filtering". */

import { TsbuildError } from "../../errors.ts";
import { type Container, findContainer } from "../../runtime/containers/container-folder.ts";
import type { ContainerState, ContainerStatus } from "../../runtime/containers/container-state.ts";
import { readHealth } from "../../runtime/containers/health.ts";
import { fixedTimestamp } from "../../runtime/logs.ts";
import type { Store } from "../../store/store.ts";
import { type Filters, labelsFit, someFits } from "../filters.ts";

export const containerFilterKeys = [
  "ancestor",
  "before",
  "exited",
  "expose",
  "health",
  "id",
  "label",
  "name",
  "network",
  "since",
  "status",
  "volume",
] as const;

const statuses: readonly ContainerStatus[] = [
  "created",
  "dead",
  "exited",
  "paused",
  "removing",
  "restarting",
  "running",
];

/** @throws {TsbuildError} `CONTAINER_NOT_FOUND` for `before` and `since`, `INVALID_ARGUMENT` */
export function containerFilter(
  store: Store,
  filters: Filters,
): (container: Container, state: ContainerState) => boolean {
  for (const status of filters.get("status") ?? []) {
    if (!statuses.some((known) => known === status))
      throw invalid(`status=${status}`, `there are ${statuses.join(", ")}`);
  }
  for (const code of filters.get("exited") ?? [])
    if (!/^-?\d+$/.test(code)) throw invalid(`exited=${code}`, "an exit code");
  const createdOf = (name: string): string => fixedTimestamp(findContainer(store, name).record?.created ?? "");
  const before = (filters.get("before") ?? []).map(createdOf);
  const since = (filters.get("since") ?? []).map(createdOf);
  const ancestors = filters.get("ancestor")?.map((name) => {
    const id = store.images.identify(name);
    return id === undefined ? undefined : store.images.lookupDamaged(id);
  });
  return ({ folder, record }, state) => {
    const created = fixedTimestamp(record?.created ?? "");
    const mounts = record?.mounts ?? [];
    return (
      before.every((time) => created < time) &&
      since.every((time) => created > time) &&
      someFits(filters, "id", (id) => folder.id.startsWith(id)) &&
      someFits(filters, "name", (name) => nameFits(record?.name ?? "", name)) &&
      someFits(filters, "status", (status) => state.status === status) &&
      someFits(filters, "exited", (code) => state.status === "exited" && state.exitCode === Number(code)) &&
      someFits(filters, "health", (health) => (readHealth(folder, state)?.Status ?? "none") === health) &&
      someFits(filters, "network", (network) => record?.host.network === network) &&
      someFits(filters, "expose", (port) => record?.exposedPorts.includes(withProtocol(port)) === true) &&
      someFits(filters, "volume", (volume) =>
        mounts.some((mount) => mount.destination === volume || (mount.kind === "volume" && mount.name === volume)),
      ) &&
      labelsFit(filters, record?.labels ?? {}) &&
      (ancestors === undefined ||
        ancestors.some(
          (image) =>
            image !== undefined && standsOn(record?.image.layers ?? [], image.chain, record?.image.id === image.id),
        ))
    );
  };
}

/** The image itself, or one that is built on it. */
function standsOn(layers: readonly string[], chain: readonly string[], same: boolean): boolean {
  return (
    same || (chain.length > 0 && chain.length < layers.length && chain.every((layer, index) => layers[index] === layer))
  );
}

/** A part of the name, or a regular expression, with or without docker's slash. */
function nameFits(name: string, pattern: string): boolean {
  if (name.includes(pattern) || `/${name}`.includes(pattern)) return true;
  try {
    const expression = new RegExp(pattern);
    return expression.test(name) || expression.test(`/${name}`);
  } catch {
    return false;
  }
}

function withProtocol(port: string): string {
  return port.includes("/") ? port : `${port}/tcp`;
}

function invalid(filter: string, hint: string): TsbuildError {
  return new TsbuildError({ code: "INVALID_ARGUMENT", what: `invalid filter '${filter}'`, hint });
}
