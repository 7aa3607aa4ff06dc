/** `-v`, `--mount` and `--tmpfs` as docker writes them. Source: docker/cli, `opts/mount.go` and `cli/compose/loader/volume.go`. */
import { isAbsolute, resolve } from "node:path";
import { TsbuildError } from "../../errors.ts";
import type { Propagation } from "../../runtime/containers/container-record.ts";
import type { RequestedMount } from "../../runtime/containers/create-container.ts";
import { parseVolumeName } from "../../runtime/volumes.ts";
import { csvFields } from "../csv-fields.ts";
import { parseSwitch } from "../global-flags.ts";
import { parseSize } from "../render/size.ts";

const propagations: ReadonlySet<string> = new Set(["rprivate", "private", "rslave", "slave", "rshared", "shared"]);
/** Taken and without meaning here: labels of SELinux, consistency of other systems. */
const meaningless: ReadonlySet<string> = new Set(["z", "Z", "cached", "delegated", "consistent"]);

/** `[SOURCE:]DESTINATION[:OPTIONS]`. @throws {TsbuildError} `INVALID_ARGUMENT` */
export function parseVolume(text: string, cwd: string): RequestedMount {
  const parts = text.split(":");
  if (parts.length > 3 || parts.some((part) => part === "")) throw invalidVolume(text);
  const [first = "", second, third] = parts;
  if (second === undefined)
    return { kind: "volume", name: undefined, destination: first, readonly: false, copyUp: true };
  let readonly = false;
  let copyUp = true;
  let propagation: Propagation = "rprivate";
  for (const option of (third ?? "").split(",").filter((word) => word !== "")) {
    if (option === "ro" || option === "rw") readonly = option === "ro";
    else if (option === "nocopy") copyUp = false;
    // The set holds exactly the names of the type.
    else if (propagations.has(option)) propagation = option as Propagation;
    else if (!meaningless.has(option)) throw invalidVolume(text, `unknown option '${option}'`);
  }
  if (first.startsWith("/") || first.startsWith(".") || first.startsWith("~")) {
    const source = isAbsolute(first) ? first : resolve(cwd, first);
    const bind = { kind: "bind", source, destination: second, readonly, propagation, recursive: true } as const;
    return { ...bind, createSource: true };
  }
  return { kind: "volume", name: parseVolumeName(first), destination: second, readonly, copyUp };
}

/** `DESTINATION[:OPTIONS]` as a pair. */
export function parseTmpfs(text: string): readonly [string, string] {
  const colon = text.indexOf(":");
  const destination = colon < 0 ? text : text.slice(0, colon);
  if (!destination.startsWith("/"))
    throw invalidMount(`invalid tmpfs mount: ${text}: it needs to be an absolute path`, "--tmpfs /path:size=64m");
  return [destination, colon < 0 ? "" : text.slice(colon + 1)];
}

/** `type=…,source=…,target=…`: comma-separated values as CSV has them, with quotes. */
export function parseMount(text: string, cwd: string): RequestedMount {
  let type = "volume";
  let source: string | undefined;
  let destination: string | undefined;
  let readonly = false;
  let propagation: Propagation = "rprivate";
  let recursive = true;
  let createSource = false;
  let copyUp = true;
  const tmpfs: string[] = [];
  for (const field of csvFields(text)) {
    const equals = field.indexOf("=");
    const key = (equals < 0 ? field : field.slice(0, equals)).trim().toLowerCase();
    const value = equals < 0 ? undefined : field.slice(equals + 1);
    const flag = (): boolean => value === undefined || parseSwitch(`--mount ${key}`, value);
    if (value === undefined && !/^(readonly|ro|volume-nocopy|bind-nonrecursive|bind-create-src)$/.test(key)) {
      throw invalidMount(`invalid field '${field}' must be a key=value pair`);
    }
    switch (key) {
      case "type":
        type = value ?? "";
        break;
      case "source":
      case "src":
        source = value;
        break;
      case "target":
      case "dst":
      case "destination":
        destination = value;
        break;
      case "readonly":
      case "ro":
        readonly = flag();
        break;
      case "bind-propagation":
        if (!propagations.has(value ?? "")) throw invalidMount(`invalid propagation value: ${value}`);
        propagation = value as Propagation;
        break;
      case "bind-nonrecursive":
        recursive = !flag();
        break;
      case "bind-recursive":
        if (value !== "enabled" && value !== "disabled")
          throw invalidMount(`unsupported value '${value}' in '${field}'`);
        recursive = value === "enabled";
        break;
      case "bind-create-src":
        createSource = flag();
        break;
      case "volume-nocopy":
        copyUp = !flag();
        break;
      case "tmpfs-size":
        tmpfs.push(`size=${parseSize(value ?? "")}`);
        break;
      case "tmpfs-mode":
        if (!/^[0-7]{1,4}$/.test(value ?? "")) throw invalidMount(`invalid value for ${key}: ${value}`);
        tmpfs.push(`mode=${value}`);
        break;
      case "consistency":
        break;
      default:
        throw invalidMount(`unknown option '${key}' in '${field}'`);
    }
  }
  if (destination === undefined || destination === "") throw invalidMount("target is required");
  switch (type) {
    case "bind": {
      if (source === undefined || source === "") throw invalidMount("source is required for a bind");
      const path = isAbsolute(source) ? source : resolve(cwd, source);
      return { kind: "bind", source: path, destination, readonly, propagation, recursive, createSource };
    }
    case "volume": {
      const name = source === undefined || source === "" ? undefined : parseVolumeName(source);
      return { kind: "volume", name, destination, readonly, copyUp };
    }
    case "tmpfs":
      if (source !== undefined) throw invalidMount("a tmpfs has no source");
      return { kind: "tmpfs", destination, options: [...tmpfs, ...(readonly ? ["ro"] : [])].join(",") };
    default:
      throw invalidMount(`mount type ${JSON.stringify(type)} is not supported`);
  }
}

function invalidVolume(text: string, why = "it must be [source:]path[:options]"): TsbuildError {
  return invalidMount(`invalid volume specification: '${text}': ${why}`);
}

function invalidMount(what: string, hint = "-v name:/path, or --mount type=bind,source=/a,target=/b"): TsbuildError {
  return new TsbuildError({ code: "INVALID_ARGUMENT", what, hint });
}
