/** Structs that the calls of mounting take. */
import { type Struct, struct } from "../../launcher-program.ts";

/** `struct open_how`. */
export function openHow(flags: number, resolve: number): Struct {
  const bytes = Buffer.alloc(24);
  bytes.writeBigUInt64LE(BigInt(flags), 0);
  bytes.writeBigUInt64LE(BigInt(resolve), 16);
  return struct(bytes, `{flags 0x${flags.toString(16)}, resolve 0x${resolve.toString(16)}}`);
}

/** `struct mount_attr`. */
export function mountAttr(set: number, clear: number, propagation = 0, userNamespace = 0): Struct {
  const bytes = Buffer.alloc(32);
  bytes.writeUInt32LE(set, 0);
  bytes.writeUInt32LE(clear, 8);
  bytes.writeUInt32LE(propagation, 16);
  bytes.writeUInt32LE(userNamespace, 24);
  return struct(bytes, `{set 0x${set.toString(16)}, clear 0x${clear.toString(16)}, propagation ${propagation}}`);
}
