/**
 * What a history entry says, by either builder. The reference's texts are older: no flags of COPY and ADD, no value of an ARG
 * that it does not have from the line itself, and Go's own form of ports and health checks.
 */

export function isSameHistory(ours: string | undefined, theirs: string | undefined): boolean {
  if (ours === undefined || theirs === undefined) return ours === theirs;
  if (theirs.startsWith("EXPOSE map[")) return ours.startsWith("EXPOSE [");
  if (theirs.startsWith("HEALTHCHECK &{")) return ours.startsWith("HEALTHCHECK {");
  if (theirs.startsWith("ARG ")) return ours === theirs || ours.startsWith(`${theirs}=`);
  return withoutCopyFlags(ours) === withoutCopyFlags(theirs);
}

function withoutCopyFlags(text: string): string {
  return text.replace(/^(COPY|ADD) (?:--(?:chown|chmod)=\S+ )+/, "$1 ");
}
