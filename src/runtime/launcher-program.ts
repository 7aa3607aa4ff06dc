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

/** Text with a NUL behind it. Equal texts are stored once: nothing writes to them. */
export interface Text {
  readonly kind: "text";
  /** UTF-8; a Buffer is taken as it is. */
  readonly value: string | Buffer;
}

/** Bytes in the program's data, that the kernel or an operation may write to. */
export interface Struct {
  readonly kind: "struct";
  readonly bytes: Buffer;
  /** Cells that hold the address of other data (argv, iovec, clone_args). */
  readonly pointers: readonly { readonly at: number; readonly to: Data }[];
  /** How the printer shows it. */
  readonly shown: string;
}

export type Data = Text | Struct;

/** A place inside data: for the second cell of a pair. */
export interface DataAt {
  readonly kind: "dataAt";
  readonly data: Struct;
  readonly offset: number;
}

export type Argument = number | bigint | Register | Text | Struct | DataAt;
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
  head: 8,
  go: 16,
  signal: 17,
  detach: 18,
  release: 19,
} as const;

export const RECORD_BYTES = 16;

/** What follows these records, whatever of it is used. Records are written whole: launcher and child share the channel. */
export const recordPayloads = { created: 4096, head: 1024 } as const;

const MAGIC = 0x4c425354;
const VERSION = 1;
const HEADER_BYTES = 48;
const OP_BYTES = 72;
const NO_REGISTER = 255;
export const REGISTER_COUNT = 32;

export function register(index: number): Register {
  return { kind: "register", index };
}

export function text(value: string | Buffer): Text {
  return { kind: "text", value };
}

export function struct(bytes: Buffer, shown: string, pointers: Struct["pointers"] = []): Struct {
  return { kind: "struct", bytes, pointers, shown };
}

/** Zeroed space that the kernel or an operation writes to. */
export function space(size: number, shown: string): Struct {
  return struct(Buffer.alloc(size), shown);
}

/** A record with its payload behind it: store its length at 4, and its text at RECORD_BYTES. */
export function recordSpace(kind: keyof typeof recordPayloads, b: number): Struct {
  const bytes = Buffer.alloc(RECORD_BYTES + recordPayloads[kind]);
  bytes.writeUInt32LE(recordTypes[kind], 0);
  bytes.writeInt32LE(b, 8);
  return struct(bytes, `${kind} record`);
}

export function at(data: Struct, offset: number): DataAt {
  return { kind: "dataAt", data, offset };
}

/** A NULL-terminated table of strings, as execve takes it. */
export function stringTable(values: readonly string[], shown: string): Struct {
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

/** The data, growing as operations name pieces of it. */
class DataSection {
  readonly #structs = new Map<Struct, number>();
  readonly #texts = new Map<string, number>();
  readonly #pointers: { readonly cell: number; readonly to: Data }[] = [];
  #bytes = Buffer.alloc(1 << 15);
  #length = 0;

  offsetOf(data: Data): number {
    return data.kind === "text" ? this.#offsetOfText(data.value) : this.#offsetOfStruct(data);
  }

  #offsetOfText(value: string | Buffer): number {
    const key = typeof value === "string" ? value : `bytes ${value.toString("latin1")}`;
    const known = this.#texts.get(key);
    if (known !== undefined) return known;
    const size = typeof value === "string" ? Buffer.byteLength(value) : value.length;
    const offset = this.#reserve(size + 1);
    if (typeof value === "string") this.#bytes.write(value, offset);
    else value.copy(this.#bytes, offset);
    this.#texts.set(key, offset);
    return offset;
  }

  #offsetOfStruct(data: Struct): number {
    const known = this.#structs.get(data);
    if (known !== undefined) return known;
    const offset = this.#reserve(data.bytes.length);
    data.bytes.copy(this.#bytes, offset);
    this.#structs.set(data, offset);
    for (const { at, to } of data.pointers) {
      const cell = offset + at;
      this.#pointers.push({ cell, to });
      const target = this.offsetOf(to); // before the write: it may grow the section
      this.#bytes.writeUInt32LE(target, cell);
    }
    return offset;
  }

  /** Zeroed, aligned to 8 as structs with 64-bit fields want it. */
  #reserve(size: number): number {
    const offset = this.#length;
    this.#length = (offset + size + 7) & ~7;
    if (this.#length > this.#bytes.length) {
      const grown = Buffer.alloc(Math.max(this.#length, this.#bytes.length * 2));
      this.#bytes.copy(grown);
      this.#bytes = grown;
    }
    return offset;
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Cells to relocate. */
  get relocations(): readonly number[] {
    return this.#pointers.map((pointer) => pointer.cell);
  }
}

/** In units of 32 bits, in the byte order of both architectures we run on: a Buffer's own methods cost more. */
function writeWord(words: Uint32Array, index: number, value: number | bigint): void {
  if (typeof value === "bigint") {
    words[index] = Number(value & 0xffffffffn);
    words[index + 1] = Number((value >> 32n) & 0xffffffffn);
  } else {
    words[index] = value;
    words[index + 1] = Math.floor(value / 0x100000000);
  }
}

/**
 * Source: native/ops.h.
 * @throws a plain Error for an unknown system call, label or register: such a program is a defect of ours.
 */
export function encodeProgram(program: readonly Op[], arch: SyscallArch): EncodedProgram {
  const ops: (SyscallOp | BuiltinOp)[] = [];
  const labels = new Map<string, number>();
  for (const op of program) {
    if (op.kind === "label") labels.set(op.name, ops.length);
    else ops.push(op);
  }
  const data = new DataSection();
  const opWords = new Uint32Array((ops.length * OP_BYTES) / 4);
  const context: EncodeContext = { numbers: syscallTable(arch), labels, data, words: opWords };
  for (const [index, op] of ops.entries()) writeOp(context, (index * OP_BYTES) / 4, op);

  const relocations = data.relocations;
  const relocationsOffset = HEADER_BYTES + opWords.byteLength;
  const dataOffset = relocationsOffset + relocations.length * 8;
  const length = dataOffset + data.bytes.length;
  const words = new Uint32Array(length / 4);
  words.set([MAGIC, VERSION, length, 0, ops.length, relocations.length], 0);
  words.set([HEADER_BYTES, 0, relocationsOffset, 0, dataOffset, 0], 6);
  words.set(opWords, HEADER_BYTES / 4);
  for (const [index, cell] of relocations.entries()) words[relocationsOffset / 4 + index * 2] = cell;
  const blob = Buffer.from(words.buffer);
  data.bytes.copy(blob, dataOffset);
  return { blob, ops };
}

interface EncodeContext {
  readonly numbers: ReadonlyMap<string, number>;
  readonly labels: ReadonlyMap<string, number>;
  readonly data: DataSection;
  readonly words: Uint32Array;
}

/** `struct op` in words of 32 bits: kind, dest and argument kinds; number; arguments; tolerated; jump; flags, exit code. */
function writeOp({ numbers, labels, data, words }: EncodeContext, start: number, op: SyscallOp | BuiltinOp): void {
  let argKinds = 0;
  for (const [index, arg] of op.args.entries()) {
    const place = start + 2 + index * 2;
    if (typeof arg === "number" || typeof arg === "bigint") {
      writeWord(words, place, arg);
    } else if (arg.kind === "register") {
      argKinds |= 2 << (2 * index);
      words[place] = arg.index;
    } else {
      argKinds |= 1 << (2 * index);
      words[place] = arg.kind === "dataAt" ? data.offsetOf(arg.data) + arg.offset : data.offsetOf(arg);
    }
  }
  const kind = op.kind === "syscall" ? 1 : builtinKinds[op.kind];
  words[start] = kind | ((op.into?.index ?? NO_REGISTER) << 8) | (argKinds << 16);
  if (op.kind === "syscall") words[start + 1] = numberOf(op.name, numbers);
  let flags = 0;
  if (op.tolerate === "all") {
    flags |= opFlags.tolerateAll;
  } else if (op.tolerate !== undefined) {
    if (op.tolerate.length > 4) throw new Error(`${op.doing}: more than four tolerated errors`);
    const [first = 0, second = 0, third = 0, fourth = 0] = op.tolerate.map((name) => errno[name]);
    words[start + 14] = first | (second << 16);
    words[start + 15] = third | (fourth << 16);
  }
  if (op.jump !== undefined) {
    const to = labels.get(op.jump.to);
    if (to === undefined) throw new Error(`no label ${op.jump.to}`);
    words[start + 16] = to;
    flags |= jumpFlag(op.jump.when);
  }
  words[start + 17] = flags | ((op.exitCode ?? 125) << 16);
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
  if (arg.kind === "text") return JSON.stringify(arg.value.toString());
  return arg.kind === "struct" ? arg.shown : `${arg.data.shown}+${arg.offset}`;
}
