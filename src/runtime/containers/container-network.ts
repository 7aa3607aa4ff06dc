/** The network of one life of a container, as `supervise` wants it. */
import { TsbuildError } from "../../errors.ts";
import { writeInPlace } from "../hosts-files.ts";
import type { ContainerFolder } from "./container-folder.ts";
import type { Launch } from "./launch.ts";
import type { NetworkConnection } from "./supervise.ts";

/** @throws {TsbuildError} `RUNTIME_FAILED` when the machine can have no bridge: it says why. */
export async function connectNetwork(folder: ContainerFolder, launch: Launch): Promise<NetworkConnection> {
  if (launch.network !== "bridge") {
    return { mode: { kind: launch.network }, address: undefined, [Symbol.dispose]: () => undefined };
  }
  const { openBridge } = await import("../network/bridge.ts");
  const bridge = openBridge();
  if ("reason" in bridge) {
    throw new TsbuildError({
      code: "RUNTIME_FAILED",
      what: `no bridge network on this machine: ${bridge.reason}`,
      hint: "--network host shares the host's, --network none has only loopback",
    });
  }
  try {
    const connection = bridge.connect();
    const lines = [
      ...launch.gatewayNames.map((name) => `${bridge.gateway}\t${name}`),
      `${connection.address}\t${launch.hostname}`,
    ];
    writeInPlace(folder.hostsFile, `${launch.hosts}${lines.join("\n")}\n`);
    return {
      mode: connection.mode,
      address: connection.address,
      [Symbol.dispose]() {
        connection[Symbol.dispose]();
        bridge[Symbol.dispose]();
      },
    };
  } catch (error) {
    bridge[Symbol.dispose]();
    throw error;
  }
}

/** Why this machine can have no bridge, as far as that can be seen without making one. */
export function bridgeObstacle(): string | undefined {
  return process.geteuid?.() === 0 ? undefined : "a bridge network needs root";
}
