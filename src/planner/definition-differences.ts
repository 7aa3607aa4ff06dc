/** Two definitions side by side, as reasons that a person can act on. */
import { bytePathOfLatin1, textOfBytePath } from "../kernel/byte-path.ts";
import type { MissReason } from "./miss-reason.ts";

export interface DefinitionText {
  /** A definition's `input`, parsed. */
  readonly value: Readonly<Record<string, unknown>>;
  /** As written: `RUN npm ci`. */
  readonly instruction: string;
}

/** Every difference, most telling first. `args`: names that ARG declared. */
export function definitionDifferences(
  before: DefinitionText,
  after: DefinitionText,
  args: ReadonlySet<string>,
): readonly MissReason[] {
  const [old, now] = [before.value, after.value];
  if (old["format"] !== now["format"]) return [{ code: "tool-version" }];
  if (old["kind"] !== now["kind"])
    return [{ code: "instruction-changed", from: before.instruction, to: after.instruction }];
  const reasons = [
    ...platform(old, now),
    ...instruction(before, after),
    ...environment(listOf(old["env"]), listOf(now["env"]), args),
    ...files(listOf(old["files"]), listOf(now["files"])),
    ...mounts(old["mounts"], now["mounts"]),
    ...options(old, now),
  ];
  if (reasons.length > 0) return reasons;
  // What differs has no words of its own here.
  return [{ code: "instruction-changed", from: before.instruction, to: after.instruction }];
}

type Value = Readonly<Record<string, unknown>>;

function listOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function equal(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function platform(old: Value, now: Value): readonly MissReason[] {
  return equal(old["platform"], now["platform"])
    ? []
    : [{ code: "platform", from: String(old["platform"]), to: String(now["platform"]) }];
}

/** What makes a step another step: the command, where a copy goes, the folder. */
function instruction(before: DefinitionText, after: DefinitionText): readonly MissReason[] {
  const [old, now] = [before.value, after.value];
  const argv = [listOf(old["argv"]), listOf(now["argv"])] as const;
  const sameCommand = argv[0].at(-1) === argv[1].at(-1);
  if (!equal(argv[0], argv[1]) && sameCommand && argv[0].length > 1 && argv[1].length > 1)
    return [
      {
        code: "option-changed",
        option: "shell",
        from: argv[0].slice(0, -1).join(" "),
        to: argv[1].slice(0, -1).join(" "),
      },
    ];
  const parts = ["argv", "scripts", "destination", "path", "instruction"];
  if (parts.every((part) => equal(old[part], now[part]))) return [];
  if (before.instruction !== after.instruction)
    return [{ code: "instruction-changed", from: before.instruction, to: after.instruction }];
  // The same line, but it means something else: a variable, a heredoc's body.
  const part = parts.find((name) => !equal(old[name], now[name])) ?? "argv";
  return [{ code: "instruction-changed", from: textOf(old[part]), to: textOf(now[part]) }];
}

function textOf(value: unknown): string {
  return Array.isArray(value) ? value.join(" ") : value === undefined ? "unset" : String(value);
}

// Variables ------------------------------------------------------------------------------------------------------

function environment(old: readonly string[], now: readonly string[], args: ReadonlySet<string>): readonly MissReason[] {
  if (equal(old, now)) return [];
  const [before, after] = [variables(old), variables(now)];
  const reasons: MissReason[] = [];
  for (const name of new Set([...after.keys(), ...before.keys()])) {
    const [from, to] = [before.get(name), after.get(name)];
    if (from === to) continue;
    const code = args.has(name) ? "arg-changed" : "env-changed";
    reasons.push({ code, name, from: shown(name, from), to: shown(name, to) });
  }
  if (reasons.length > 0) return reasons;
  const order = (env: ReadonlyMap<string, string>): string => [...env.keys()].join(" ");
  return [{ code: "option-changed", option: "order of variables", from: order(before), to: order(after) }];
}

function variables(env: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    env.map((pair) => {
      const at = pair.indexOf("=");
      return [pair.slice(0, at), pair.slice(at + 1)] as const;
    }),
  );
}

const secretParts = new Set("apikey auth credential credentials key password pword passwd secret token".split(" "));
const publicParts = new Set(["public", "file", "version"]);

/** Names as the check SecretsUsedInArgOrEnv reads them. Source: Docker docs, "Build checks". */
function shown(name: string, value: string | undefined): string | undefined {
  const parts = name.toLowerCase().split("_");
  const secret = parts.some((part) => secretParts.has(part)) && !parts.some((part) => publicParts.has(part));
  return secret && value !== undefined && value !== "" ? "(not shown)" : value;
}

// Files ----------------------------------------------------------------------------------------------------------

function files(old: readonly string[], now: readonly string[]): readonly MissReason[] {
  // Thousands of lines, of which mostly all or nearly all are the same: none is taken apart without need.
  const before = new Map<string, string>();
  for (const line of old) before.set(pathOf(line), line);
  const changed: string[] = [];
  const added: string[] = [];
  const mode: string[] = [];
  const owner: string[] = [];
  const paths = new Set<string>();
  for (const line of now) {
    const path = pathOf(line);
    paths.add(path);
    const known = before.get(path);
    if (known === line) continue;
    if (known === undefined) added.push(path);
    else {
      const [one, other] = [known.split("\t"), line.split("\t")];
      const differs = (field: number): boolean => one[field] !== other[field];
      if (differs(1) || one.slice(4).join("\t") !== other.slice(4).join("\t")) changed.push(path);
      else if (differs(2)) mode.push(path);
      else if (differs(3)) owner.push(path);
    }
  }
  const removed = [...before.keys()].filter((path) => !paths.has(path));
  const reasons = [
    ...pathReason("file-changed", changed),
    ...pathReason("file-added", added),
    ...pathReason("file-removed", removed),
    ...pathReason("mode-changed", mode),
    ...pathReason("owner-changed", owner),
  ];
  if (reasons.length > 0 || (old.length === now.length && old.every((line, at) => line === now[at]))) return reasons;
  return [
    { code: "option-changed", option: "sources", from: `${old.length} in another order`, to: String(now.length) },
  ];
}

/** A line is path, type, mode, owner and what the type has: see selection-lines.ts. */
function pathOf(line: string): string {
  const end = line.indexOf("\t");
  return end < 0 ? line : line.slice(0, end);
}

type PathCode = "file-changed" | "file-added" | "file-removed" | "mode-changed" | "owner-changed";

function pathReason(code: PathCode, paths: readonly string[]): readonly MissReason[] {
  if (paths.length === 0) return [];
  return [{ code, paths: paths.slice(0, 10).map(pathText), count: paths.length }];
}

/** Of a selection line: latin1 bytes, with tabs, newlines and backslashes escaped; `^` marks a kept parent. */
function pathText(path: string): string {
  const plain = path.replace(/^\^/, "").replace(/\\(.)/g, (_, c) => (c === "t" ? "\t" : c === "n" ? "\n" : c));
  return textOfBytePath(bytePathOfLatin1(plain));
}

// Mounts and options ---------------------------------------------------------------------------------------------

function mounts(old: unknown, now: unknown): readonly MissReason[] {
  if (equal(old, now)) return [];
  const [before, after] = [mountsByTarget(old), mountsByTarget(now)];
  const reasons: MissReason[] = [];
  for (const target of new Set([...after.keys(), ...before.keys()])) {
    const [from, to] = [before.get(target), after.get(target)];
    if (equal(from, to)) continue;
    const sameMount = from !== undefined && to !== undefined && equal({ ...from, files: [] }, { ...to, files: [] });
    if (sameMount) reasons.push(...files(listOf(from["files"]), listOf(to["files"])));
    else reasons.push({ code: "mount-changed", target });
  }
  return reasons;
}

function mountsByTarget(value: unknown): ReadonlyMap<string, Value> {
  const list: readonly Value[] = Array.isArray(value) ? value : [];
  return new Map(list.map((mount) => [String(mount["target"] ?? mount["id"]), mount]));
}

/** Keys of a definition, and the words that the Dockerfile or a flag has for them. */
const optionNames: Readonly<Record<string, string>> = {
  cwd: "workdir",
  user: "user",
  network: "--network",
  security: "--security",
  hostname: "hostname",
  extraHosts: "--add-host",
  shmSize: "--shm-size",
  ulimits: "--ulimit",
  cgroupParent: "--cgroup-parent",
  devices: "--device",
  chown: "--chown",
  chmod: "--chmod",
  link: "--link",
  parents: "--parents",
  unpack: "--unpack",
  checksum: "--checksum",
  commits: "git commit",
  exclude: "--exclude",
  order: "order of sources",
  epoch: "SOURCE_DATE_EPOCH",
};

function options(old: Value, now: Value): readonly MissReason[] {
  return Object.entries(optionNames).flatMap(([key, option]) =>
    equal(old[key], now[key])
      ? []
      : [{ code: "option-changed" as const, option, from: optionText(key, old[key]), to: optionText(key, now[key]) }],
  );
}

function optionText(key: string, value: unknown): string {
  if (key === "chmod" && typeof value === "number") return value.toString(8);
  return value === undefined ? "none" : textOf(value);
}
