/**
 * The process beside a container that outlives its CLI: an entry point of its own. It owns the container's stdio, log,
 * exit status and restarts, and serves whoever attaches. Its one argument is the container's folder, with
 * `launch.json` in it; fd 3 is the CLI that started it: its first client, which waits for `started` or `failed`.
 */
import { Socket } from "node:net";
import { basename } from "node:path";
import { serveAttachments, serveClient } from "./containers/attachments.ts";
import { claim } from "./containers/claim.ts";
import { errorToSend } from "./containers/connection.ts";
import { containerDriver } from "./containers/container-driver.ts";
import { containerFolderAt } from "./containers/container-folder.ts";
import type { ContainerId } from "./containers/container-id.ts";
import { connectNetwork } from "./containers/container-network.ts";
import { readLaunch } from "./containers/launch.ts";
import { containerHub, openContainerLog, supervise } from "./containers/supervise.ts";

const path = process.argv[2] ?? "";
const folder = containerFolderAt(path, basename(path) as ContainerId);
const starter = new Socket({ fd: 3, readable: true, writable: true });

// The container is stopped by signals to itself; this process ends when it has ended.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGPIPE", "SIGUSR2"] as const) {
  process.on(signal, () => undefined);
}

// No top-level await: the bundle is CommonJS, which starts faster.
void monitor().then(() => process.exit(0));

async function monitor(): Promise<void> {
  const launch = readLaunch(folder);
  const now = (): number => performance.timeOrigin + performance.now();
  using log = openContainerLog(folder, launch, { now });
  const hub = containerHub(launch, log);
  const { client, hello } = serveClient(starter, hub, { holdsBack: true });
  // Nobody is there to be told: not started either.
  if ((await hello)?.start !== true) return;
  let code = 125;
  try {
    using _ = claim(folder);
    const driver = await containerDriver(launch.runtime);
    await using server = await serveAttachments(folder, hub);
    const status = await supervise({
      folder,
      launch,
      driver,
      hub,
      now,
      connectNetwork: (each) => connectNetwork(folder, each),
      signal: new AbortController().signal,
      onStarted: () => client.send({ kind: "started" }),
    });
    code = status.code;
    if (launch.autoRemove) await removeNow(launch.storeRoot);
    client.send({ kind: "exited", code });
    await server.exited(code);
  } catch (error) {
    client.send({ kind: "failed", error: errorToSend(error) });
  }
  await client.end();
}

/** `--rm`: the store is opened only now, so that a container that runs for months holds nothing of it. */
async function removeNow(storeRoot: string): Promise<void> {
  const [{ openStore }, { removeContainer }] = await Promise.all([
    import("../store/open-store.ts"),
    import("./containers/remove-container.ts"),
  ]);
  using store = openStore(storeRoot);
  removeContainer(store, folder.id, { volumes: true });
}
