/** From the words of `run` and `create` to a container in the store: its image is found, or pulled. */
import { rmSync, writeFileSync } from "node:fs";
import { hostPlatform, type Platform, parsePlatform, samePlatform } from "../../oci/platform.ts";
import { familiarReference, parseReference } from "../../oci/reference.ts";
import { containersNeedRoot, noSuchImage, recordUnreadable } from "../../runtime/container-errors.ts";
import type { LiveContainer } from "../../runtime/containers/container-folder.ts";
import { findContainer } from "../../runtime/containers/container-folder.ts";
import { bridgeObstacle } from "../../runtime/containers/container-network.ts";
import type { HostRequest, ProcessRequest } from "../../runtime/containers/container-record.ts";
import { createContainer, mayRunContainers } from "../../runtime/containers/create-container.ts";
import { logTimestamp } from "../../runtime/logs.ts";
import type { Store, StoredImage } from "../../store/store.ts";
import type { CommandContext } from "../command.ts";
import { registryAccess } from "../registry-flags.ts";
import type { CreateFlags } from "./create-flags.ts";
import { networkFlag, type ReadFlags, readCreateFlags } from "./read-create-flags.ts";

export interface NewContainer {
  readonly imageName: string;
  readonly words: readonly string[];
  readonly flags: CreateFlags;
  readonly streams: Pick<ProcessRequest, "attachStdin" | "attachStdout" | "attachStderr">;
}

/** @throws {TsbuildError} with nothing left behind. */
export async function newContainer(wanted: NewContainer, context: CommandContext): Promise<LiveContainer> {
  const { imageName, words, flags, streams } = wanted;
  // Before an image is pulled for nothing.
  if (!mayRunContainers()) throw containersNeedRoot();
  const read = readCreateFlags(flags, context, networkOf(flags, context));
  const store = context.openStore();
  const image = await findOrPull(store, imageName, flags, read.pull, context);
  const { request } = read;
  const volumesFrom = read.volumesFrom.map(({ container, readonly }) => {
    const { record, folder } = findContainer(store, container);
    if (record === undefined) throw recordUnreadable(folder.id);
    return { record, readonly };
  });
  const container = createContainer(
    store,
    {
      ...request,
      host: withResolvedPid(store, request.host),
      image,
      imageName,
      command: words,
      volumesFrom,
      process: {
        ...request.process,
        ...streams,
        stdinOnce: request.process.openStdin && streams.attachStdin,
      },
    },
    logTimestamp(context.now()),
  );
  if (read.cidfile !== undefined) writeCidFile(read.cidfile, container);
  return container;
}

/** Where nothing was asked for, the bridge; the host's network where this machine can have none, with a word about it. */
function networkOf(flags: CreateFlags, context: CommandContext): "host" | "none" | "bridge" {
  const asked = networkFlag(flags);
  if (asked !== undefined) return asked;
  const obstacle = bridgeObstacle();
  if (obstacle === undefined) return "bridge";
  context.stderr.write(`warning: ${obstacle}: the container is on the host's network\n`);
  return "host";
}

/** A name may be another container's one day. */
function withResolvedPid(store: Store, host: HostRequest): HostRequest {
  const pid = host.namespaces?.pid;
  if (typeof pid !== "object") return host;
  return {
    ...host,
    namespaces: { ...host.namespaces, pid: { container: findContainer(store, pid.container).folder.id } },
  };
}

function writeCidFile(path: string, { folder }: LiveContainer): void {
  try {
    writeFileSync(path, folder.id, { flag: "wx" });
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
}

async function findOrPull(
  store: Store,
  name: string,
  flags: CreateFlags,
  policy: ReadFlags["pull"],
  context: CommandContext,
): Promise<StoredImage> {
  const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
  if (policy !== "always") {
    const image = store.images.find(name);
    if (image !== undefined && fits(image, platform)) return image;
    if (policy === "never") throw noSuchImage(name);
    if (image === undefined || platform !== undefined) {
      context.stderr.write(`Unable to find image '${familiarReference(parseReference(name))}' locally\n`);
    }
  }
  const [{ pullImage }, { transferProgress }] = await Promise.all([
    import("../../registry/pull-image.ts"),
    import("../render/transfer-progress.ts"),
  ]);
  const { stderr, signal, now } = context;
  using progress = transferProgress({ stdout: stderr, stderr, now });
  return await pullImage({
    store,
    reference: parseReference(name),
    platform,
    access: registryAccess({}, context),
    ...(flags.quiet !== true && { onEvent: progress.onEvent }),
    signal,
  });
}

function fits(image: StoredImage, platform: Platform | undefined): boolean {
  if (platform === undefined) return true;
  const { os, architecture, variant } = image.config;
  return samePlatform({ os, architecture, ...(variant !== undefined && { variant }) }, platform);
}

/** An image for another machine runs only with an emulator; said before it fails. */
export function warnOfPlatform(container: LiveContainer, context: CommandContext): void {
  const image = parsePlatform(container.record.image.platform);
  if (samePlatform(image, hostPlatform())) return;
  const host = `${hostPlatform().os}/${hostPlatform().architecture}`;
  context.stderr.write(`warning: the image is for ${container.record.image.platform}, this machine is ${host}\n`);
}
