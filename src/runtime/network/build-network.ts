/**
 * What RUN steps see of the network. `default` is the NATed bridge, each step with a network namespace of its own, as
 * BuildKit has it: what a Dockerfile downloads does not reach the services on this machine's loopback. Where there can be
 * no NAT, the host's network takes its place and a note says why.
 */
import { writeFileSync } from "node:fs";
import type { TemporaryFolder } from "../../store/store.ts";
import type { NetworkMode } from "../driver.ts";
import { hostResolvFile, resolvFile, stepHostsFile } from "../hosts-files.ts";
import { type Bridge, type BridgePlace, openBridge } from "./bridge.ts";

/** One step's network. Dispose it after the step has ended. */
export interface BuildNetwork extends Disposable {
  readonly mode: NetworkMode;
  /** For `containerSpec`. */
  readonly kind: NetworkMode["kind"];
  /** Paths of what the step sees at /etc/hosts and /etc/resolv.conf; gone with the build. */
  readonly files: { readonly hosts: string; readonly resolvConf: string };
}

export interface BuildNetworkRequest {
  readonly network: "default" | "none" | "host";
  readonly hostname: string;
  readonly extraHosts: readonly { readonly name: string; readonly address: string }[];
}

/** The networks of one build: the bridge is opened by the first step that wants it, and let go with the build. */
export class BuildNetworks implements Disposable {
  readonly #makeFolder: () => TemporaryFolder;
  readonly #onNote: (text: string) => void;
  readonly #place: BridgePlace | undefined;
  #folder: TemporaryFolder | undefined;
  /** Paths by content: most steps of a build see the same. */
  readonly #files = new Map<string, string>();
  #bridge: Bridge | undefined;
  #noBridge = false;

  /** The folder is made for the first step that runs. */
  constructor(makeFolder: () => TemporaryFolder, onNote: (text: string) => void, place?: BridgePlace) {
    this.#makeFolder = makeFolder;
    this.#place = place;
    this.#onNote = onNote;
  }

  forStep(request: BuildNetworkRequest): BuildNetwork {
    const bridge = request.network === "default" ? this.#openBridge() : undefined;
    const connection = bridge?.connect();
    const isolated = connection !== undefined || request.network === "none";
    const mode: NetworkMode = connection?.mode ?? { kind: isolated ? "none" : "host" };
    return {
      mode,
      kind: mode.kind,
      files: {
        hosts: this.#file(stepHostsFile(request.hostname, request.extraHosts, bridge?.gateway)),
        resolvConf: this.#file(isolated ? isolatedResolvFile() : hostResolvFile(true)),
      },
      [Symbol.dispose]: () => connection?.[Symbol.dispose](),
    };
  }

  #file(content: string): string {
    const known = this.#files.get(content);
    if (known !== undefined) return known;
    this.#folder ??= this.#makeFolder();
    const path = `${this.#folder.path}/${this.#files.size}`;
    writeFileSync(path, content, { mode: 0o644 });
    this.#files.set(content, path);
    return path;
  }

  #openBridge(): Bridge | undefined {
    if (this.#bridge !== undefined || this.#noBridge) return this.#bridge;
    const bridge = openBridge(this.#place);
    if ("reason" in bridge) {
      this.#noBridge = true;
      this.#onNote(`RUN uses the host's network: ${bridge.reason}`);
      return undefined;
    }
    this.#bridge = bridge;
    return bridge;
  }

  [Symbol.dispose](): void {
    this.#bridge?.[Symbol.dispose]();
    this.#bridge = undefined;
    this.#folder?.[Symbol.dispose]();
    this.#folder = undefined;
    this.#files.clear();
  }
}

function isolatedResolvFile(): string {
  return resolvFile({
    hostFile: hostResolvFile(false),
    hostNetwork: false,
    publicIpv6: true,
    dns: [],
    dnsSearch: [],
    dnsOptions: [],
  });
}
