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
 * A chain of somebody else that drops what is forwarded: an accept in our table does not undo it. `ruleset` is what
 * `nft -j list ruleset` prints. Returns `table/chain`.
 */
export function findBlockingChain(ruleset: string): string | undefined {
  const { nftables } = JSON.parse(ruleset) as { readonly nftables: readonly { readonly chain?: NftChain }[] };
  for (const { chain } of nftables) {
    if (chain?.hook !== "forward" || chain.policy !== "drop") continue;
    if (chain.family === "ip" || chain.family === "inet") return `${chain.table}/${chain.name}`;
  }
  return undefined;
}
