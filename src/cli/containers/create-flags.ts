/** The flags of `run` and `create`, declared once, and read into what the runtime takes. */
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { isAbsolute, resolve } from "node:path";
import { type Command, Option } from "commander";
import { errnoOf, TsbuildError } from "../../errors.ts";
import type { Healthcheck } from "../../oci/image-config.ts";
import type { HostRequest, Limits, LogRequest, RestartPolicy } from "../../runtime/containers/container-record.ts";
import type { CreateRequest, RequestedMount } from "../../runtime/containers/create-container.ts";
import { signalNumber } from "../../runtime/containers/signal-name.ts";
import type { CommandContext } from "../command.ts";
import { parseSize } from "../render/size.ts";
import { parseDuration } from "../render/time.ts";
import { invalidFlagValue } from "../usage-errors.ts";
import { parseMount, parseTmpfs, parseVolume } from "./mount-flags.ts";

export interface CreateFlags {
  readonly attach?: readonly string[];
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly name?: string;
  readonly rm?: boolean;
  readonly cidfile?: string;
  readonly env?: readonly string[];
  readonly envFile?: readonly string[];
  readonly label?: readonly string[];
  readonly labelFile?: readonly string[];
  readonly annotation?: readonly string[];
  readonly entrypoint?: string;
  readonly user?: string;
  readonly groupAdd?: readonly string[];
  readonly workdir?: string;
  readonly hostname?: string;
  readonly volume?: readonly string[];
  readonly mount?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly volumesFrom?: readonly string[];
  readonly readOnly?: boolean;
  readonly expose?: readonly string[];
  readonly network?: string;
  readonly net?: string;
  readonly dns?: readonly string[];
  readonly dnsSearch?: readonly string[];
  readonly dnsOption?: readonly string[];
  readonly addHost?: readonly string[];
  readonly memory?: string;
  readonly memoryReservation?: string;
  readonly memorySwap?: string;
  readonly oomScoreAdj?: string;
  readonly shmSize?: string;
  readonly pidsLimit?: string;
  readonly cpus?: string;
  readonly cpuShares?: string;
  readonly cpuPeriod?: string;
  readonly cpuQuota?: string;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly ulimit?: readonly string[];
  readonly capAdd?: readonly string[];
  readonly capDrop?: readonly string[];
  readonly privileged?: boolean;
  readonly securityOpt?: readonly string[];
  readonly sysctl?: readonly string[];
  readonly restart?: string;
  readonly stopSignal?: string;
  readonly stopTimeout?: string;
  readonly init?: boolean;
  readonly healthCmd?: string;
  readonly healthInterval?: string;
  readonly healthTimeout?: string;
  readonly healthRetries?: string;
  readonly healthStartPeriod?: string;
  readonly healthStartInterval?: string;
  /** False with `--no-healthcheck`. */
  readonly healthcheck?: boolean;
  readonly pull?: string;
  readonly quiet?: boolean;
  readonly platform?: string;
  readonly logDriver?: string;
  readonly logOpt?: readonly string[];
  readonly runtime?: string;
}

/** commander starts an option whose name begins with `no-` at true. */
const collect = (value: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), value];

/** `[flags, description]`; a description that starts with `list:` may be given several times. */
const flags: readonly (readonly [string, string])[] = [
  ["-a, --attach <stream>", "list:stdin, stdout or stderr: what to attach to"],
  ["-i, --interactive", "keep stdin open"],
  ["-t, --tty", "a terminal of the container's own"],
  ["--name <name>", "what to call it (default: a random name)"],
  ["--rm", "remove it, and its anonymous volumes, when it ends"],
  ["--cidfile <file>", "write its ID here; the file must not exist"],
  ["-e, --env <key[=value]>", "list:a variable; without =value the caller's"],
  ["--env-file <file>", "list:variables, one a line"],
  ["-l, --label <key[=value]>", "list:a label"],
  ["--label-file <file>", "list:labels, one a line"],
  ["--annotation <key=value>", "list:an annotation of the runtime spec"],
  ["--entrypoint <word>", 'instead of the image\'s ENTRYPOINT and CMD; "" clears both'],
  ["-u, --user <user[:group]>", "names of the image's accounts, or numbers"],
  ["--group-add <group>", "list:a further group, by name or number"],
  ["-w, --workdir <path>", "working directory; made if it is not there"],
  ["-h, --hostname <name>", "its host name (default: its short ID)"],
  [
    "-v, --volume <[source:]path[:options]>",
    "list:a volume, or a folder of the host; options ro rw nocopy and propagation",
  ],
  ["--mount <spec>", "list:type=bind|volume|tmpfs,source=…,target=…[,readonly]"],
  ["--tmpfs <path[:options]>", "list:a file system in memory"],
  ["--volumes-from <container[:ro]>", "list:the mounts of another container"],
  ["--read-only", "its root file system cannot be written"],
  ["--expose <port[/protocol]>", "list:a port that it serves: noted, not opened"],
  ["--network <mode>", "bridge (default where there is NAT), host, or none"],
  ["--dns <address>", "list:a DNS server instead of the host's"],
  ["--dns-search <domain>", "list:a DNS search domain"],
  ["--dns-option <option>", "list:a resolver option"],
  ["--add-host <name:address>", "list:a line of its /etc/hosts"],
  ["-m, --memory <size>", "memory limit"],
  ["--memory-reservation <size>", "soft memory limit"],
  ["--memory-swap <size>", "limit of memory and swap together; -1: no limit of swap"],
  ["--oom-score-adj <number>", "-1000 to 1000"],
  ["--shm-size <size>", "size of /dev/shm (default: 64m)"],
  ["--pids-limit <number>", "processes and threads at most; -1: no limit"],
  ["--cpus <number>", "processors' worth of time, such as 0.5"],
  ["-c, --cpu-shares <number>", "weight against other containers"],
  ["--cpu-period <microseconds>", "length of a scheduler period"],
  ["--cpu-quota <microseconds>", "time in each period"],
  ["--cpuset-cpus <list>", "processors to run on, such as 0-2,4"],
  ["--cpuset-mems <list>", "memory nodes to use"],
  ["--ulimit <name=soft[:hard]>", "list:a resource limit"],
  ["--cap-add <capability>", "list:a capability more, or ALL"],
  ["--cap-drop <capability>", "list:a capability less, or ALL"],
  ["--privileged", "all capabilities and devices, nothing masked: as good as root on the host"],
  ["--security-opt <option>", "list:no-new-privileges, seccomp=unconfined, systempaths=unconfined"],
  ["--sysctl <key=value>", "list:a kernel parameter of its namespaces"],
  ["--restart <policy>", "no, on-failure[:max], always or unless-stopped"],
  ["--stop-signal <signal>", "what `stop` sends"],
  ["--stop-timeout <seconds>", "how long `stop` waits before SIGKILL"],
  ["--health-cmd <command>", "run by a shell from time to time: does it work?"],
  ["--health-interval <duration>", "between two checks (default: 30s)"],
  ["--health-timeout <duration>", "a check that takes longer has failed (default: 30s)"],
  ["--health-retries <number>", "failures until it counts as unhealthy (default: 3)"],
  ["--health-start-period <duration>", "in which failures do not count (default: 0s)"],
  ["--health-start-interval <duration>", "between two checks in the start period (default: 5s)"],
  ["--no-healthcheck", "without the image's HEALTHCHECK"],
  ["--init", "pid 1 is an init that forwards signals and reaps"],
  ["--pull <policy>", "always, missing or never"],
  ["-q, --quiet", "no progress of a pull"],
  ["--platform <platform>", "os/arch[/variant] of the image"],
  ["--log-driver <driver>", "json-file or none"],
  ["--log-opt <key=value>", "list:max-size, max-file"],
  ["--runtime <name>", "native, crun, runc, or a path"],
];

/** docker's flags that are not there: each an error that names it, not a typo. */
const refused: readonly string[] = [
  "--blkio-weight <n>",
  "--cgroup-parent <path>",
  "--cgroupns <mode>",
  "--device <spec>",
  "--device-cgroup-rule <rule>",
  "--domainname <name>",
  "--gpus <spec>",
  "--ip <address>",
  "--ipc <mode>",
  "--link <container>",
  "--mac-address <address>",
  "--network-alias <name>",
  "--oom-kill-disable",
  "--pid <mode>",
  "-p, --publish <ports>",
  "-P, --publish-all",
  "--storage-opt <option>",
  "--userns <mode>",
  "--uts <mode>",
  "--volume-driver <name>",
];

export function defineCreateFlags(command: Command): void {
  command.argument("<image>").argument("[command...]");
  for (const [words, text] of flags) {
    const option = new Option(words, text.replace(/^list:/, ""));
    command.addOption(text.startsWith("list:") ? option.argParser(collect) : option);
  }
  command.addOption(new Option("--net <mode>").hideHelp());
  command.addOption(new Option("--disable-content-trust").hideHelp());
  for (const words of refused) {
    const long = /--[a-z-]+/.exec(words)?.[0] ?? words;
    const option = new Option(words).hideHelp();
    command.addOption(option);
    command.on(`option:${option.name()}`, () => {
      throw new TsbuildError({
        code: "UNSUPPORTED",
        what: `${long} is not supported`,
        where: { kind: "flag", flag: long },
      });
    });
  }
}

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
  const { cwd, environment } = context;
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
      env: [...files(typed.envFile), ...(typed.env ?? [])].flatMap((entry) => variable(entry, environment)),
      labels: Object.fromEntries([...files(typed.labelFile), ...(typed.label ?? [])].map(keyValue)),
      user: typed.user,
      workingDir: typed.workdir,
      hostname: typed.hostname,
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
        ulimits: (typed.ulimit ?? []).map(ulimit),
        oomScoreAdj: typed.oomScoreAdj === undefined ? 0 : integer("--oom-score-adj", typed.oomScoreAdj),
        extraHosts: (typed.addHost ?? []).map(extraHost),
        dns: (typed.dns ?? []).map(ipAddress),
        dnsSearch: typed.dnsSearch ?? [],
        dnsOptions: typed.dnsOption ?? [],
        sysctls: Object.fromEntries((typed.sysctl ?? []).map(keyValue)),
        annotations: Object.fromEntries((typed.annotation ?? []).map(keyValue)),
        log: logRequest(typed.logDriver ?? "json-file", typed.logOpt ?? []),
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

export function conflicting(what: string): TsbuildError {
  return new TsbuildError({ code: "USAGE", what: `conflicting options: ${what}` });
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

export function restartPolicy(text: string): RestartPolicy {
  const [name = "", count] = text.split(":");
  switch (name) {
    case "":
    case "no":
      return { kind: "no" };
    case "always":
    case "unless-stopped":
      if (count !== undefined) throw invalidFlagValue("--restart", text, `a maximum goes with on-failure only`);
      return { kind: name };
    case "on-failure":
      return { kind: name, maximumRetryCount: count === undefined ? 0 : natural("--restart", count) };
    default:
      throw invalidFlagValue("--restart", text, "there are no, on-failure[:max], always and unless-stopped");
  }
}

function healthcheckOf(typed: CreateFlags): Healthcheck {
  const ns = (text: string | undefined): number | undefined =>
    text === undefined ? undefined : parseDuration(text) * 1e6;
  const asked = {
    Test: typed.healthCmd === undefined ? undefined : ["CMD-SHELL", typed.healthCmd],
    Interval: ns(typed.healthInterval),
    Timeout: ns(typed.healthTimeout),
    StartPeriod: ns(typed.healthStartPeriod),
    StartInterval: ns(typed.healthStartInterval),
    Retries: typed.healthRetries === undefined ? undefined : natural("--health-retries", typed.healthRetries),
  };
  const given = Object.entries(asked).filter(([, value]) => value !== undefined);
  if (typed.healthcheck === false) {
    if (given.length > 0) throw conflicting("--no-healthcheck conflicts with --health-* options");
    return { Test: ["NONE"] };
  }
  return Object.fromEntries(given);
}

function pullPolicy(text: string): ReadFlags["pull"] {
  if (text === "always" || text === "missing" || text === "never") return text;
  throw invalidFlagValue("--pull", text, "there are always, missing and never");
}

function logRequest(driver: string, options: readonly string[]): LogRequest {
  if (driver === "none") return { driver };
  if (driver !== "json-file") throw invalidFlagValue("--log-driver", driver, "there are json-file and none");
  let maxSizeBytes: number | undefined;
  let maxFiles = 1;
  for (const [key, value] of options.map(keyValue)) {
    if (key === "max-size") maxSizeBytes = value === "-1" ? undefined : parseSize(value);
    else if (key === "max-file") maxFiles = natural("--log-opt max-file", value);
    else throw invalidFlagValue("--log-opt", key, "there are max-size and max-file");
  }
  return { driver, ...(maxSizeBytes !== undefined && { maxSizeBytes }), maxFiles };
}

function limitsOf(typed: CreateFlags): Limits {
  const size = (text: string | undefined): number | undefined => (text === undefined ? undefined : parseSize(text));
  const memory = size(typed.memory);
  const swap = typed.memorySwap === "-1" ? -1 : size(typed.memorySwap);
  if (swap !== undefined && swap >= 0 && memory !== undefined && swap < memory) {
    throw new TsbuildError({
      code: "INVALID_ARGUMENT",
      what: "Minimum memoryswap limit should be larger than memory limit, see usage",
    });
  }
  const nanoCpus = typed.cpus === undefined ? undefined : cpus(typed.cpus);
  if (nanoCpus !== undefined && (typed.cpuPeriod !== undefined || typed.cpuQuota !== undefined)) {
    throw conflicting("Nano CPUs and CPU Period or Quota cannot both be set");
  }
  const optional = <Name extends keyof Limits>(name: Name, value: Limits[Name] | undefined): Limits =>
    value === undefined ? {} : { [name]: value };
  const number = (flag: string, text: string | undefined): number | undefined =>
    text === undefined ? undefined : integer(flag, text);
  return {
    ...optional("memoryBytes", memory),
    ...optional("memoryReservationBytes", size(typed.memoryReservation)),
    ...optional("memorySwapBytes", swap),
    ...optional("nanoCpus", nanoCpus),
    ...optional("cpuShares", number("--cpu-shares", typed.cpuShares)),
    ...optional("cpuPeriodUs", number("--cpu-period", typed.cpuPeriod)),
    ...optional("cpuQuotaUs", number("--cpu-quota", typed.cpuQuota)),
    ...optional("cpusetCpus", typed.cpusetCpus),
    ...optional("cpusetMems", typed.cpusetMems),
    ...optional("pids", number("--pids-limit", typed.pidsLimit)),
  };
}

function cpus(text: string): number {
  const most = availableParallelism();
  const count = /^\d*\.?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (count >= 0.01 && count <= most) return Math.round(count * 1e9);
  if (Number.isNaN(count)) throw invalidFlagValue("--cpus", text, "not a number");
  throw new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `range of CPUs is from 0.01 to ${most}.00, as there are only ${most} CPUs available`,
  });
}

function ulimit(text: string): HostRequest["ulimits"][number] {
  const match = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(text);
  if (match === null) throw invalidFlagValue("--ulimit", text, "it must be name=soft[:hard]");
  const [, name = "", soft = "", hard = soft] = match;
  if (Number(hard) !== -1 && Number(soft) > Number(hard)) {
    throw invalidFlagValue("--ulimit", text, "the soft limit is above the hard one");
  }
  return { name, soft: Number(soft), hard: Number(hard) };
}

function exposedPort(text: string): string {
  const match = /^(\d+)(?:\/(tcp|udp|sctp))?$/.exec(text);
  const port = Number(match?.[1]);
  if (match === null || port < 1 || port > 65_535)
    throw invalidFlagValue("--expose", text, "it must be port[/protocol]");
  return `${port}/${match[2] ?? "tcp"}`;
}

function extraHost(text: string): string {
  const match = /^([^:=\s]+)[:=](.+)$/.exec(text);
  if (match === null) throw invalidFlagValue("--add-host", text, "it must be name:address");
  return `${match[1]}:${match[2]}`;
}

function ipAddress(text: string): string {
  if (!/^(\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$/.test(text)) {
    throw invalidFlagValue("--dns", text, "it must be an IP address");
  }
  return text;
}

export function integer(flag: string, text: string): number {
  if (!/^-?\d+$/.test(text)) throw invalidFlagValue(flag, text, "not a whole number");
  return Number(text);
}

function natural(flag: string, text: string): number {
  const number = integer(flag, text);
  if (number < 0) throw invalidFlagValue(flag, text, "it cannot be negative");
  return number;
}

/** `K=V`; a bare K takes the caller's value, and is nothing where the caller has none. */
export function variable(entry: string, environment: CommandContext["environment"]): readonly string[] {
  const equals = entry.indexOf("=");
  if (entry === "" || equals === 0) throw invalidFlagValue("--env", entry, "a variable needs a name");
  if (equals > 0) return [entry];
  const value = environment[entry];
  return value === undefined ? [] : [`${entry}=${value}`];
}

function keyValue(text: string): readonly [string, string] {
  const equals = text.indexOf("=");
  return equals < 0 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)];
}

/** `#` comments, no quotes, no expansion: every other line is an entry as it stands. */
export function linesOf(path: string, cwd: string): readonly string[] {
  let text: string;
  try {
    text = readFileSync(isAbsolute(path) ? path : resolve(cwd, path), "utf8");
  } catch (error) {
    throw new TsbuildError({
      code: "INVALID_ARGUMENT",
      what: `open ${path}: ${errnoOf(error) === "ENOENT" ? "no such file or directory" : (errnoOf(error) ?? "cannot be read")}`,
      cause: error,
    });
  }
  return text
    .replace(/^\ufeff/, "")
    .split(/\r?\n/)
    .map((line) => line.trimStart())
    .filter((line) => line !== "" && !line.startsWith("#"));
}
