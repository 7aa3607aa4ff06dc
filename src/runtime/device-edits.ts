/** What devices of the Container Device Interface change in a container. Source: its SPEC.md, "OCI Edits". */
import {
  type DeviceSpec,
  type HookName,
  type HookSpec,
  hookNames,
  type MountSpec,
  type ResourcesSpec,
  type RuntimeSpec,
} from "../oci/runtime-spec.ts";
import type { CdiDevice, CdiMount, ContainerEdits, DeviceNode } from "./cdi.ts";
import { deviceInvalid, deviceNeedsMore } from "./container-errors.ts";
import { deviceAt } from "./devices.ts";

export interface DeviceEdits {
  readonly env: readonly string[];
  readonly mounts: readonly MountSpec[];
  readonly devices: readonly DeviceSpec[];
  readonly rules: NonNullable<ResourcesSpec["devices"]>;
  readonly additionalGids: readonly number[];
  readonly hooks: NonNullable<RuntimeSpec["hooks"]>;
}

export const noDeviceEdits: DeviceEdits = {
  env: [],
  mounts: [],
  devices: [],
  rules: [],
  additionalGids: [],
  hooks: {},
};

/**
 * What these devices change, each file's common edits first and once. A node without an owner belongs to `user`.
 * @throws {TsbuildError} `UNSUPPORTED` for network interfaces and cache allocation (Intel RDT); `INVALID_ARGUMENT` for a node that the host does not have
 */
export function deviceEdits(
  devices: readonly CdiDevice[],
  user: { readonly uid: number; readonly gid: number },
): DeviceEdits {
  const seen = new Set<string>();
  const edits = [...new Set(devices)].flatMap((device) => {
    const common = seen.has(device.file) || device.commonEdits === undefined ? [] : [device.commonEdits];
    seen.add(device.file);
    return [...common, device.edits].map((edit) => ({ device, edit }));
  });
  for (const { device, edit } of edits) refuseForeign(device, edit);
  const nodes = edits.flatMap(({ device, edit }) =>
    (edit.deviceNodes ?? []).map((node) => ({ node, spec: nodeSpec(device, node, user) })),
  );
  return {
    env: edits.flatMap(({ edit }) => edit.env ?? []),
    mounts: edits.flatMap(({ edit }) => (edit.mounts ?? []).map(mountSpec)),
    devices: nodes.map(({ spec }) => spec),
    rules: nodes.map(({ node, spec: { type, major, minor } }) => ({
      allow: true,
      type: type === "b" ? "b" : "c",
      major,
      minor,
      access: node.permissions || "rwm",
    })),
    additionalGids: edits.flatMap(({ edit }) => (edit.additionalGids ?? []).filter((gid) => gid !== 0)),
    hooks: hooksOf(edits.flatMap(({ edit }) => edit.hooks ?? [])),
  };
}

function hooksOf(hooks: NonNullable<ContainerEdits["hooks"]>): DeviceEdits["hooks"] {
  const byName = hookNames.map((name): readonly [HookName, readonly HookSpec[]] => [
    name,
    hooks.filter(({ hookName }) => hookName === name).map(({ hookName: _, ...hook }) => hook),
  ]);
  return Object.fromEntries(byName.filter(([, list]) => list.length > 0));
}

function refuseForeign(device: CdiDevice, edit: ContainerEdits): void {
  if (edit.intelRdt !== undefined) throw deviceNeedsMore(device.name, "intelRdt", device.file);
  if ((edit.netDevices ?? []).length > 0) throw deviceNeedsMore(device.name, "netDevices", device.file);
}

function nodeSpec(
  device: CdiDevice,
  node: DeviceNode,
  user: { readonly uid: number; readonly gid: number },
): DeviceSpec {
  if (!/^\/dev\/[^/]/.test(node.path) || node.path.split("/").includes(".."))
    throw deviceInvalid(device.name, `${node.path} is not below /dev`, device.file);
  const known = node.type !== undefined && node.type !== "p" && node.major !== undefined && node.minor !== undefined;
  const host = known ? undefined : deviceAt(node.hostPath ?? node.path);
  if (!known && host === undefined)
    throw deviceInvalid(device.name, `this machine has no device ${node.hostPath ?? node.path}`, device.file);
  const type = node.type === undefined || node.type === "p" ? host?.type : node.type === "u" ? "c" : node.type;
  return {
    path: node.path,
    type: type ?? "c",
    major: node.major ?? host?.major ?? 0,
    minor: node.minor ?? host?.minor ?? 0,
    fileMode: (node.fileMode ?? 0o666) & 0o7777,
    uid: node.uid ?? user.uid,
    gid: node.gid ?? user.gid,
  };
}

function mountSpec({ hostPath, containerPath, options, type }: CdiMount): MountSpec {
  const isBind = type === undefined || type === "" || type === "bind" || type === "none";
  return {
    destination: containerPath,
    type: isBind ? "bind" : type,
    source: hostPath,
    options:
      isBind && !(options ?? []).some((option) => /^r?bind$/.test(option))
        ? ["rbind", ...(options ?? [])]
        : (options ?? []),
  };
}
