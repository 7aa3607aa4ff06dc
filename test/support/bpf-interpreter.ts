/** Classic BPF as seccomp(2) runs it: for comparing compiled filters with what they were compiled from. */

export interface SyscallEvent {
  readonly arch: number;
  readonly number: number;
  readonly args: readonly bigint[];
}

export interface Verdict {
  readonly result: number;
  readonly steps: number;
}

/** @throws on anything the kernel's checker would refuse: unknown codes, jumps out of the program, a missing end. */
export function runFilter(program: Buffer, event: SyscallEvent): Verdict {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(event.number >>> 0, 0);
  data.writeUInt32LE(event.arch >>> 0, 4);
  for (const [index, arg] of event.args.entries()) data.writeBigUInt64LE(BigInt.asUintN(64, arg), 16 + index * 8);
  const count = program.length / 8;
  let accumulator = 0;
  for (let pc = 0, steps = 1; pc < count; steps += 1) {
    const code = program.readUInt16LE(pc * 8);
    const ifTrue = program.readUInt8(pc * 8 + 2);
    const ifFalse = program.readUInt8(pc * 8 + 3);
    const operand = program.readUInt32LE(pc * 8 + 4);
    const jump = (condition: boolean): number => pc + 1 + (condition ? ifTrue : ifFalse);
    switch (code) {
      case 0x20:
        if (operand % 4 !== 0 || operand > 60) throw new Error(`load at ${operand}`);
        accumulator = data.readUInt32LE(operand);
        pc += 1;
        break;
      case 0x54:
        accumulator = (accumulator & operand) >>> 0;
        pc += 1;
        break;
      case 0x05:
        pc += 1 + operand;
        break;
      case 0x15:
        pc = jump(accumulator === operand);
        break;
      case 0x25:
        pc = jump(accumulator > operand);
        break;
      case 0x35:
        pc = jump(accumulator >= operand);
        break;
      case 0x06:
        return { result: operand, steps };
      default:
        throw new Error(`code 0x${code.toString(16)} at ${pc}`);
    }
  }
  throw new Error("ran off the end");
}
