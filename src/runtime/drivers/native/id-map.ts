/**
 * Binds that show files under other owners than they have. The kernel takes such a mapping from a user namespace, which
 * nobody needs to live in. Source: mount_setattr(2), "ID-mapped mounts"; runtime-spec, config.md, "Mounts".
 */
import { closeSync, openSync, writeFileSync } from "node:fs";
import { check, cPath, libc } from "../../../kernel/libc.ts";
import { posixSpawn, reap, socketPair } from "../../../kernel/spawn.ts";
import type { IdMapping, MountSpec } from "../../../oci/runtime-spec.ts";
import type { OwnerMappings } from "../../driver.ts";
import { builtin, encodeProgram, RECORD_BYTES, recordTypes, space, syscall } from "../../launcher-program.ts";
import * as linux from "../../linux-constants.ts";
import type { SyscallArch } from "../../syscall-table.ts";
import { runtimeFailed } from "../errors.ts";
import { launcherExecutable } from "./launcher-file.ts";
import { mountAttr } from "./mount-structs.ts";

/** The mappings of a mount, if it has any. */
export function mappingsOf({ uidMappings = [], gidMappings = [] }: MountSpec): OwnerMappings | undefined {
  return uidMappings.length === 0 && gidMappings.length === 0 ? undefined : { uidMappings, gidMappings };
}

const namespaces = new Map<string, number>();

/** A descriptor of a user namespace with these mappings, for as long as this process lives. */
export function mappingNamespace(mappings: OwnerMappings, arch: SyscallArch): number {
  const key = `${mapText(mappings.uidMappings)} ${mapText(mappings.gidMappings)}`;
  let namespace = namespaces.get(key);
  if (namespace === undefined) {
    namespace = makeNamespace(mappings, arch);
    namespaces.set(key, namespace);
  }
  return namespace;
}

/** Of a launcher that does nothing but live in it until we have opened it. */
function makeNamespace({ uidMappings, gidMappings }: OwnerMappings, arch: SyscallArch): number {
  const doing = "making a user namespace to map owners by";
  const program = [
    syscall("unshare", [linux.CLONE_NEWUSER], { doing }),
    builtin("report", [recordTypes.ready, 0, 0]),
    syscall("read", [linux.CONTROL_FD, space(8, "byte"), 1], { doing }),
  ];
  const nothing = openSync("/dev/null", "r+");
  const [ours, theirs] = socketPair();
  let pid: number | undefined;
  try {
    pid = posixSpawn({
      file: launcherExecutable(),
      argv: ["tsbuild-launcher"],
      descriptors: [nothing, nothing, nothing, theirs],
    });
    closeSync(theirs);
    const { blob } = encodeProgram(program, arch);
    check(libc("write", ours, blob, blob.length), doing);
    const record = Buffer.alloc(RECORD_BYTES);
    const got = libc("recv", ours, record, record.length, 0);
    if (got !== record.length || record.readUInt32LE(0) !== recordTypes.ready) throw runtimeFailed(doing);
    writeFileSync(`/proc/${pid}/uid_map`, mapText(uidMappings));
    writeFileSync(`/proc/${pid}/gid_map`, mapText(gidMappings));
    return openSync(`/proc/${pid}/ns/user`, "r");
  } finally {
    closeSync(ours);
    closeSync(nothing);
    if (pid === undefined) closeSync(theirs);
    else reap(pid);
  }
}

function mapText(mappings: readonly IdMapping[]): string {
  return mappings.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");
}

/**
 * Whether the file systems at and below `source` can be shown under other owners: tried on a copy of the mount that is
 * attached nowhere.
 */
export function canMap(source: string, mappings: OwnerMappings, arch: SyscallArch): boolean {
  const flags = linux.OPEN_TREE_CLONE | linux.OPEN_TREE_CLOEXEC | linux.AT_RECURSIVE;
  const tree = libc("open_tree", SYS_open_tree, linux.AT_FDCWD, cPath(source), flags);
  if (tree < 0) return false;
  try {
    const { bytes } = mountAttr(linux.MOUNT_ATTR_IDMAP, 0, 0, mappingNamespace(mappings, arch));
    const below = linux.AT_EMPTY_PATH | linux.AT_RECURSIVE;
    return libc("mount_setattr", SYS_mount_setattr, tree, cPath(""), below, bytes, bytes.length) === 0;
  } finally {
    libc("close", tree);
  }
}

/** Equal on all architectures, as all numbers from 424 on. */
const SYS_open_tree = 428;
const SYS_mount_setattr = 442;
