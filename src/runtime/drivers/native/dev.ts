/** The container's /dev. */
import type { RuntimeSpec } from "../../../oci/runtime-spec.ts";
import { type Op, syscall, text } from "../../launcher-program.ts";
import * as linux from "../../linux-constants.ts";
import { ancestorsOf } from "./mount-target.ts";
import { registers } from "./registers.ts";

/** Nodes, links and folders of /dev, made through its own descriptor before it is attached: no image path is walked. */
export function fillDev(spec: RuntimeSpec): Op[] {
  const dev = registers.dev;
  const devices = (spec.linux.devices ?? []).filter((device) => device.path.startsWith("/dev/"));
  const folders = new Set(
    [...devices.map((device) => device.path), ...spec.mounts.map((mount) => `${mount.destination}/x`)]
      .filter((path) => path.startsWith("/dev/"))
      .flatMap((path) => ancestorsOf(path).slice(1, -1)),
  );
  const types = { c: linux.S_IFCHR, b: linux.S_IFBLK, p: linux.S_IFIFO } as const;
  return [
    ...[...folders].map((path) =>
      syscall("mkdirat", [dev, text(path.slice(5)), 0o755], { tolerate: ["EEXIST"], doing: `making ${path}` }),
    ),
    ...devices.flatMap((device) => {
      const doing = `making the device ${device.path}`;
      const name = text(device.path.slice(5));
      const mode = types[device.type] | (device.fileMode ?? 0o666);
      const owned = (device.uid ?? 0) !== 0 || (device.gid ?? 0) !== 0;
      return [
        syscall("mknodat", [dev, name, mode, linux.deviceNumber(device.major, device.minor)], { doing }),
        ...(owned ? [syscall("fchownat", [dev, name, device.uid ?? 0, device.gid ?? 0, 0], { doing })] : []),
      ];
    }),
    ...Object.entries(devLinks).map(([name, target]) =>
      syscall("symlinkat", [text(target), dev, text(name)], { doing: `making /dev/${name}` }),
    ),
    ...(spec.process.terminal === true
      ? [syscall("mknodat", [dev, text("console"), linux.S_IFREG | 0o620, 0], { doing: "making /dev/console" })]
      : []),
  ];
}

const devLinks = {
  fd: "/proc/self/fd",
  stdin: "/proc/self/fd/0",
  stdout: "/proc/self/fd/1",
  stderr: "/proc/self/fd/2",
  ptmx: "pts/ptmx",
} as const;
