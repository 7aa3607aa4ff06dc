/** A container as a row of `ps`: docker's columns and template fields. Source: docker/cli, formatter/container.go. */
import { hexOf } from "../../oci/digest.ts";
import type { Container } from "../../runtime/containers/container-folder.ts";
import { shortId } from "../../runtime/containers/container-id.ts";
import { type ContainerRecord, commandLine } from "../../runtime/containers/container-record.ts";
import { type ContainerState, never } from "../../runtime/containers/container-state.ts";
import { type HealthRecord, readHealth } from "../../runtime/containers/health.ts";
import { containerSizes } from "../../runtime/containers/inspect-container.ts";
import type { Store } from "../../store/store.ts";
import { cutCell } from "../render/display-width.ts";
import { formatSize } from "../render/size.ts";
import type { Row } from "../render/table.ts";
import { formatAgo, formatCreatedAt, formatDuration } from "../render/time.ts";

export interface RowOptions {
  readonly truncate: boolean;
  readonly withSize: boolean;
  readonly nowMs: number;
}

/** Of the COMMAND column, in cells, quotes included. */
const commandWidth = 20;

export function containerRow(
  store: Store,
  container: Container,
  state: ContainerState,
  { truncate, withSize, nowMs }: RowOptions,
): Row {
  const { folder, record } = container;
  const id = truncate ? shortId(folder.id) : folder.id;
  if (record === undefined) return deadRow(id);
  const health = readHealth(folder, state);
  const created = new Date(record.created);
  const command = JSON.stringify(commandLine(record.process).join(" "));
  const volumes = record.mounts.flatMap((mount) => (mount.kind === "volume" ? [mount.name] : []));
  const places = record.mounts.map((mount) =>
    mount.kind === "bind" ? mount.source : mount.kind === "volume" ? mount.name : mount.destination,
  );
  return {
    ID: id,
    Names: record.name,
    Image: imageColumn(store, record, truncate),
    Command: truncate ? quotedCut(command) : command,
    CreatedAt: formatCreatedAt(created),
    RunningFor: formatAgo(created, nowMs),
    Ports: state.status === "running" || state.status === "paused" ? portsColumn(record) : "",
    State: state.status,
    Status: statusText(state, nowMs, health?.Status),
    Size: withSize ? sizeColumn(store, container) : "0B",
    Labels: Object.entries(record.labels)
      .map(([key, value]) => `${key}=${value}`)
      .sort()
      .join(","),
    Mounts: places.map((place) => (truncate ? cutCell(place, 15) : place)).join(","),
    LocalVolumes: String(volumes.length),
    Networks: record.host.network,
    Platform: record.image.platform,
    HealthStatus: health?.Status ?? "",
    Label: (key: unknown) => record.labels[String(key)] ?? "",
  };
}

function deadRow(id: string): Row {
  const empty = { Names: "", Image: "", Command: '""', CreatedAt: "N/A", RunningFor: "N/A", Ports: "", Size: "0B" };
  const others = { Labels: "", Mounts: "", LocalVolumes: "0", Networks: "", Platform: "", HealthStatus: "" };
  return { ID: id, ...empty, ...others, State: "dead", Status: "Dead", Label: () => "" };
}

/** docker's words. */
export function statusText(state: ContainerState, nowMs: number, health?: HealthRecord["Status"]): string {
  const since = (time: string): string => formatDuration(nowMs - Date.parse(time));
  switch (state.status) {
    case "created":
      return "Created";
    case "running":
      return `Up ${since(state.startedAt)}${state.orphaned ? " (Orphaned)" : healthText(health)}`;
    case "paused":
      return `Up ${since(state.startedAt)} (Paused)`;
    case "restarting":
      return `Restarting (${state.exitCode}) ${since(state.finishedAt)} ago`;
    case "exited":
      return state.finishedAt === never
        ? `Exited (${state.exitCode})`
        : `Exited (${state.exitCode}) ${since(state.finishedAt)} ago`;
    case "removing":
      return "Removal In Progress";
    case "dead":
      return "Dead";
  }
}

/** What was typed, as long as it still names the image. */
function imageColumn(store: Store, { image }: ContainerRecord, truncate: boolean): string {
  const id = truncate ? shortId(hexOf(image.id)) : image.id;
  try {
    return store.images.identify(image.name) === image.id ? image.name : id;
  } catch {
    // The beginning of an ID that fits several by now.
    return id;
  }
}

function healthText(health: HealthRecord["Status"] | undefined): string {
  if (health === undefined) return "";
  return health === "starting" ? " (health: starting)" : ` (${health})`;
}

function quotedCut(command: string): string {
  return `"${cutCell(command.slice(1, -1), commandWidth)}"`;
}

function portsColumn(record: ContainerRecord): string {
  return record.exposedPorts.join(", ");
}

function sizeColumn(store: Store, container: Container): string {
  const { rw, rootFs } = containerSizes(store, container);
  return `${formatSize(rw)} (virtual ${formatSize(rootFs)})`;
}
