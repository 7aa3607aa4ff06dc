/**
 * Device rules for cgroup v2, which has no device controller: an eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE,
 * asked for each mknod and open of a device. Source: runtime-spec, config-linux.md, "Allowed Device list";
 * linux/bpf.h, struct bpf_cgroup_dev_ctx.
 */
import type { ResourcesSpec } from "../../oci/runtime-spec.ts";

type DeviceRule = NonNullable<ResourcesSpec["devices"]>[number];

const accessBits: Readonly<Record<string, number>> = { m: 1, r: 2, w: 4 };
const ALL_ACCESS = 7;
const typeNumbers = { b: 1, c: 2 } as const;

/** eBPF: operation, destination and source register, offset, immediate. */
type Instruction = readonly [number, number, number, number, number];

const LOAD_WORD = 0x61;
const AND = 0x57;
const SHIFT_RIGHT = 0x77;
const MOVE = 0xbf;
const MOVE_NUMBER = 0xb7;
const JUMP_UNEQUAL = 0x55;
const JUMP_EQUAL = 0x15;
const EXIT = 0x95;

const RESULT = 0;
const CONTEXT = 1;
const TYPE = 2;
const ACCESS = 3;
const MAJOR = 4;
const MINOR = 5;

function maskOf(rule: DeviceRule): number {
  return [...(rule.access ?? "rwm")].reduce((mask, letter) => mask | (accessBits[letter] ?? 0), 0);
}

/** The last rule that fits decides, as if they had been applied one after the other; none: refused. */
export function deviceFilter(rules: readonly DeviceRule[]): Buffer {
  // The verifier refuses what can never be reached: nothing behind a rule that always fits.
  const latestFirst = [...rules].reverse();
  const always = latestFirst.findIndex(fitsAll);
  const reached = always < 0 ? latestFirst : latestFirst.slice(0, always + 1);
  const refuse: Instruction[] = [
    [MOVE_NUMBER, RESULT, 0, 0, 0],
    [EXIT, 0, 0, 0, 0],
  ];
  return encode([
    // access_type is access << 16 | type.
    [LOAD_WORD, TYPE, CONTEXT, 0, 0],
    [MOVE, ACCESS, TYPE, 0, 0],
    [AND, TYPE, 0, 0, 0xffff],
    [SHIFT_RIGHT, ACCESS, 0, 0, 16],
    [LOAD_WORD, MAJOR, CONTEXT, 4, 0],
    [LOAD_WORD, MINOR, CONTEXT, 8, 0],
    ...reached.flatMap(ruleCode),
    ...(always < 0 ? refuse : []),
  ]);
}

function fitsAll(rule: DeviceRule): boolean {
  const anyType = rule.type === undefined || rule.type === "a";
  return anyType && maskOf(rule) === ALL_ACCESS && rule.major === undefined && rule.minor === undefined;
}

function encode(code: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(code.length * 8);
  for (const [index, [operation, destination, source, offset, immediate]] of code.entries()) {
    bytes.writeUInt8(operation, index * 8);
    bytes.writeUInt8(destination | (source << 4), index * 8 + 1);
    bytes.writeInt16LE(offset, index * 8 + 2);
    bytes.writeInt32LE(immediate, index * 8 + 4);
  }
  return bytes;
}

function ruleCode(rule: DeviceRule): Instruction[] {
  const mask = maskOf(rule);
  const tests: Instruction[][] = [];
  if (rule.type === "b" || rule.type === "c") tests.push([[JUMP_UNEQUAL, TYPE, 0, 0, typeNumbers[rule.type]]]);
  if (mask !== ALL_ACCESS) {
    // Allowed when nothing else is wanted; refused when any of it is.
    const [compared, jump] = rule.allow ? [ALL_ACCESS & ~mask, JUMP_UNEQUAL] : [mask, JUMP_EQUAL];
    tests.push([
      [MOVE, CONTEXT, ACCESS, 0, 0],
      [AND, CONTEXT, 0, 0, compared],
      [jump, CONTEXT, 0, 0, 0],
    ]);
  }
  if (rule.major !== undefined) tests.push([[JUMP_UNEQUAL, MAJOR, 0, 0, rule.major]]);
  if (rule.minor !== undefined) tests.push([[JUMP_UNEQUAL, MINOR, 0, 0, rule.minor]]);
  const body: Instruction[] = [...tests.flat(), [MOVE_NUMBER, RESULT, 0, 0, rule.allow ? 1 : 0], [EXIT, 0, 0, 0, 0]];
  // A test that fails goes to the next rule.
  return body.map(([operation, destination, source, offset, immediate], index): Instruction => {
    const jumps = operation === JUMP_UNEQUAL || operation === JUMP_EQUAL;
    return [operation, destination, source, jumps ? body.length - index - 1 : offset, immediate];
  });
}
