/** The supervisor's side of its clients: fd 3 of a monitor, and everybody who connects to the socket in the folder. */
import { closeSync, constants, openSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type ClientFrame, encodeFrame, frameReader, type ServerFrame, sendData } from "./connection.ts";
import type { ContainerFolder } from "./container-folder.ts";
import type { StdioHub, Viewer } from "./stdio-hub.ts";

export interface Client {
  send(frame: ServerFrame): void;
  /** After what was sent has left. */
  end(): Promise<void>;
}

/** More than this behind, and a client that does not hold the container back is dropped. */
const longestBacklogBytes = 4 * 1024 * 1024;

/** Reads a client's frames and makes it a viewer when it wants output. Resolves `hello` with its first frame. */
export function serveClient(
  connection: Duplex,
  hub: StdioHub,
  options: { readonly holdsBack: boolean },
): { readonly client: Client; readonly hello: Promise<Extract<ClientFrame, { kind: "hello" }> | undefined> } {
  const viewer: Viewer = {
    holdsBack: options.holdsBack,
    output(stream, data) {
      if (!options.holdsBack && connection.writableLength > longestBacklogBytes) {
        sendData(
          connection,
          "stderr",
          Buffer.from("\r\ntsbuild: detached: this client is too slow for the output\r\n"),
        );
        connection.end();
        hub.remove(viewer);
        return true;
      }
      return sendData(connection, stream, data);
    },
  };
  connection.on("drain", () => hub.drained(viewer));
  const { promise, resolve } = Promise.withResolvers<Extract<ClientFrame, { kind: "hello" }> | undefined>();
  let mayWrite = false;
  const read = frameReader((frame) => {
    switch (frame.kind) {
      case "hello":
        mayWrite = frame.stdin;
        if (frame.output) hub.add(viewer);
        if (frame.size !== undefined) hub.resize(frame.size);
        resolve(frame);
        break;
      case "stdin":
        if (mayWrite && !hub.input(frame.data)) connection.pause();
        break;
      case "stdinEnd":
        if (mayWrite) hub.inputEnd();
        break;
      case "resize":
        hub.resize(frame.size);
        break;
      default:
        throw new Error(`unexpected frame ${frame.kind}`);
    }
  });
  const gone = (): void => {
    hub.remove(viewer);
    resolve(undefined);
  };
  hub.onInputRoom(() => connection.resume());
  connection.on("data", (chunk: Buffer) => {
    try {
      read(chunk);
    } catch {
      // No client of ours: it is let go, the container goes on.
      connection.destroy();
    }
  });
  // A client that went away must not reach the container.
  connection.on("error", gone).on("end", gone).on("close", gone);
  return {
    hello: promise,
    client: {
      send: (frame) => void (connection.writable && connection.write(encodeFrame(frame))),
      end: () => new Promise((done) => (connection.destroyed ? done() : connection.once("close", done).end(done))),
    },
  };
}

export interface AttachmentServer extends AsyncDisposable {
  /** Tells everybody who is attached how it ended. */
  exited(code: number): Promise<void>;
}

/** Listens on the socket. A path through an open folder keeps it short: a socket's name has 108 bytes at most. */
export async function serveAttachments(folder: ContainerFolder, hub: StdioHub): Promise<AttachmentServer> {
  const folderFd = openSync(folder.path, constants.O_RDONLY | constants.O_DIRECTORY);
  const socketPath = `/proc/self/fd/${folderFd}/${socketName}`;
  rmSync(`${folder.path}/${socketName}`, { force: true });
  const clients = new Set<Client>();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    const { client } = serveClient(socket, hub, { holdsBack: false });
    clients.add(client);
    sockets.add(socket);
    socket.on("close", () => {
      clients.delete(client);
      sockets.delete(socket);
    });
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(socketPath, resolve));
  return {
    async exited(code) {
      for (const client of clients) client.send({ kind: "exited", code });
      await Promise.race([
        Promise.all([...clients].map((client) => client.end())),
        new Promise((r) => setTimeout(r, 500)),
      ]);
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      closeSync(folderFd);
    },
  };
}

export const socketName = "attach";
