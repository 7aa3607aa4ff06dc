/** The flags of `build` that say in what surroundings RUN steps run. */
import { isIP } from "node:net";
import { type Command, Option } from "commander";
import { TsbuildError } from "../errors.ts";
import { nearestWord } from "../nearest-word.ts";
import type { BuildOptions } from "../planner/build-options.ts";
import type { CommandContext } from "./command.ts";
import { csvFields } from "./csv-fields.ts";
import { type LimitFlags, limitsOf, parseUlimit } from "./limit-flags.ts";
import { parseSize } from "./render/size.ts";
import { parseSecrets } from "./secret-flag.ts";
import { invalidFlagValue } from "./usage-errors.ts";

export type StepOptions = Pick<
  BuildOptions,
  "network" | "extraHosts" | "shmSizeBytes" | "ulimits" | "limits" | "cgroupParent" | "allow" | "secrets" | "ssh"
>;

/** What commander makes of the flags below. */
interface StepFlags extends LimitFlags {
  readonly secret?: readonly string[];
  readonly ssh?: readonly string[];
  readonly network?: string;
  readonly addHost?: readonly string[];
  readonly shmSize?: string;
  readonly ulimit?: readonly string[];
  readonly resource?: readonly string[];
  readonly cgroupParent?: string;
  readonly allow?: readonly string[];
}

export function defineStepFlags(command: Command): void {
  const collect = (value: string, before: readonly string[] | undefined): readonly string[] => [
    ...(before ?? []),
    value,
  ];
  const list = (flags: string, description: string): Option => new Option(flags, description).argParser(collect);
  command
    .addOption(list("--secret <spec>", "id=NAME[,src=FILE|,env=VARIABLE]"))
    .addOption(
      list("--ssh <spec>", "default|ID[=SOCKET|KEY[,KEY]]: an ssh agent, or key files, for RUN --mount=type=ssh"),
    )
    .option("--network <mode>", "network of RUN steps: default, none, host")
    .addOption(list("--add-host <name:address>", "a line for /etc/hosts of RUN steps"))
    .option("--shm-size <size>", "size of /dev/shm of RUN steps")
    .addOption(list("--ulimit <name=soft[:hard]>", "resource limit of RUN steps"))
    .option("-m, --memory <size>", "memory limit of RUN steps")
    .option("--memory-swap <size>", "limit of memory and swap together; -1: no limit of swap")
    .option("-c, --cpu-shares <number>", "weight of RUN steps against others")
    .option("--cpu-period <microseconds>", "length of a scheduler period")
    .option("--cpu-quota <microseconds>", "time in each period")
    .option("--cpuset-cpus <list>", "processors for RUN steps, such as 0-2,4")
    .option("--cpuset-mems <list>", "memory nodes for RUN steps")
    .addOption(list("--resource <name=value>", "a limit by its name: memory=1g, cpu-quota=50000 …"))
    .option("--cgroup-parent <path>", "cgroup that RUN steps are placed below")
    .addOption(list("--allow <entitlement>", "network.host, security.insecure, device[=NAME]"));
}

/** @throws {TsbuildError} `USAGE`, `INVALID_ARGUMENT` */
export async function readStepFlags(command: Command, context: CommandContext): Promise<StepOptions> {
  // Safe: these are the very names that defineStepFlags declares.
  const flags = command.opts() as StepFlags;
  const ssh = flags.ssh ?? [];
  return {
    network: parseNetwork(flags.network),
    extraHosts: (flags.addHost ?? []).map(parseExtraHost),
    shmSizeBytes: flags.shmSize === undefined ? undefined : parseSize(flags.shmSize),
    ulimits: (flags.ulimit ?? []).map(parseUlimit),
    limits: limitsOf({ ...flags, ...resourceFlags(flags.resource ?? []) }),
    cgroupParent: flags.cgroupParent || undefined,
    allow: (flags.allow ?? []).flatMap((text) => text.split(",")).map(parseEntitlement),
    secrets: parseSecrets(flags.secret ?? [], context),
    ssh: ssh.length === 0 ? new Map() : await (await import("./ssh-flag.ts")).parseSsh(ssh, context),
  };
}

/** Each is one of the flags, written as a value. */
const resources: Readonly<Record<string, keyof LimitFlags>> = {
  memory: "memory",
  "memory-swap": "memorySwap",
  "cpu-shares": "cpuShares",
  "cpu-period": "cpuPeriod",
  "cpu-quota": "cpuQuota",
  "cpuset-cpus": "cpusetCpus",
  "cpuset-mems": "cpusetMems",
};

function resourceFlags(values: readonly string[]): LimitFlags {
  const fields = values.flatMap(csvFields).map((field): readonly [string, string] => {
    const [name = "", value] = field.split(/=(.*)/s);
    const flag = Object.hasOwn(resources, name) ? resources[name] : undefined;
    if (flag === undefined || value === undefined)
      throw invalidFlagValue("--resource", field, `there are ${Object.keys(resources).join(", ")}`);
    return [flag, value];
  });
  return Object.fromEntries(fields);
}

function parseNetwork(text: string | undefined): BuildOptions["network"] {
  switch (text) {
    case undefined:
    case "":
    case "default":
      return "default";
    case "none":
    case "host":
      return text;
    default:
      throw invalidFlagValue("--network", text, "it must be default, none or host");
  }
}

/** `NAME:ADDRESS` or `NAME=ADDRESS`; an IPv6 address may stand in brackets. */
function parseExtraHost(text: string): BuildOptions["extraHosts"][number] {
  const match = /^([^:=\s]+)[:=](.+)$/s.exec(text);
  const address = match?.[2]?.replace(/^\[(.*)\]$/s, "$1") ?? "";
  if (match?.[1] === undefined) throw invalidFlagValue("--add-host", text, "it must be name:address");
  if (address !== "host-gateway" && isIP(address) === 0)
    throw invalidFlagValue("--add-host", text, `${address} is no IP address, nor host-gateway`);
  return { name: match[1].toLowerCase(), address };
}

const entitlements = ["network.host", "security.insecure", "device", "buildx.local.delete"] as const;

function parseEntitlement(text: string): string {
  if (text.startsWith("device=") || (entitlements as readonly string[]).includes(text)) return text;
  const near = nearestWord(text, entitlements);
  throw new TsbuildError({
    code: "USAGE",
    what: `unknown entitlement ${text}`,
    where: { kind: "flag", flag: "--allow" },
    hint: near === undefined ? `there are ${entitlements.join(", ")}` : `did you mean ${near}?`,
  });
}
