/**
 * Devices that vendors describe in files of the Container Device Interface.
 * Source: Container Device Interface, SPEC.md; Docker docs, "Container Device Interface (CDI)".
 */
import { readdirSync, readFileSync } from "node:fs";
import { z } from "zod";
import { errnoOf } from "../errors.ts";
import { type HookName, type HookSpec, hookNames } from "../oci/runtime-spec.ts";
import { deviceNotRegistered } from "./container-errors.ts";

/** Where the files are looked for; what a later folder says of a device replaces what an earlier one does. */
export const deviceSpecFolders: readonly string[] = ["/etc/cdi", "/etc/buildkit/cdi", "/var/run/cdi"];

const deviceNode = z.object({
  path: z.string().startsWith("/"),
  hostPath: z.exactOptional(z.string()),
  type: z.exactOptional(z.enum(["b", "c", "u", "p"])),
  major: z.exactOptional(z.int().nonnegative()),
  minor: z.exactOptional(z.int().nonnegative()),
  fileMode: z.exactOptional(z.int().nonnegative()),
  permissions: z.exactOptional(z.string().regex(/^[rwm]*$/)),
  uid: z.exactOptional(z.int().nonnegative()),
  gid: z.exactOptional(z.int().nonnegative()),
});

const mount = z.object({
  hostPath: z.string(),
  containerPath: z.string().startsWith("/"),
  options: z.exactOptional(z.array(z.string())),
  type: z.exactOptional(z.string()),
});

/** `createContainer` and its like. Source: Container Device Interface, SPEC.md, "hooks". */
const hook = z.object({
  hookName: z.enum(hookNames),
  path: z.string().startsWith("/"),
  args: z.exactOptional(z.array(z.string())),
  env: z.exactOptional(z.array(z.string().regex(/^[^=]+=/))),
  timeout: z.exactOptional(z.int().positive()),
});

/** What a device, or a file for all its devices, changes in a container. */
export interface ContainerEdits {
  readonly env?: readonly string[];
  readonly deviceNodes?: readonly DeviceNode[];
  readonly mounts?: readonly CdiMount[];
  readonly hooks?: readonly (HookSpec & { readonly hookName: HookName })[];
  readonly additionalGids?: readonly number[];
  readonly intelRdt?: unknown;
  readonly netDevices?: readonly unknown[];
}

export interface DeviceNode {
  readonly path: string;
  readonly hostPath?: string;
  readonly type?: "b" | "c" | "u" | "p";
  readonly major?: number;
  readonly minor?: number;
  readonly fileMode?: number;
  readonly permissions?: string;
  readonly uid?: number;
  readonly gid?: number;
}

export interface CdiMount {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly options?: readonly string[];
  readonly type?: string;
}

const containerEdits: z.ZodType<ContainerEdits> = z.object({
  env: z.exactOptional(z.array(z.string().regex(/^[^=]+=/))),
  deviceNodes: z.exactOptional(z.array(deviceNode)),
  mounts: z.exactOptional(z.array(mount)),
  hooks: z.exactOptional(z.array(hook)),
  additionalGids: z.exactOptional(z.array(z.int().nonnegative())),
  intelRdt: z.exactOptional(z.unknown()),
  netDevices: z.exactOptional(z.array(z.unknown())),
});

/** Values are texts; a file that was written as YAML may have had a boolean. */
const annotations = z.record(z.string(), z.union([z.string(), z.boolean()]).transform(String));

const specSchema = z.object({
  cdiVersion: z.string(),
  kind: z.string().regex(/^[A-Za-z][\w.-]*\/[A-Za-z][\w-]*$/),
  annotations: z.exactOptional(annotations),
  containerEdits: z.exactOptional(containerEdits),
  devices: z.array(z.object({ name: z.string().min(1), annotations: z.exactOptional(annotations), containerEdits })),
});

export interface CdiDevice {
  /** `vendor.com/class=name`. */
  readonly name: string;
  /** The file it stands in. */
  readonly file: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly edits: ContainerEdits;
  /** Of its file, for all devices in it. */
  readonly commonEdits: ContainerEdits | undefined;
}

export interface Cdi {
  /** By name; names are in order. */
  readonly devices: ReadonlyMap<string, CdiDevice>;
  /** Files that could not be used, each with the reason. */
  readonly problems: readonly string[];
}

/** Never fails: what a broken file would have offered is not there, and its problem is told with that. */
export async function readCdi(folders: readonly string[]): Promise<Cdi> {
  const devices = new Map<string, CdiDevice>();
  const problems: string[] = [];
  for (const folder of folders) {
    for (const name of namesOf(folder)) {
      if (!/\.(?:json|yaml|yml)$/.test(name)) continue;
      const file = `${folder}/${name}`;
      const spec = await readSpec(file);
      if (typeof spec === "string") problems.push(`${file}: ${spec}`);
      else for (const device of spec) devices.set(device.name, device);
    }
  }
  return { devices: new Map([...devices].sort(([a], [b]) => (a < b ? -1 : 1))), problems };
}

/** YAML 1.1, as CDI's own library reads it (0660 is octal); aliases may not make more of a file than it is. */
async function parseYaml(text: string): Promise<unknown> {
  const { parse } = await import("yaml");
  return parse(text, { version: "1.1", maxAliasCount: 100, prettyErrors: true });
}

function namesOf(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return []; // most machines have none
  }
}

/** The devices of a file, or what is wrong with it. */
async function readSpec(file: string): Promise<readonly CdiDevice[] | string> {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    return `cannot be read (${errnoOf(error) ?? "it failed"})`;
  }
  let json: unknown;
  try {
    json = file.endsWith(".json") ? JSON.parse(text) : await parseYaml(text);
  } catch (error) {
    // Both libraries show the line below what they say.
    const why = error instanceof Error ? (error.message.split("\n")[0] ?? "") : "";
    return `is no ${file.endsWith(".json") ? "JSON" : "YAML"} (${why.replace(/:$/, "")})`;
  }
  const { success, data, error } = specSchema.safeParse(json);
  if (!success) return z.prettifyError(error).replaceAll("\n", " ");
  return data.devices.map((device) => ({
    name: `${data.kind}=${device.name}`,
    file,
    annotations: { ...data.annotations, ...device.annotations },
    edits: device.containerEdits,
    commonEdits: data.containerEdits,
  }));
}

/**
 * The devices that a request names: `kind=name`, `kind=*` for all of a kind, `kind` for its first, or `kind=class` by
 * an annotation. None when it is not required and not there.
 * @throws {TsbuildError} `INVALID_ARGUMENT` for a required one that is not there
 */
export function findDevices(
  cdi: Cdi,
  { name, required }: { readonly name: string; readonly required: boolean },
): readonly CdiDevice[] {
  const equals = name.indexOf("=");
  const kind = equals < 0 ? name : name.slice(0, equals);
  const wanted = equals < 0 ? "" : name.slice(equals + 1);
  const ofKind = [...cdi.devices.values()].filter((device) => device.name.startsWith(`${kind}=`));
  const exact = cdi.devices.get(name);
  const found =
    wanted === "*"
      ? ofKind
      : wanted === ""
        ? ofKind.slice(0, 1)
        : exact !== undefined
          ? [exact]
          : ofKind.filter((device) => device.annotations[classAnnotation] === wanted);
  if (found.length === 0 && required) throw deviceNotRegistered(name, [...cdi.devices.keys()], cdi.problems);
  return found;
}

const classAnnotation = "org.mobyproject.buildkit.device.class";
const allowAnnotation = "org.mobyproject.buildkit.device.autoallow";

/** Its file says that every build may have it. */
export function isAllowedForAll({ annotations }: CdiDevice): boolean {
  return /^(?:1|t|T|true|TRUE|True)$/.test(annotations[allowAnnotation] ?? "");
}
