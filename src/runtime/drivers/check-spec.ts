/** What a spec may not ask for, because it would reach the host or would silently not happen. */
import type { NamespaceType, RuntimeSpec } from "../../oci/runtime-spec.ts";
import { apparmorUnsupported, hostnameNeedsNamespace, namespaceUnsupported, sysctlNotNamespaced } from "./errors.ts";

/**
 * Keys of /proc/sys that belong to a namespace. Everything else would be the host's.
 * Source: runc, libcontainer/configs/validate.
 */
const namespacedSysctls: readonly { readonly key: RegExp; readonly namespace: NamespaceType }[] = [
  { key: /^kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)$/, namespace: "ipc" },
  { key: /^fs\.mqueue\.[a-z_]+$/, namespace: "ipc" },
  { key: /^kernel\.domainname$/, namespace: "uts" },
  // Words of letters, digits, _ and -, so that no part is `..`.
  { key: /^net(\.[\w-]+)+$/, namespace: "network" },
];

/**
 * @throws {TsbuildError} `UNSUPPORTED` for a user namespace or an AppArmor profile, `INVALID_ARGUMENT` for a hostname
 * or sysctl that would be the host's.
 */
export function checkSpec(spec: RuntimeSpec): void {
  const has = (type: NamespaceType): boolean => spec.linux.namespaces.some((namespace) => namespace.type === type);
  if (has("user")) throw namespaceUnsupported("user");
  // Never silently unconfined: whoever asks for a label relies on it (CVE-2023-28642).
  const profile = spec.process.apparmorProfile;
  if (profile !== undefined && profile !== "" && profile !== "unconfined") throw apparmorUnsupported(profile);
  if ((spec.hostname !== undefined || spec.domainname !== undefined) && !has("uts")) throw hostnameNeedsNamespace();
  for (const key of Object.keys(spec.linux.sysctl ?? {})) {
    const rule = namespacedSysctls.find((candidate) => candidate.key.test(key));
    if (rule === undefined || !has(rule.namespace)) throw sysctlNotNamespaced(key, rule?.namespace);
  }
}
