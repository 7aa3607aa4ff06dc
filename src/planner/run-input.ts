/**
 * RUN: from the instruction and the stage's state to the value that is hashed and run.
 * Source: Dockerfile reference, "RUN".
 */
import { posix } from "node:path";
import { assertNever, type Where } from "../errors.ts";
import type { Command, Heredoc, MountFlag, Range, RunInstruction, Word } from "../parser/ast.ts";
import type { RunInput, RunMount, TreeRef, Unkeyed } from "./build-graph.ts";
import type { BuildOptions } from "./build-options.ts";
import { absolutePath, cleanPath } from "./clean-path.ts";
import { emptyCommand, mountInvalid, notEntitled } from "./errors.ts";
import { expandWord, type Locate, type Variables } from "./expand-word.ts";
import { proxyVariables } from "./scopes.ts";

/** What a RUN sees of its stage. */
export interface RunContext {
  readonly variables: Variables;
  readonly workdir: string;
  readonly user: string;
  readonly shell: readonly string[];
  readonly options: BuildOptions;
  readonly locate: Locate;
  /** The tree that `from=` names; undefined = the main context. */
  readonly mountOrigin: (mount: MountFlag) => Promise<TreeRef>;
}

export const defaultShell: readonly string[] = ["/bin/sh", "-c"];

/** @throws {TsbuildError} `INSTRUCTION_INVALID`, `UNSUPPORTED` */
export async function runInput(instruction: RunInstruction, context: RunContext): Promise<RunInput> {
  const { options, locate } = context;
  const where = locate(instruction.range);
  if (instruction.security === "insecure" && !options.allow.includes("security.insecure"))
    throw notEntitled("RUN --security=insecure", "security.insecure", where);
  if (instruction.network === "host" && options.network !== "host" && !options.allow.includes("network.host"))
    throw notEntitled("RUN --network=host", "network.host", where);
  const { argv, scripts } = runCommand(instruction.command, context.shell);
  if (argv.length === 0) throw emptyCommand(where);
  const mounts: RunMount[] = [];
  for (const mount of instruction.mounts) {
    const sshCount = mounts.filter(({ type }) => type === "ssh").length;
    mounts.push(await runMount(await expandedMount(mount, context), sshCount, context));
  }
  return {
    kind: "run",
    argv,
    env: environmentOf(context.variables, mounts),
    // As it is written: on the way to `/a/../b` a runtime makes `/a`.
    cwd: context.workdir.startsWith("/") ? context.workdir : absolutePath(context.workdir),
    user: context.user,
    network: networkOf(instruction, options),
    security: instruction.security ?? "sandbox",
    hostname: options.buildArgs.get("BUILDKIT_SANDBOX_HOSTNAME") || "buildkitsandbox",
    extraHostNames: options.extraHosts.map((host) => host.name),
    ...(options.shmSizeBytes !== undefined && { shmSizeBytes: options.shmSizeBytes }),
    ulimits: options.ulimits,
    ...(options.cgroupParent !== undefined && { cgroupParent: options.cgroupParent }),
    devices: instruction.devices.map(({ name, required }) => ({ name, required })),
    mounts: mounts.sort((a, b) => compareText(a.target ?? "", b.target ?? "")),
    scripts,
  };
}

/** The first ssh mount is the agent that programs find, unless the Dockerfile names another; also when there is none. */
function environmentOf(variables: Variables, mounts: readonly RunMount[]): readonly string[] {
  const env = [...variables].map(([name, value]) => `${name}=${value}`);
  const agent = mounts.find((mount) => mount.type === "ssh");
  return agent === undefined || variables.has("SSH_AUTH_SOCK") ? env : [...env, `SSH_AUTH_SOCK=${agent.target}`];
}

export function unkeyedOf(options: BuildOptions): Unkeyed {
  return {
    proxies: proxyVariables(options.buildArgs),
    extraHosts: options.extraHosts,
    limits: options.limits,
  };
}

function networkOf(instruction: RunInstruction, options: BuildOptions): RunInput["network"] {
  return instruction.network === undefined || instruction.network === "default" ? options.network : instruction.network;
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

// The command ----------------------------------------------------------------------------------------------------

interface RunCommand {
  readonly argv: readonly string[];
  readonly scripts: RunInput["scripts"];
}

/** Source: Dockerfile reference, "Here-Documents". */
function runCommand(command: Command, shell: readonly string[]): RunCommand {
  if (command.form === "exec") return { argv: command.argv, scripts: [] };
  const [first] = command.heredocs;
  if (first === undefined) return { argv: [...shell, command.text], scripts: [] };
  if (command.heredocs.length === 1 && isOnlyMarker(command.text, first)) {
    const body = heredocBody(first);
    if (!first.body.startsWith("#!") && !body.startsWith("#!")) return { argv: [...shell, body], scripts: [] };
    return { argv: [...shell, `/dev/pipes/${first.name}`], scripts: [{ name: first.name, content: body }] };
  }
  // The shell reads the bodies itself, so quoting and tabs stay as they are; no newline after the last name.
  const text = command.heredocs.reduce((line, { body, name }) => `${line}\n${body}${name}`, command.text);
  return { argv: [...shell, text], scripts: [] };
}

/** Blanks after `<<` belong to the marker: `<< EOF`. */
function isOnlyMarker(text: string, heredoc: Heredoc): boolean {
  return text.replace(/\s+/g, "") === heredoc.marker.replace(/\s+/g, "");
}

/** `<<-` takes the leading tabs away. */
export function heredocBody(heredoc: Heredoc): string {
  return heredoc.stripTabs ? heredoc.body.replace(/^\t+/gm, "") : heredoc.body;
}

// Mounts ---------------------------------------------------------------------------------------------------------

/** A mount of which only variables say what it is: read once more, now that they have values. */
async function expandedMount(mount: MountFlag, { variables, locate }: RunContext): Promise<MountFlag> {
  if (mount.late === undefined) return mount;
  const { readMount } = await import("../parser/instructions/mount.ts");
  const options = mount.late.map((option) =>
    option.value === undefined || option.key === "from"
      ? option
      : { ...option, value: literalWord(expandWord(option.value, variables, locate), option.range) },
  );
  const read = readMount(options, mount.range, ({ severity, message, range, hint }) => {
    if (severity === "error") throw mountInvalid(message, locate(range), hint);
  });
  if (read === undefined) throw new Error("a mount was refused without a word");
  return read;
}

function literalWord(value: string, range: Range): Word {
  return { parts: [{ kind: "text", value, quoted: true }], raw: value, range };
}

/** `sshCount`: mounts of type ssh that stand before this one. */
async function runMount(mount: MountFlag, sshCount: number, context: RunContext): Promise<RunMount> {
  const { locate } = context;
  const where = locate(mount.range);
  const text = (word: Word | undefined): string | undefined => {
    const value = word === undefined ? undefined : expandWord(word, context.variables, locate);
    return value === "" ? undefined : value;
  };
  const targetText = text(mount.target);
  const target = absolutePath(targetText ?? context.workdir, context.workdir);
  const needsTarget = mount.type !== "secret" && mount.type !== "ssh";
  if (needsTarget && target === "/") throw mountInvalid("the target is the root", where, "target=/some/folder");
  switch (mount.type) {
    case "bind":
      return {
        type: "bind",
        target,
        from: await context.mountOrigin(mount),
        source: absolutePath(text(mount.source) ?? "/"),
        readonly: mount.readonly ?? true,
      };
    case "cache": {
      const namespace = context.options.buildArgs.get("BUILDKIT_CACHE_MOUNT_NS");
      const id = text(mount.id) ?? cleanPath(targetText ?? context.workdir);
      const source = absolutePath(text(mount.source) ?? "/");
      const from = await context.mountOrigin(mount);
      // As BuildKit has it: with an owner or a mode, it is a folder of that owner, and nothing of the tree is in it.
      const owned = [mount.mode, mount.uid, mount.gid].some((word) => word !== undefined);
      return {
        type: "cache",
        target,
        id: namespace === undefined || namespace === "" ? id : posix.join(namespace, id),
        sharing: mount.sharing ?? "shared",
        readonly: mount.readonly ?? false,
        from: owned && source === "/" ? { kind: "scratch" } : from,
        source,
        mode: octal(text(mount.mode), 0o755, where),
        uid: decimal("uid", text(mount.uid), where),
        gid: decimal("gid", text(mount.gid), where),
      };
    }
    case "tmpfs": {
      const size = text(mount.size);
      return {
        type: "tmpfs",
        target,
        ...(size !== undefined && { sizeBytes: bytes(size, where) }),
        readonly: mount.readonly ?? false,
      };
    }
    case "secret":
      return secretMount(mount, targetText, context);
    case "ssh":
      return {
        type: "ssh",
        target:
          targetText === undefined ? `/run/buildkit/ssh_agent.${sshCount}` : absolutePath(targetText, context.workdir),
        id: text(mount.id) ?? "default",
        required: mount.required ?? false,
        mode: octal(text(mount.mode), 0o600, where),
        uid: decimal("uid", text(mount.uid), where),
        gid: decimal("gid", text(mount.gid), where),
      };
    default:
      return assertNever(mount.type);
  }
}

function secretMount(mount: MountFlag, targetText: string | undefined, context: RunContext): RunMount {
  const { locate } = context;
  const where = locate(mount.range);
  const text = (word: Word | undefined): string | undefined =>
    (word && expandWord(word, context.variables, locate)) || undefined;
  const id =
    text(mount.id) ?? text(mount.source) ?? (targetText === undefined ? undefined : posix.basename(targetText));
  if (id === undefined || id === "") throw mountInvalid("a secret needs an id or a target", where, "id=NAME");
  const env = text(mount.env);
  // Only as a variable, unless a target is named too.
  const target =
    targetText !== undefined
      ? absolutePath(targetText, context.workdir)
      : env === undefined
        ? `/run/secrets/${posix.basename(id)}`
        : undefined;
  return {
    type: "secret",
    ...(target !== undefined && { target }),
    ...(env !== undefined && { env }),
    id,
    required: mount.required ?? false,
    mode: octal(text(mount.mode), 0o400, where),
    uid: decimal("uid", text(mount.uid), where),
    gid: decimal("gid", text(mount.gid), where),
  };
}

function octal(text: string | undefined, absent: number, where: Where): number {
  if (text === undefined) return absent;
  const mode = /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN;
  if (!(mode <= 0o7777)) throw mountInvalid(`invalid mode ${JSON.stringify(text)}`, where, "octal, such as 0755");
  return mode;
}

function decimal(key: string, text: string | undefined, where: Where): number {
  if (text === undefined) return 0;
  const id = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
  if (!(id < 2 ** 32)) throw mountInvalid(`invalid ${key} ${JSON.stringify(text)}`, where, `${key} is a number`);
  return id;
}

function bytes(text: string, where: Where): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)\s*([kmgtp]?)(?:i?b)?$/i.exec(text);
  if (match?.[1] === undefined) throw mountInvalid(`invalid size ${JSON.stringify(text)}`, where, "such as size=64m");
  return Math.floor(Number(match[1]) * 1024 ** ["", "k", "m", "g", "t", "p"].indexOf((match[2] ?? "").toLowerCase()));
}
