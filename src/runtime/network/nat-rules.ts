/** The nftables rules of the container network, as text for `nft -f -`. Source: nft(8). */
import type { Subnet } from "./address-pool.ts";

export function bridgeRuleset(names: { readonly bridge: string; readonly table: string }, subnet: Subnet): string {
  const { bridge, table } = names;
  return `${removeRuleset(table)}table ip ${table} {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${subnet.network}/${subnet.prefixLength} oifname != "${bridge}" masquerade
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    oifname "${bridge}" ct state established,related accept
    oifname "${bridge}" iifname != "${bridge}" drop
  }
}
`;
}

/** Declaring it first makes the deletion of an absent table no error. */
function removeRuleset(table: string): string {
  return `table ip ${table}\ndelete table ip ${table}\n`;
}

interface NftChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook?: string;
  readonly policy?: string;
}

/**
 * The filter chain of iptables in which containers must be let through: `rules` is what `iptables -S FORWARD` prints.
 * Docker keeps a chain for rules of others and leaves it alone when it makes its own anew. Undefined: nothing drops.
 */
export function iptablesChain(rules: string): "DOCKER-USER" | "FORWARD" | undefined {
  if (!rules.startsWith("-P FORWARD DROP")) return undefined;
  return rules.includes("-j DOCKER-USER") ? "DOCKER-USER" : "FORWARD";
}

/** Arguments after `-I CHAIN`, `-C CHAIN` or `-D CHAIN`: what goes out, and the answers to it. */
export function iptablesRules(bridge: string): readonly (readonly string[])[] {
  const comment = ["-m", "comment", "--comment", "tsbuild", "-j", "ACCEPT"];
  return [
    ["-i", bridge, ...comment],
    ["-o", bridge, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", ...comment],
  ];
}

/**
 * A chain of somebody else that drops what is forwarded and that is not iptables' own: an accept in our table does not
 * undo it. `ruleset` is what `nft -j list ruleset` prints. Returns `table/chain`.
 */
export function findBlockingChain(ruleset: string): string | undefined {
  const { nftables } = JSON.parse(ruleset) as { readonly nftables: readonly { readonly chain?: NftChain }[] };
  for (const { chain } of nftables) {
    if (chain?.hook !== "forward" || chain.policy !== "drop") continue;
    // What iptables shows as its FORWARD chain is opened with iptables.
    if (chain.family === "ip" && chain.table === "filter" && chain.name === "FORWARD") continue;
    if (chain.family === "ip" || chain.family === "inet") return `${chain.table}/${chain.name}`;
  }
  return undefined;
}
