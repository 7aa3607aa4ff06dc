/** Flags that limit what a container may use, in `run`, `create` and `build`. */
import { availableParallelism } from "node:os";
import { TsbuildError } from "../errors.ts";
import type { Limits } from "../runtime/limits.ts";
import { conflicting, integer } from "./containers/flag-values.ts";
import { parseSize } from "./render/size.ts";
import { invalidFlagValue } from "./usage-errors.ts";

export interface LimitFlags {
  readonly memory?: string;
  readonly memoryReservation?: string;
  readonly memorySwap?: string;
  readonly cpus?: string;
  readonly cpuShares?: string;
  readonly cpuPeriod?: string;
  readonly cpuQuota?: string;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly pidsLimit?: string;
}

/** docker's: with less, not even a program's start fits. Source: moby, daemon/daemon_unix.go, `linuxMinMemory`. */
const leastMemoryBytes = 6 << 20;

export function limitsOf(typed: LimitFlags): Limits {
  const size = (text: string | undefined): number | undefined => (text === undefined ? undefined : parseSize(text));
  const memory = size(typed.memory);
  if (memory !== undefined && memory > 0 && memory < leastMemoryBytes) {
    throw new TsbuildError({ code: "INVALID_ARGUMENT", what: "Minimum memory limit allowed is 6MB" });
  }
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

/** Source: docker/go-units, "ulimit.go". */
const ulimitNames: ReadonlySet<string> = new Set(
  "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(" "),
);

export interface Ulimit {
  readonly name: string;
  /** −1: unlimited. */
  readonly soft: number;
  readonly hard: number;
}

/** `NAME=SOFT[:HARD]`. @throws {TsbuildError} `USAGE` */
export function parseUlimit(text: string): Ulimit {
  const match = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(text);
  if (match === null) throw invalidFlagValue("--ulimit", text, "it must be name=soft[:hard]");
  const [, name = "", soft = "", hard = soft] = match;
  if (!ulimitNames.has(name)) throw invalidFlagValue("--ulimit", text, `there are ${[...ulimitNames].join(", ")}`);
  const limit = { name, soft: Number(soft), hard: Number(hard) };
  if (limit.hard !== -1 && (limit.soft === -1 || limit.soft > limit.hard))
    throw invalidFlagValue("--ulimit", text, "the soft limit is above the hard one");
  return limit;
}
