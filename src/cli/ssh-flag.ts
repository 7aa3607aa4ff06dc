/** `build --ssh`. Source: Docker docs, "docker buildx build", "--ssh". */
import { readFileSync, type Stats, statSync } from "node:fs";
import { resolve } from "node:path";
import { errnoOf, TsbuildError } from "../errors.ts";
import type { SshSource } from "../planner/build-options.ts";
import type { CommandContext } from "./command.ts";

/** What a file larger than this holds is no key. */
const maxKeyBytes = 100 * 1024;

/**
 * `default|ID[=SOCKET|KEY[,KEY…]]`, by ID. Everything is looked at before anything runs.
 * @throws {TsbuildError} `USAGE`, `INVALID_ARGUMENT` for a file that is no key we can use
 */
export async function parseSsh(
  values: readonly string[],
  context: CommandContext,
): Promise<ReadonlyMap<string, SshSource>> {
  const sources = new Map<string, SshSource>();
  for (const text of values) {
    const equals = text.indexOf("=");
    const id = (equals < 0 ? text : text.slice(0, equals)) || "default";
    if (sources.has(id)) throw usage(`--ssh gives ${id} twice`);
    const files = equals < 0 ? [] : text.slice(equals + 1).split(",");
    sources.set(
      id,
      await sourceOf(
        id,
        files.filter((file) => file !== ""),
        context,
      ),
    );
  }
  return sources;
}

async function sourceOf(id: string, files: readonly string[], context: CommandContext): Promise<SshSource> {
  if (files.length === 0) {
    const path = context.environment["SSH_AUTH_SOCK"];
    if (path === undefined || path === "")
      throw usage(
        `--ssh ${id}: SSH_AUTH_SOCK is not set, so there is no agent to forward`,
        `eval $(ssh-agent) && ssh-add, or name a key file: --ssh ${id}=KEYFILE`,
      );
    if (!statOf(id, path, context).isSocket()) throw usage(`--ssh ${id}: SSH_AUTH_SOCK is ${path}, which is no socket`);
    return { kind: "socket", path: resolve(context.cwd, path) };
  }
  const sockets = files.filter((file) => statOf(id, file, context).isSocket());
  const [socket] = sockets;
  if (socket !== undefined) {
    if (files.length > 1) throw usage(`--ssh ${id}: one socket, or key files, but not both`);
    return { kind: "socket", path: resolve(context.cwd, socket) };
  }
  const { parsePrivateKey } = await import("../executor/ssh/private-key.ts");
  return { kind: "keys", keys: files.map((file) => parsePrivateKey(readKey(id, file, context), file)) };
}

function readKey(id: string, file: string, context: CommandContext): string {
  const stat = statOf(id, file, context);
  if (!stat.isFile()) throw usage(`--ssh ${id}: ${file} is neither a socket nor a file`);
  if (stat.size > maxKeyBytes) throw usage(`--ssh ${id}: ${file} is too large for a private key`);
  try {
    return readFileSync(resolve(context.cwd, file), "utf8");
  } catch (error) {
    throw usage(`--ssh ${id}: cannot read ${file}: ${errnoOf(error) ?? "failed"}`);
  }
}

function statOf(id: string, file: string, context: CommandContext): Stats {
  const stat = statSync(resolve(context.cwd, file), { throwIfNoEntry: false });
  if (stat === undefined) throw usage(`--ssh ${id}: no such file: ${file}`);
  return stat;
}

function usage(what: string, hint?: string): TsbuildError {
  return new TsbuildError({ code: "USAGE", what, hint });
}
