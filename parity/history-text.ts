/**
 * What a history entry says, by either builder. The reference's texts are older: no flags of COPY and ADD, an ARG with its
 * default instead of its value, no ARGs of a RUN that another stage declared, and Go's own form of ports and health checks.
 */

export function isSameHistory(ours: string | undefined, theirs: string | undefined): boolean {
  if (ours === undefined || theirs === undefined) return ours === theirs;
  if (theirs.startsWith("EXPOSE map[")) return ours.startsWith("EXPOSE [");
  if (theirs.startsWith("HEALTHCHECK &{")) return ours.startsWith("HEALTHCHECK {");
  if (theirs.startsWith("ARG ")) return firstName(ours) === firstName(theirs);
  if (argumentsOf(theirs) < argumentsOf(ours)) return withoutArguments(ours) === withoutArguments(theirs);
  return withoutCopyFlags(ours) === withoutCopyFlags(theirs);
}

function firstName(text: string): string | undefined {
  return /^ARG [^= ]+/.exec(text)?.[0];
}

function withoutCopyFlags(text: string): string {
  return text.replace(/^(COPY|ADD) (?:--(?:chown|chmod)=\S+ )+/, "$1 ");
}

/** `RUN |2 a=1 b=2 /bin/sh -c …`: two. */
function argumentsOf(text: string): number {
  return Number(/^RUN \|(\d+) /.exec(text)?.[1] ?? 0);
}

function withoutArguments(text: string): string {
  return text.replace(/^RUN \|\d+ .*?(?=\/bin\/sh -)/s, "RUN ");
}
