/**
 * What RUN steps see of the network. `default` is the NATed bridge, each step with a network namespace of its own, as
 * BuildKit has it: what a Dockerfile downloads does not reach the services on this machine's loopback. Where there can be
 * no NAT, the host's network takes its place and a note says why.
 */
import type { NetworkMode } from "../driver.ts";
import { hostResolvFile, resolvFile, stepHostsFile } from "../hosts-files.ts";
import { type Bridge, openBridge } from "./bridge.ts";

/** One step's network. Dispose it after the step has ended. */
export interface BuildNetwork extends Disposable {
  readonly mode: NetworkMode;
  /** For `containerSpec`. */
  readonly kind: NetworkMode["kind"];
  readonly hosts: string;
  readonly resolvConf: string;
}

export interface BuildNetworkRequest {
  readonly network: "default" | "none" | "host";
  readonly hostname: string;
  readonly extraHosts: readonly { readonly name: string; readonly address: string }[];
}

/** The networks of one build: the bridge is opened by the first step that wants it, and let go with the build. */
export class BuildNetworks implements Disposable {
  readonly #onNote: (text: string) => void;
  #bridge: Bridge | undefined;
  #noBridge = false;

  constructor(onNote: (text: string) => void) {
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
      hosts: stepHostsFile(request.hostname, request.extraHosts, bridge?.gateway),
      resolvConf: isolated
        ? resolvFile({
            hostFile: hostResolvFile(false),
            hostNetwork: false,
            publicIpv6: true,
            dns: [],
            dnsSearch: [],
            dnsOptions: [],
          })
        : hostResolvFile(true),
      [Symbol.dispose]: () => connection?.[Symbol.dispose](),
    };
  }

  #openBridge(): Bridge | undefined {
    if (this.#bridge !== undefined || this.#noBridge) return this.#bridge;
    const bridge = openBridge();
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
  }
}
