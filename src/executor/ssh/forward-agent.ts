/**
 * A socket that a RUN sees as its ssh agent. Behind it is the caller's agent or one of ours with keys from files. Only
 * listing and signing come through: a build step may use keys, not add, remove or lock them. As with BuildKit.
 * Source: RFC 9987, "Secure Shell (SSH) Agent Protocol".
 */
import { chmodSync, chownSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import type { SshSource } from "../../planner/build-options.ts";
import { agentFailure, agentMessages, keyAgent } from "./key-agent.ts";
import { wireString } from "./wire.ts";

/** OpenSSH's own limit of a message. */
const maxMessageBytes = 256 * 1024;

/** Takes one message without its length, and returns its answer. */
type Answer = (message: Buffer) => Buffer | Promise<Buffer>;

/** Makes the socket at `path` and serves it until it is disposed; the name is the caller's to remove. */
export async function forwardAgent(
  source: SshSource,
  path: string,
  access: { readonly mode: number; readonly uid: number; readonly gid: number },
): Promise<Disposable> {
  const connections = new Set<Socket>();
  const ownKeys = source.kind === "keys" ? keyAgent(source.keys) : undefined;
  const server = createServer((socket) => {
    connections.add(socket);
    socket.on("close", () => connections.delete(socket));
    // Whoever goes away in the middle of an answer has no need of the rest.
    socket.on("error", () => socket.destroy());
    if (ownKeys !== undefined) void serve(socket, ownKeys);
    else if (source.kind === "socket") serveAgentAt(socket, source.path);
  });
  await listening(server, path);
  chownSync(path, access.uid, access.gid);
  chmodSync(path, access.mode);
  return {
    [Symbol.dispose]() {
      server.close();
      for (const socket of connections) socket.destroy();
    },
  };
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** One connection to the caller's agent for each of the step's: agents may keep state for a connection. */
function serveAgentAt(socket: Socket, path: string): void {
  const agent = createConnection(path);
  const answers = messagesOf(agent);
  agent.on("error", () => socket.destroy());
  socket.on("close", () => agent.destroy());
  void serve(socket, async (message) => {
    const isHarmless = message[0] === agentMessages.requestIdentities || message[0] === agentMessages.signRequest;
    if (!isHarmless) return agentFailure;
    agent.write(wireString(message));
    const { value, done } = await answers.next();
    return done === true ? agentFailure : value;
  });
}

/** Answers in the order of the requests, one at a time. */
async function serve(socket: Socket, answer: Answer): Promise<void> {
  try {
    for await (const message of messagesOf(socket)) socket.write(wireString(await answer(message)));
    socket.end();
  } catch {
    // The other side broke off, or does not speak the protocol: there is nobody to tell.
    socket.destroy();
  }
}

async function* messagesOf(socket: Socket): AsyncGenerator<Buffer, void> {
  let pending = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 4) {
      const end = 4 + pending.readUInt32BE(0);
      if (end > 4 + maxMessageBytes || end === 4) throw new RangeError("no message of an agent");
      if (pending.length < end) break;
      yield pending.subarray(4, end);
      pending = pending.subarray(end);
    }
  }
}
