/** `--chown` and USER of WORKDIR as text. */

/**
 * One spelling for owners that mean the same whatever the image's passwd holds: `07`, `7` and `7:7`; `root` and `0:0`.
 * Names stay: what they mean is in the parent's files, which the key has.
 */
export function canonicalOwner(text: string): string {
  if (text === "root") return "0:0";
  const [user = "", group, ...rest] = text.split(":");
  if (rest.length > 0) return text;
  const uid = user === "" ? "0" : idOf(user);
  if (uid === undefined) return text;
  if (group === undefined) return `${uid}:${uid}`;
  const gid = group === "" ? "0" : idOf(group);
  return gid === undefined ? `${uid}:${group}` : `${uid}:${gid}`;
}

/** Signed 32-bit decimals; larger ones count as names. */
function idOf(text: string): string | undefined {
  if (!/^-?[0-9]+$/.test(text)) return undefined;
  const id = Number(text);
  return id >= -(2 ** 31) && id < 2 ** 31 ? String(id) : undefined;
}
