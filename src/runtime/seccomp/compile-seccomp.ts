/**
 * A seccomp profile as a classic BPF program: `struct sock_filter` by 8 bytes, as seccomp(2) takes it. Numbers are
 * sorted, neighbours with one answer joined into ranges, and found by binary search: a dozen instructions a call.
 */
import { TsbuildError } from "../../errors.ts";
import type { SeccompSpec } from "../../oci/runtime-spec.ts";
import { type SyscallArch, syscallTable } from "../syscall-table.ts";

/** One instruction: code, jump if true, jump if false, operand. */
type Instruction = readonly [number, number, number, number];

// linux/bpf_common.h
const LOAD_WORD = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP = 0x05;
const JUMP_EQUAL = 0x15;
const JUMP_GREATER = 0x25;
const JUMP_GREATER_EQUAL = 0x35;
const AND = 0x54;
const RETURN = 0x06;

// linux/seccomp.h: offsets in struct seccomp_data, and actions
const NUMBER_OFFSET = 0;
const ARCH_OFFSET = 4;
const ARGS_OFFSET = 16;
const actions: Readonly<Record<string, number>> = {
  SCMP_ACT_KILL: 0x00000000,
  SCMP_ACT_KILL_THREAD: 0x00000000,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_TRAP: 0x00030000,
  SCMP_ACT_ERRNO: 0x00050000,
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: 0x7fff0000,
};
const EPERM = 1;
const ENOSYS = 38;
const KILL_PROCESS = 0x80000000;
const RET_ENOSYS = 0x00050000 | ENOSYS;
/** x32 calls come with the architecture of x86-64 and this bit. */
const X32_BIT = 0x40000000;
const MAX_INSTRUCTIONS = 4096;

/** linux/audit.h */
const auditArchs = { x64: 0xc000003e, ia32: 0x40000003, arm64: 0xc00000b7, arm: 0x40000028 } as const;

/** What each machine runs besides its own: only with a number table of its own is it filtered by rules. */
const machines = {
  x64: [
    { audit: auditArchs.x64, table: "x64", name: "SCMP_ARCH_X86_64" },
    { audit: auditArchs.ia32, table: "ia32", name: "SCMP_ARCH_X86" },
  ],
  arm64: [
    { audit: auditArchs.arm64, table: "arm64", name: "SCMP_ARCH_AARCH64" },
    { audit: auditArchs.arm, table: undefined, name: "SCMP_ARCH_ARM" },
  ],
} as const;

type Rule = SeccompSpec["syscalls"][number];
type Condition = NonNullable<Rule["args"]>[number];

/** What one number is answered with: alternatives in order, then the default. */
interface Leaf {
  readonly alternatives: readonly { readonly conditions: readonly Condition[]; readonly result: number }[];
  /** Leaves with equal keys are equal. */
  readonly key: string;
}

/** By profile: what was compiled, or is known beforehand. For this machine's architecture. */
const programs = new WeakMap<SeccompSpec, Buffer>();

export function rememberProgram(spec: SeccompSpec, program: Buffer): void {
  programs.set(spec, program);
}

/**
 * `compileSeccomp` for this machine, once a profile.
 * @throws as `compileSeccomp` does.
 */
export function seccompProgram(spec: SeccompSpec): Buffer {
  const known = programs.get(spec);
  if (known !== undefined) return known;
  const program = compileSeccomp(spec, process.arch === "arm64" ? "arm64" : "x64");
  programs.set(spec, program);
  return program;
}

/**
 * @throws {TsbuildError} `INVALID_ARGUMENT` for an unknown action or operator, `UNSUPPORTED` for SCMP_ACT_NOTIFY or a
 * program that is too long.
 */
export function compileSeccomp(spec: SeccompSpec, arch: "x64" | "arm64"): Buffer {
  return encode(compile(spec, arch));
}

function encode(instructions: readonly Instruction[]): Buffer {
  if (instructions.length > MAX_INSTRUCTIONS) {
    throw new TsbuildError({
      code: "UNSUPPORTED",
      what: `the seccomp profile makes ${instructions.length} instructions; the kernel takes ${MAX_INSTRUCTIONS}`,
    });
  }
  const bytes = Buffer.alloc(instructions.length * 8);
  for (const [index, [code, ifTrue, ifFalse, operand]] of instructions.entries()) {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(ifTrue, index * 8 + 2);
    bytes.writeUInt8(ifFalse, index * 8 + 3);
    bytes.writeUInt32LE(operand >>> 0, index * 8 + 4);
  }
  return bytes;
}

function compile(spec: SeccompSpec, machine: keyof typeof machines): Instruction[] {
  const sections = machines[machine].map((arch, index) => {
    const wanted = index === 0 || spec.architectures.includes(arch.name);
    if (!wanted || arch.table === undefined) return { audit: arch.audit, body: [ret(RET_ENOSYS)] };
    return { audit: arch.audit, body: search(spec, arch.table) };
  });
  const program: Instruction[] = [[LOAD_WORD, 0, 0, ARCH_OFFSET]];
  for (const { audit, body } of sections) {
    const guarded = audit === auditArchs.x64 ? [...x32Guard(), ...body] : body;
    // Not this architecture: over the section. A jump of more than 255 needs the unconditional one.
    program.push([JUMP_EQUAL, 1, 0, audit], [JUMP, 0, 0, guarded.length], ...guarded);
  }
  program.push(ret(KILL_PROCESS));
  return program;
}

function x32Guard(): Instruction[] {
  return [[LOAD_WORD, 0, 0, NUMBER_OFFSET], [JUMP_GREATER_EQUAL, 0, 1, X32_BIT], ret(RET_ENOSYS)];
}

function ret(result: number): Instruction {
  return [RETURN, 0, 0, result];
}

function search(spec: SeccompSpec, arch: SyscallArch): Instruction[] {
  const fallback = resultOf(spec.defaultAction, spec.defaultErrnoRet);
  const leaves = leavesOf(spec, syscallTable(arch));
  const highest = Math.max(...syscallTable(arch).values());
  const ranges: { readonly start: number; readonly leaf: Leaf | number }[] = [];
  const add = (start: number, leaf: Leaf | number): void => {
    const last = ranges.at(-1)?.leaf;
    const key = (value: Leaf | number | undefined): string | undefined =>
      typeof value === "object" ? value.key : value?.toString();
    if (ranges.length === 0 || key(last) !== key(leaf)) ranges.push({ start, leaf });
  };
  for (let number = 0; number <= highest; number += 1) add(number, simplify(leaves.get(number), fallback));
  // What the table does not know came later than it: the C library must think the kernel is older, and fall back.
  add(highest + 1, RET_ENOSYS);

  const emit = (low: number, high: number): Instruction[] => {
    const first = ranges[low];
    if (first === undefined) throw new Error("an empty range of system calls");
    if (low === high) return leafCode(first.leaf, fallback);
    const middle = Math.ceil((low + high) / 2);
    const left = emit(low, middle - 1);
    const right = emit(middle, high);
    const start = ranges[middle]?.start ?? 0;
    if (left.length <= 255) return [[JUMP_GREATER_EQUAL, left.length, 0, start], ...left, ...right];
    return [[JUMP_GREATER_EQUAL, 0, 1, start], [JUMP, 0, 0, left.length], ...left, ...right];
  };
  return [[LOAD_WORD, 0, 0, NUMBER_OFFSET], ...emit(0, ranges.length - 1)];
}

/** A first alternative without conditions is the answer. */
function simplify(leaf: Leaf | undefined, fallback: number): Leaf | number {
  const first = leaf?.alternatives[0];
  if (leaf === undefined || first === undefined) return fallback;
  return first.conditions.length === 0 ? first.result : leaf;
}

function leavesOf(spec: SeccompSpec, table: ReadonlyMap<string, number>): Map<number, Leaf> {
  const byNumber = new Map<number, { conditions: readonly Condition[]; result: number }[]>();
  for (const rule of spec.syscalls) {
    const result = resultOf(rule.action, rule.errnoRet);
    for (const name of rule.names) {
      const number = table.get(name);
      if (number === undefined) continue;
      const list = byNumber.get(number) ?? [];
      for (const conditions of alternativesOf(rule)) list.push({ conditions, result });
      byNumber.set(number, list);
    }
  }
  return new Map(
    [...byNumber].map(([number, alternatives]) => [number, { alternatives, key: JSON.stringify(alternatives) }]),
  );
}

/** Two conditions on one argument cannot both be asked of libseccomp: each is a rule of its own, as runc does it. */
function alternativesOf(rule: Rule): readonly (readonly Condition[])[] {
  const conditions = rule.args ?? [];
  const indexes = new Set(conditions.map((condition) => condition.index));
  return indexes.size === conditions.length ? [conditions] : conditions.map((condition) => [condition]);
}

function resultOf(action: string, errnoRet: number | undefined): number {
  if (action === "SCMP_ACT_NOTIFY") {
    throw new TsbuildError({
      code: "UNSUPPORTED",
      what: "the native driver has no seccomp agent for SCMP_ACT_NOTIFY",
      hint: "use an installed runtime: --runtime runc",
    });
  }
  const value = actions[action];
  if (value === undefined) {
    throw new TsbuildError({ code: "INVALID_ARGUMENT", what: `there is no seccomp action ${action}` });
  }
  const takesErrno = action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE";
  return takesErrno ? value | ((errnoRet ?? EPERM) & 0xffff) : value;
}

function leafCode(leaf: Leaf | number, fallback: number): Instruction[] {
  if (typeof leaf === "number") return [ret(leaf)];
  const code: Instruction[] = [];
  for (const { conditions, result } of leaf.alternatives) {
    const body = conditions.map(conditionCode);
    const length = body.reduce((sum, part) => sum + part.length, 0) + 1;
    let position = 0;
    for (const part of body) {
      position += part.length;
      // FAIL leaves the whole alternative, HOLDS only this condition.
      const start = position - part.length;
      for (const [index, instruction] of part.entries()) {
        const here = start + index + 1;
        code.push([
          instruction[0],
          target(instruction[1], here, position, length),
          target(instruction[2], here, position, length),
          instruction[3],
        ]);
      }
    }
    code.push(ret(result));
  }
  code.push(ret(fallback));
  return code;
}

const FAIL = -1;
const HOLDS = -2;

function target(jump: number, here: number, conditionEnd: number, alternativeEnd: number): number {
  if (jump === FAIL) return alternativeEnd - here;
  return jump === HOLDS ? conditionEnd - here : jump;
}

/** Arguments have 64 bits, BPF 32: the high word first, the low word where it decides. */
function conditionCode(condition: Condition): Instruction[] {
  const value = BigInt.asUintN(64, BigInt(condition.value));
  const [high, low] = [Number(value >> 32n), Number(value & 0xffffffffn)];
  const offset = ARGS_OFFSET + condition.index * 8;
  const loadHigh: Instruction = [LOAD_WORD, 0, 0, offset + 4];
  const loadLow: Instruction = [LOAD_WORD, 0, 0, offset];
  switch (condition.op) {
    case "SCMP_CMP_EQ":
      return [loadHigh, [JUMP_EQUAL, 0, FAIL, high], loadLow, [JUMP_EQUAL, 0, FAIL, low]];
    case "SCMP_CMP_NE":
      return [loadHigh, [JUMP_EQUAL, 0, HOLDS, high], loadLow, [JUMP_EQUAL, FAIL, 0, low]];
    case "SCMP_CMP_GT":
    case "SCMP_CMP_GE": {
      const last = condition.op === "SCMP_CMP_GT" ? JUMP_GREATER : JUMP_GREATER_EQUAL;
      const compareHigh: Instruction[] = [
        [JUMP_GREATER, HOLDS, 0, high],
        [JUMP_EQUAL, 0, FAIL, high],
      ];
      return [loadHigh, ...compareHigh, loadLow, [last, 0, FAIL, low]];
    }
    case "SCMP_CMP_LT":
    case "SCMP_CMP_LE": {
      const last = condition.op === "SCMP_CMP_LT" ? JUMP_GREATER_EQUAL : JUMP_GREATER;
      const compareHigh: Instruction[] = [
        [JUMP_GREATER, FAIL, 0, high],
        [JUMP_EQUAL, 0, HOLDS, high],
      ];
      return [loadHigh, ...compareHigh, loadLow, [last, FAIL, 0, low]];
    }
    case "SCMP_CMP_MASKED_EQ": {
      const wanted = BigInt.asUintN(64, BigInt(condition.valueTwo ?? 0)) & value;
      return [
        loadHigh,
        [AND, 0, 0, high],
        [JUMP_EQUAL, 0, FAIL, Number(wanted >> 32n)],
        loadLow,
        [AND, 0, 0, low],
        [JUMP_EQUAL, 0, FAIL, Number(wanted & 0xffffffffn)],
      ];
    }
    default:
      throw new TsbuildError({ code: "INVALID_ARGUMENT", what: `there is no seccomp operator ${condition.op}` });
  }
}
