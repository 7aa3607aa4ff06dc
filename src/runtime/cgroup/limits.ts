/** Resources of a runtime spec as files to write. Source: runtime-spec, config-linux.md; formulas as runc and crun. */
import type { ResourcesSpec } from "../../oci/runtime-spec.ts";

export interface LimitFile {
  readonly controller: string;
  readonly file: string;
  readonly text: string;
  /** As people know it: "the memory limit". */
  readonly what: string;
  /** Someone asked: it is an error when it cannot be set. */
  readonly asked: boolean;
  /** The file may be missing all the same. */
  readonly optional: boolean;
}

type Fields = Omit<LimitFile, "asked" | "optional"> & Partial<Pick<LimitFile, "asked" | "optional">>;

function limit(fields: Fields): LimitFile {
  return { asked: true, optional: false, ...fields };
}

function bytesOrMax(bytes: number): string {
  return bytes < 0 ? "max" : String(bytes);
}

/** In the order of writing: memory before memory and swap together, because the latter may not be lower. */
export function v1Limits(resources: ResourcesSpec): LimitFile[] {
  const { memory, cpu, pids } = resources;
  const files: LimitFile[] = [];
  const add = (
    controller: string,
    file: string,
    value: number | string | undefined,
    what: string,
    optional = false,
  ) => {
    if (value !== undefined) files.push(limit({ controller, file, text: String(value), what, optional }));
  };
  add("memory", "memory.limit_in_bytes", memory?.limit, "the memory limit");
  add("memory", "memory.memsw.limit_in_bytes", memory?.swap, "the swap limit", true);
  add("memory", "memory.soft_limit_in_bytes", memory?.reservation, "the memory reservation");
  add("cpu", "cpu.cfs_period_us", cpu?.period, "the cpu period");
  add("cpu", "cpu.cfs_quota_us", cpu?.quota, "the cpu quota");
  add("cpu", "cpu.shares", cpu?.shares, "the cpu shares");
  add("cpuset", "cpuset.cpus", cpu?.cpus, "the processors");
  add("cpuset", "cpuset.mems", cpu?.mems, "the memory nodes");
  add("pids", "pids.max", pids === undefined ? undefined : pids.limit <= 0 ? "max" : pids.limit, "the process limit");
  for (const rule of resources.devices ?? []) {
    files.push(
      limit({
        controller: "devices",
        file: rule.allow ? "devices.allow" : "devices.deny",
        text: deviceRule(rule),
        what: "the device rules",
        // Part of the default spec: where there is no such controller, capabilities and the filter are what is left.
        asked: false,
      }),
    );
  }
  return files;
}

function deviceRule(rule: NonNullable<ResourcesSpec["devices"]>[number]): string {
  const type = rule.type ?? "a";
  // "a" takes no more words: it stands for all of them.
  if (type === "a" && rule.major === undefined && rule.minor === undefined) return "a";
  return `${type} ${rule.major ?? "*"}:${rule.minor ?? "*"} ${rule.access ?? "rwm"}`;
}

export function v2Limits(resources: ResourcesSpec): LimitFile[] {
  const { memory, cpu, pids } = resources;
  const files: LimitFile[] = [];
  if (memory?.limit !== undefined) {
    files.push(
      limit({ controller: "memory", file: "memory.max", text: bytesOrMax(memory.limit), what: "the memory limit" }),
    );
  }
  if (memory?.swap !== undefined) {
    // The spec counts memory and swap together, v2 swap alone.
    const swap = memory.swap < 0 ? -1 : Math.max(0, memory.swap - (memory.limit ?? 0));
    files.push(
      limit({
        controller: "memory",
        file: "memory.swap.max",
        text: bytesOrMax(swap),
        what: "the swap limit",
        optional: true,
      }),
    );
  }
  if (memory?.reservation !== undefined) {
    files.push(
      limit({
        controller: "memory",
        file: "memory.low",
        text: bytesOrMax(memory.reservation),
        what: "the memory reservation",
      }),
    );
  }
  if (cpu?.quota !== undefined || cpu?.period !== undefined) {
    const quota = cpu.quota === undefined || cpu.quota <= 0 ? "max" : String(cpu.quota);
    const text = `${quota} ${cpu.period ?? 100_000}`;
    files.push(limit({ controller: "cpu", file: "cpu.max", text, what: "the cpu quota" }));
  }
  if (cpu?.shares !== undefined && cpu.shares !== 0) {
    files.push(
      limit({ controller: "cpu", file: "cpu.weight", text: String(cpuWeight(cpu.shares)), what: "the cpu shares" }),
    );
  }
  if (cpu?.cpus !== undefined) {
    files.push(limit({ controller: "cpuset", file: "cpuset.cpus", text: cpu.cpus, what: "the processors" }));
  }
  if (cpu?.mems !== undefined) {
    files.push(limit({ controller: "cpuset", file: "cpuset.mems", text: cpu.mems, what: "the memory nodes" }));
  }
  if (pids !== undefined) {
    const text = pids.limit <= 0 ? "max" : String(pids.limit);
    files.push(limit({ controller: "pids", file: "pids.max", text, what: "the process limit" }));
  }
  return files;
}

/** [2, 262144] onto [1, 10000], linear, as the OCI runtimes do it. */
export function cpuWeight(shares: number): number {
  const bounded = Math.min(Math.max(shares, 2), 262_144);
  return 1 + Math.floor(((bounded - 2) * 9999) / 262_142);
}
