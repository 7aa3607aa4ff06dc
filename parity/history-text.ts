/**
 * What a history entry says, by either builder. The reference's texts are older: no flags of COPY and ADD, an ARG with its
 * default instead of its value, and Go's own form of ports and health checks.
 */

export function isSameHistory(ours: string | undefined, theirs: string | undefined): boolean {
  if (ours === undefined || theirs === undefined) return ours === theirs;
  if (theirs.startsWith("EXPOSE map[")) return ours.startsWith("EXPOSE [");
  if (theirs.startsWith("HEALTHCHECK &{")) return ours.startsWith("HEALTHCHECK {");
  if (theirs.startsWith("ARG ")) return firstName(ours) === firstName(theirs);
  return withoutCopyFlags(ours) === withoutCopyFlags(theirs);
}

function firstName(text: string): string | undefined {
  return /^ARG [^= ]+/.exec(text)?.[0];
}

function withoutCopyFlags(text: string): string {
  return text.replace(/^(COPY|ADD) (?:--(?:chown|chmod)=\S+ )+/, "$1 ");
}
