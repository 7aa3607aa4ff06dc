/** From the flags of `run` and `create` to what the runtime takes. The store is not looked at here. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { TsbuildError } from "../../errors.ts";
import type { HostRequest } from "../../runtime/containers/container-record.ts";
import type { CreateRequest, RequestedMount } from "../../runtime/containers/create-container.ts";
import { signalNumber } from "../../runtime/containers/signal-name.ts";
import type { CommandContext } from "../command.ts";
import { limitsOf, parseUlimit } from "../limit-flags.ts";
import { parseSize } from "../render/size.ts";
import { invalidFlagValue } from "../usage-errors.ts";
import type { CreateFlags } from "./create-flags.ts";
import {
  conflicting,
  environmentOf,
  exposedPort,
  extraHost,
  healthcheckOf,
  integer,
  ipAddress,
  keyValue,
  linesOf,
  logRequest,
  pullPolicy,
  restartPolicy,
} from "./flag-values.ts";
import { isolationOf } from "./isolation-flags.ts";
import { parseMount, parseTmpfs, parseVolume } from "./mount-flags.ts";

/** What flags say without looking at the store. */
export interface ReadFlags {
  readonly request: Omit<CreateRequest, "image" | "imageName" | "command" | "volumesFrom" | "process"> & {
    readonly process: Omit<CreateRequest["process"], "attachStdin" | "attachStdout" | "attachStderr" | "stdinOnce">;
  };
  readonly volumesFrom: readonly { readonly container: string; readonly readonly: boolean | undefined }[];
  readonly pull: "always" | "missing" | "never";
  /** Absolute. */
  readonly cidfile: string | undefined;
}

/** @throws {TsbuildError} `USAGE`, `INVALID_ARGUMENT`, `UNSUPPORTED` */
export function readCreateFlags(
  typed: CreateFlags,
  context: CommandContext,
  network: HostRequest["network"],
): ReadFlags {
  const { cwd } = context;
  const restart = restartPolicy(typed.restart ?? "no");
  const autoRemove = typed.rm === true;
  if (autoRemove && restart.kind !== "no") throw conflicting("cannot specify both --restart and --rm");
  const cidfile = typed.cidfile === undefined ? undefined : resolve(cwd, typed.cidfile);
  if (cidfile !== undefined && existsSync(cidfile)) {
    throw new TsbuildError({
      code: "CONFLICT",
      what: `container ID file found, make sure the other container isn't running or delete ${typed.cidfile}`,
    });
  }
  if (typed.stopSignal !== undefined) signalNumber(typed.stopSignal);
  const files = (paths: readonly string[] | undefined): readonly string[] =>
    (paths ?? []).flatMap((path) => linesOf(path, cwd));
  const mounts: readonly RequestedMount[] = [
    ...(typed.volume ?? []).map((text) => parseVolume(text, cwd)),
    ...(typed.mount ?? []).map((text) => parseMount(text, cwd)),
  ];
  return {
    request: {
      name: typed.name,
      entrypoint: typed.entrypoint === undefined ? undefined : typed.entrypoint === "" ? [] : [typed.entrypoint],
      env: environmentOf(typed, context),
      labels: Object.fromEntries([...files(typed.labelFile), ...(typed.label ?? [])].map(keyValue)),
      user: typed.user,
      workingDir: typed.workdir,
      hostname: typed.hostname,
      domainname: typed.domainname,
      exposedPorts: (typed.expose ?? []).map(exposedPort),
      mounts,
      process: {
        tty: typed.tty === true,
        openStdin: typed.interactive === true,
        stopTimeout: typed.stopTimeout === undefined ? undefined : integer("--stop-timeout", typed.stopTimeout),
      },
      stopSignal: typed.stopSignal,
      healthcheck: healthcheckOf(typed),
      host: {
        network,
        restart,
        autoRemove,
        init: typed.init === true,
        privileged: typed.privileged === true,
        capAdd: typed.capAdd ?? [],
        capDrop: typed.capDrop ?? [],
        securityOpt: typed.securityOpt ?? [],
        groupAdd: typed.groupAdd ?? [],
        readonlyRootfs: typed.readOnly === true,
        tmpfs: Object.fromEntries((typed.tmpfs ?? []).map(parseTmpfs)),
        shmSizeBytes: typed.shmSize === undefined ? 64 * 1024 * 1024 : parseSize(typed.shmSize),
        limits: limitsOf(typed),
        ulimits: (typed.ulimit ?? []).map(parseUlimit),
        oomScoreAdj: typed.oomScoreAdj === undefined ? 0 : integer("--oom-score-adj", typed.oomScoreAdj),
        extraHosts: (typed.addHost ?? []).map(extraHost),
        dns: (typed.dns ?? []).map(ipAddress),
        dnsSearch: typed.dnsSearch ?? [],
        dnsOptions: typed.dnsOption ?? [],
        sysctls: Object.fromEntries((typed.sysctl ?? []).map(keyValue)),
        annotations: Object.fromEntries((typed.annotation ?? []).map(keyValue)),
        log: logRequest(typed.logDriver ?? "json-file", typed.logOpt ?? []),
        ...isolationOf(typed),
        portBindings: [],
        binds: typed.volume ?? [],
        volumesFrom: typed.volumesFrom ?? [],
        containerIdFile: cidfile ?? "",
        runtime: typed.runtime ?? context.runtime,
      },
    },
    volumesFrom: (typed.volumesFrom ?? []).map((text) => {
      const [container = "", mode] = text.split(":");
      if (mode !== undefined && !/^(ro|rw|z)$/.test(mode))
        throw invalidFlagValue("--volumes-from", text, `mode ${mode}`);
      return { container, readonly: mode === "ro" ? true : mode === "rw" ? false : undefined };
    }),
    pull: pullPolicy(typed.pull ?? "missing"),
    cidfile,
  };
}

/** Undefined: not given. */
export function networkFlag(typed: CreateFlags): HostRequest["network"] | undefined {
  const text = typed.network ?? typed.net;
  switch (text) {
    case undefined:
    case "default":
      return undefined;
    case "bridge":
    case "host":
    case "none":
      return text;
    default:
      throw new TsbuildError({
        code: "UNSUPPORTED",
        what: `network ${text} not found`,
        where: { kind: "flag", flag: "--network" },
        hint: "there are bridge, host and none",
      });
  }
}
