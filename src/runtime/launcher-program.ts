/**
 * A launcher program as a value: operations, registers, labels and data. `encodeProgram` makes the blob that
 * native/launcher.c runs, `printProgram` the text that `--debug` shows. Nothing here knows what a container is.
 */
import { errno } from "../kernel/libc.ts";
import { type SyscallArch, syscallTable } from "./syscall-table.ts";

/** One of 32 cells of 64 bits; results land here, so no descriptor number need be known beforehand. */
export interface Register {
  readonly kind: "register";
  readonly index: number;
}

/** Bytes in the program's data. `pointers` are cells that hold the address of other data (argv, iovec, clone_args). */
export interface Data {
  readonly kind: "data";
  readonly bytes: Buffer;
  readonly pointers: readonly { readonly at: number; readonly to: Data }[];
  /** How the printer shows it. */
  readonly shown: string;
  /** Equal texts are stored once. Absent for everything that is written to. */
  readonly key?: string;
}

/** A place inside data: for the second cell of a pair. */
export interface DataAt {
  readonly kind: "dataAt";
  readonly data: Data;
  readonly offset: number;
}

export type Argument = number | bigint | Register | Data | DataAt;
export type Errno = keyof typeof errno;

export interface Jump {
  /** `first`: the error is the first tolerated one. */
  readonly when: "positive" | "negative" | "first" | "always";
  readonly to: string;
}

interface OpFields {
  readonly into?: Register;
  /** These errors are results like others. */
  readonly tolerate?: readonly Errno[] | "all";
  readonly jump?: Jump;
  /** What the launcher exits with when this fails; 125 unless told. */
  readonly exitCode?: number;
  /** The sentence of a failure: "mounting proc at /proc". */
  readonly doing: string;
}

export interface SyscallOp extends OpFields {
  readonly kind: "syscall";
  readonly name: string;
  readonly args: readonly Argument[];
}

export interface BuiltinOp extends OpFields {
  readonly kind: keyof typeof builtinKinds;
  readonly args: readonly Argument[];
}

export interface Label {
  readonly kind: "label";
  readonly name: string;
}

export type Op = SyscallOp | BuiltinOp | Label;

/** native/ops.h, `enum op_kind`; 1 is SYSCALL. */
export const builtinKinds = {
  load32: 2,
  store32: 3,
  itoa: 4,
  report: 5,
  supervise: 6,
  init: 7,
  cwdcheck: 8,
  exit: 9,
} as const;

/** native/ops.h, `enum op_flag`. */
export const opFlags = { jumpPositive: 1, jumpNegative: 2, tolerateAll: 4, jumpFirst: 8, jumpAlways: 16 } as const;

/** native/ops.h, `enum record_type`. */
export const recordTypes = {
  pid: 1,
  ready: 2,
  started: 3,
  failed: 4,
  usage: 5,
  exited: 6,
  created: 7,
  go: 16,
  signal: 17,
  detach: 18,
} as const;

const MAGIC = 0x4c425354;
const VERSION = 1;
const HEADER_BYTES = 48;
const OP_BYTES = 72;
const NO_REGISTER = 255;
export const REGISTER_COUNT = 32;

export function register(index: number): Register {
  return { kind: "register", index };
}

/** NUL-terminated. Text is UTF-8; bytes are taken as they are. */
export function text(value: string | Buffer): Data {
  const bytes = typeof value === "string" ? Buffer.from(value, "utf8") : value;
  const shown = JSON.stringify(bytes.toString("utf8"));
  return {
    kind: "data",
    bytes: Buffer.concat([bytes, Buffer.of(0)]),
    pointers: [],
    shown,
    key: bytes.toString("latin1"),
  };
}

export function struct(bytes: Buffer, shown: string, pointers: Data["pointers"] = []): Data {
  return { kind: "data", bytes, pointers, shown };
}

/** Zeroed space that the kernel or an operation writes to. */
export function space(size: number, shown: string): Data {
  return struct(Buffer.alloc(size), shown);
}

export function at(data: Data, offset: number): DataAt {
  return { kind: "dataAt", data, offset };
}

/** A NULL-terminated table of strings, as execve takes it. */
export function stringTable(values: readonly string[], shown: string): Data {
  const pointers = values.map((value, index) => ({ at: index * 8, to: text(value) }));
  return struct(Buffer.alloc((values.length + 1) * 8), shown, pointers);
}

export function syscall(
  name: string,
  args: readonly Argument[],
  fields: Omit<SyscallOp, "kind" | "name" | "args">,
): SyscallOp {
  return { kind: "syscall", name, args, ...fields };
}

export function builtin(
  kind: BuiltinOp["kind"],
  args: readonly Argument[],
  fields: Partial<Omit<BuiltinOp, "kind" | "args">> = {},
): BuiltinOp {
  return { kind, args, doing: kind, ...fields };
}

export function label(name: string): Label {
  return { kind: "label", name };
}

export interface EncodedProgram {
  readonly blob: Buffer;
  /** The operations that count, by the index a FAILED record names. */
  readonly ops: readonly (SyscallOp | BuiltinOp)[];
}

/** Where each piece of data lies. */
class DataSection {
  readonly #offsets = new Map<Data, number>();
  readonly #byKey = new Map<string, number>();
  readonly #pieces: { readonly offset: number; readonly data: Data }[] = [];
  #length = 0;

  offsetOf(data: Data): number {
    const known = data.key === undefined ? this.#offsets.get(data) : this.#byKey.get(data.key);
    if (known !== undefined) return known;
    const offset = this.#length;
    this.#length = (offset + data.bytes.length + 7) & ~7;
    if (data.key === undefined) this.#offsets.set(data, offset);
    else this.#byKey.set(data.key, offset);
    this.#pieces.push({ offset, data });
    for (const pointer of data.pointers) this.offsetOf(pointer.to);
    return offset;
  }

  /** Writes all pieces at `start` of `blob` and returns the offsets of the cells to relocate. */
  write(blob: Buffer, start: number): number[] {
    const relocations: number[] = [];
    for (const { offset, data } of this.#pieces) {
      data.bytes.copy(blob, start + offset);
      for (const pointer of data.pointers) {
        writeWord(blob, start + offset + pointer.at, this.offsetOf(pointer.to));
        relocations.push(offset + pointer.at);
      }
    }
    return relocations;
  }

  get length(): number {
    return this.#length;
  }

  get pointerCount(): number {
    return this.#pieces.reduce((sum, piece) => sum + piece.data.pointers.length, 0);
  }
}

/** Two's complement in 64 bits, without BigInt for what a double holds exactly. */
function writeWord(blob: Buffer, offset: number, value: number | bigint): void {
  if (typeof value === "bigint") {
    blob.writeBigUInt64LE(BigInt.asUintN(64, value), offset);
    return;
  }
  blob.writeUInt32LE(value >>> 0, offset);
  blob.writeUInt32LE(Math.floor(value / 0x100000000) >>> 0, offset + 4);
}

/**
 * Source: native/ops.h.
 * @throws a plain Error for an unknown system call, label or register: such a program is a defect of ours.
 */
export function encodeProgram(program: readonly Op[], arch: SyscallArch): EncodedProgram {
  const numbers = syscallTable(arch);
  const ops: (SyscallOp | BuiltinOp)[] = [];
  const labels = new Map<string, number>();
  for (const op of program) {
    if (op.kind === "label") labels.set(op.name, ops.length);
    else ops.push(op);
  }

  const data = new DataSection();
  const opsBlob = Buffer.alloc(ops.length * OP_BYTES);
  for (const [index, op] of ops.entries()) writeOp(opsBlob, index * OP_BYTES, op, { numbers, labels, data });

  const relocationsOffset = HEADER_BYTES + opsBlob.length;
  const dataOffset = relocationsOffset + data.pointerCount * 8;
  const blob = Buffer.alloc(dataOffset + data.length);
  opsBlob.copy(blob, HEADER_BYTES);
  for (const [index, cell] of data.write(blob, dataOffset).entries())
    writeWord(blob, relocationsOffset + index * 8, cell);
  blob.writeUInt32LE(MAGIC, 0);
  blob.writeUInt32LE(VERSION, 4);
  writeWord(blob, 8, blob.length);
  blob.writeUInt32LE(ops.length, 16);
  blob.writeUInt32LE(data.pointerCount, 20);
  writeWord(blob, 24, HEADER_BYTES);
  writeWord(blob, 32, relocationsOffset);
  writeWord(blob, 40, dataOffset);
  return { blob, ops };
}

interface EncodeContext {
  readonly numbers: ReadonlyMap<string, number>;
  readonly labels: ReadonlyMap<string, number>;
  readonly data: DataSection;
}

function writeOp(blob: Buffer, start: number, op: SyscallOp | BuiltinOp, context: EncodeContext): void {
  let argKinds = 0;
  for (const [index, arg] of op.args.entries()) {
    const offset = start + 8 + index * 8;
    if (typeof arg === "number" || typeof arg === "bigint") {
      writeWord(blob, offset, arg);
    } else if (arg.kind === "register") {
      argKinds |= 2 << (2 * index);
      writeWord(blob, offset, arg.index);
    } else {
      argKinds |= 1 << (2 * index);
      const [piece, inside] = arg.kind === "data" ? [arg, 0] : [arg.data, arg.offset];
      writeWord(blob, offset, context.data.offsetOf(piece) + inside);
    }
  }
  blob.writeUInt8(op.kind === "syscall" ? 1 : builtinKinds[op.kind], start);
  blob.writeUInt8(op.into?.index ?? NO_REGISTER, start + 1);
  blob.writeUInt16LE(argKinds, start + 2);
  if (op.kind === "syscall") blob.writeUInt32LE(numberOf(op.name, context.numbers), start + 4);
  let flags = 0;
  if (op.tolerate === "all") flags |= opFlags.tolerateAll;
  else if (op.tolerate !== undefined) {
    if (op.tolerate.length > 4) throw new Error(`${op.doing}: more than four tolerated errors`);
    for (const [index, name] of op.tolerate.entries()) blob.writeUInt16LE(errno[name], start + 56 + index * 2);
  }
  if (op.jump !== undefined) {
    const target = context.labels.get(op.jump.to);
    if (target === undefined) throw new Error(`no label ${op.jump.to}`);
    blob.writeUInt32LE(target, start + 64);
    flags |= jumpFlag(op.jump.when);
  }
  blob.writeUInt16LE(flags, start + 68);
  blob.writeUInt8(op.exitCode ?? 125, start + 70);
}

function numberOf(name: string, numbers: ReadonlyMap<string, number>): number {
  const number = numbers.get(name);
  if (number === undefined) throw new Error(`no system call ${name} on this architecture`);
  return number;
}

function jumpFlag(when: Jump["when"]): number {
  switch (when) {
    case "positive":
      return opFlags.jumpPositive;
    case "negative":
      return opFlags.jumpNegative;
    case "first":
      return opFlags.jumpFirst;
    case "always":
      return opFlags.jumpAlways;
  }
}

/** One line an operation: `12 r3 = openat(-100, "/proc", 0x80000)  # opening /proc`. */
export function printProgram(program: readonly Op[]): string {
  const lines: string[] = [];
  let index = 0;
  for (const op of program) {
    if (op.kind === "label") {
      lines.push(`${op.name}:`);
      continue;
    }
    const into = op.into === undefined ? "" : `r${op.into.index} = `;
    const call = `${op.kind === "syscall" ? op.name : op.kind.toUpperCase()}(${op.args.map(showArgument).join(", ")})`;
    const tolerated =
      op.tolerate === undefined ? "" : ` or ${op.tolerate === "all" ? "any error" : op.tolerate.join("|")}`;
    const jump = op.jump === undefined ? "" : ` → ${op.jump.to} if ${op.jump.when}`;
    lines.push(`${String(index).padStart(4)}  ${into}${call}${tolerated}${jump}  # ${op.doing}`);
    index += 1;
  }
  return `${lines.join("\n")}\n`;
}

function showArgument(arg: Argument): string {
  if (typeof arg === "bigint") return `0x${BigInt.asUintN(64, arg).toString(16)}`;
  if (typeof arg === "number") return arg > 9 ? `0x${arg.toString(16)}` : String(arg);
  if (arg.kind === "register") return `r${arg.index}`;
  return arg.kind === "data" ? arg.shown : `${arg.data.shown}+${arg.offset}`;
}
