/** Flags of `run` and `create` that let a container share something with the host: devices, namespaces, a cgroup. */
import { isAbsolute } from "node:path";
import { TsbuildError } from "../../errors.ts";
import type { DeviceRequest, HostRequest, NamespaceRequest } from "../../runtime/containers/container-record.ts";
import { invalidFlagValue } from "../usage-errors.ts";
import type { CreateFlags } from "./create-flags.ts";
import { conflicting } from "./flag-values.ts";

type Isolation = Pick<HostRequest, "devices" | "cdiDevices" | "deviceRules" | "namespaces" | "cgroupParent">;

/** @throws {TsbuildError} `USAGE`, `UNSUPPORTED` for what only a user namespace or a GPU driver could do */
export function isolationOf(flags: CreateFlags): Isolation {
  const gpus = flags.gpus;
  if (gpus !== undefined)
    throw unsupported("--gpus", "describe the devices with CDI in /etc/cdi, and name one: --device vendor.com/gpu=all");
  if (flags.userns !== undefined && flags.userns !== "" && flags.userns !== "host")
    throw unsupported(`--userns ${flags.userns}`, "containers are in the host's user namespace");
  const devices = (flags.device ?? []).map(parseDevice);
  const namespaces = namespacesOf(flags);
  return {
    devices: devices.filter((device) => typeof device === "object"),
    cdiDevices: devices.filter((device) => typeof device === "string"),
    deviceRules: (flags.deviceCgroupRule ?? []).map(parseDeviceRule),
    namespaces,
    ...(flags.cgroupParent !== undefined &&
      flags.cgroupParent !== "" && { cgroupParent: `/${flags.cgroupParent.replace(/^\/+|\/+$/g, "")}` }),
  };
}

/** `HOST[:CONTAINER][:rwm]`, or a name in the Container Device Interface: `vendor.com/class=name`. */
function parseDevice(text: string): DeviceRequest | string {
  if (/^[A-Za-z][\w.-]*\/[A-Za-z][\w-]*=.+$/.test(text)) return text;
  const parts = text.split(":");
  const [hostPath = ""] = parts;
  const isPermissions = (word: string): boolean => /^(?!.*(.).*\1)[rwm]{1,3}$/.test(word);
  const last = parts.at(-1) ?? "";
  const permissions = parts.length > 1 && isPermissions(last) ? last : "rwm";
  const containerPath = parts.length > 1 && !(parts.length === 2 && isPermissions(last)) ? (parts[1] ?? "") : hostPath;
  if (parts.length > 3 || (parts.length === 3 && !isPermissions(last)) || hostPath === "")
    throw invalidFlagValue("--device", text, "it must be path[:path in the container][:rwm], or vendor/class=name");
  if (!isAbsolute(hostPath)) throw invalidFlagValue("--device", text, `${hostPath} is not an absolute path`);
  if (!/^\/dev\/[^/]/.test(containerPath) || containerPath.split("/").includes(".."))
    throw invalidFlagValue("--device", text, `${containerPath} is not below /dev`);
  return { hostPath, containerPath, permissions };
}

/** As the kernel's device controller writes it. */
function parseDeviceRule(text: string): string {
  if (/^[acb] (?:\d+|\*):(?:\d+|\*) [rwm]{1,3}$/.test(text)) return text;
  throw invalidFlagValue("--device-cgroup-rule", text, "such as 'c 1:3 rwm'");
}

function namespacesOf(flags: CreateFlags): NamespaceRequest {
  const pid = pidOf(flags);
  return {
    ...(pid !== undefined && { pid }),
    ...(ipcIsHosts(flags.ipc) && { ipc: "host" }),
    ...(utsIsHosts(flags) && { uts: "host" }),
    ...(cgroupIsHosts(flags.cgroupns) && { cgroup: "host" }),
  };
}

function pidOf({ pid, restart }: CreateFlags): NamespaceRequest["pid"] | undefined {
  if (pid === undefined || pid === "" || pid === "private") return undefined;
  if (pid === "host") return pid;
  const container = /^container:(.+)$/s.exec(pid)?.[1];
  if (container === undefined)
    throw invalidFlagValue("--pid", pid, "invalid PID mode: there are host and container:NAME");
  // A restart happens without us, when the number of that container's process may be another's.
  if (restart !== undefined && restart !== "no") throw conflicting("--restart and the container type PID mode");
  return { container };
}

function ipcIsHosts(ipc: string | undefined): boolean {
  switch (ipc) {
    case undefined:
    case "":
    case "private":
    case "shareable":
      return false;
    case "host":
      return true;
    default:
      if (ipc.startsWith("container:") || ipc === "none")
        throw unsupported(`--ipc ${ipc}`, "there are private and host");
      throw invalidFlagValue("--ipc", ipc, "invalid IPC mode: there are private and host");
  }
}

function utsIsHosts({ uts, hostname, domainname }: CreateFlags): boolean {
  if (uts === undefined || uts === "") return false;
  if (uts !== "host") throw invalidFlagValue("--uts", uts, "invalid UTS mode: there is host");
  if (hostname !== undefined || domainname !== undefined) throw conflicting("hostname and the UTS mode");
  return true;
}

function cgroupIsHosts(cgroupns: string | undefined): boolean {
  if (cgroupns === undefined || cgroupns === "" || cgroupns === "private") return false;
  if (cgroupns === "host") return true;
  throw invalidFlagValue("--cgroupns", cgroupns, "invalid CGROUP mode: there are private and host");
}

function unsupported(flag: string, hint: string): TsbuildError {
  return new TsbuildError({
    code: "UNSUPPORTED",
    what: `${flag} is not supported`,
    where: { kind: "flag", flag: flag.split(" ")[0] ?? flag },
    hint,
  });
}
