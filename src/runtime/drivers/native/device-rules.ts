/** Puts the device filter onto a v2 control group, before anyone is in it. */

import type { ResourcesSpec } from "../../../oci/runtime-spec.ts";
import { deviceFilter } from "../../cgroup/device-filter.ts";
import { at, builtin, type Op, struct, syscall, text } from "../../launcher-program.ts";
import * as linux from "../../linux-constants.ts";
import type { SyscallArch } from "../../syscall-table.ts";
import { registers } from "./registers.ts";

// linux/bpf.h
const BPF_PROG_LOAD = 5;
const BPF_PROG_ATTACH = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE = 15;
const BPF_CGROUP_DEVICE = 6;
const BPF_F_ALLOW_MULTI = 2;

export function deviceRuleOps(
  folder: string | undefined,
  rules: NonNullable<ResourcesSpec["devices"]>,
  arch: SyscallArch,
): Op[] {
  if (folder === undefined || rules.every((rule) => rule.allow)) return [];
  const doing = `setting the device rules of ${folder}`;
  const filter = deviceFilter(rules);
  const load = Buffer.alloc(48);
  load.writeUInt32LE(BPF_PROG_TYPE_CGROUP_DEVICE, 0);
  load.writeUInt32LE(filter.length / 8, 4);
  const loadAttr = struct(load, `{cgroup device, ${filter.length / 8} instructions}`, [
    { at: 8, to: struct(filter, "filter") },
    { at: 16, to: text("Apache-2.0") },
  ]);
  const attach = Buffer.alloc(16);
  attach.writeUInt32LE(BPF_CGROUP_DEVICE, 8);
  attach.writeUInt32LE(BPF_F_ALLOW_MULTI, 12);
  const attachAttr = struct(attach, "{cgroup, filter}");
  return [
    syscall("openat", [linux.AT_FDCWD, text(folder), linux.O_CLOEXEC | linux.directoryFlag(arch)], {
      into: registers.target,
      doing,
    }),
    syscall("bpf", [BPF_PROG_LOAD, loadAttr, load.length], { into: registers.scratch, doing }),
    builtin("store32", [attachAttr, registers.target]),
    builtin("store32", [at(attachAttr, 4), registers.scratch]),
    syscall("bpf", [BPF_PROG_ATTACH, attachAttr, attach.length], { doing }),
    syscall("close", [registers.scratch], { doing }),
    syscall("close", [registers.target], { doing }),
  ];
}
