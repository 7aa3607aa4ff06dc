/** Limits of memory, processors and processes as flags give them, and as the runtime spec has them. */
import type { ResourcesSpec } from "../oci/runtime-spec.ts";

/** Absent means unlimited. Bytes; CPUs in billionths, as docker counts them. */
export interface Limits {
  readonly memoryBytes?: number;
  readonly memoryReservationBytes?: number;
  /** Memory and swap together; −1 = unlimited. */
  readonly memorySwapBytes?: number;
  readonly nanoCpus?: number;
  readonly cpuShares?: number;
  readonly cpuPeriodUs?: number;
  readonly cpuQuotaUs?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly pids?: number;
}

const defaultCpuPeriodUs = 100_000;

export function resourcesOf(limits: Limits): ResourcesSpec {
  const { memoryBytes, memoryReservationBytes, memorySwapBytes, nanoCpus, pids } = limits;
  // docker's default: as much swap again as memory.
  const swap = memorySwapBytes ?? (memoryBytes === undefined ? undefined : memoryBytes * 2);
  const period = limits.cpuPeriodUs ?? (nanoCpus === undefined ? undefined : defaultCpuPeriodUs);
  const quota =
    limits.cpuQuotaUs ?? (nanoCpus === undefined ? undefined : Math.round((nanoCpus / 1e9) * defaultCpuPeriodUs));
  const memory = {
    ...(memoryBytes !== undefined && { limit: memoryBytes }),
    ...(memoryReservationBytes !== undefined && { reservation: memoryReservationBytes }),
    ...(swap !== undefined && { swap }),
  };
  const cpu = {
    ...(limits.cpuShares !== undefined && { shares: limits.cpuShares }),
    ...(quota !== undefined && { quota }),
    ...(period !== undefined && { period }),
    ...(limits.cpusetCpus !== undefined && { cpus: limits.cpusetCpus }),
    ...(limits.cpusetMems !== undefined && { mems: limits.cpusetMems }),
  };
  return {
    ...(Object.keys(memory).length > 0 && { memory }),
    ...(Object.keys(cpu).length > 0 && { cpu }),
    ...(pids !== undefined && pids > 0 && { pids: { limit: pids } }),
  };
}
