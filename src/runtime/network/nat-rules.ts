/** The firewall rules of the container network, and what other firewalls of the machine do to it. Source: nft(8). */
import {
  hooks,
  isAnswer,
  linkIs,
  masquerade,
  type NftChain,
  type NftTable,
  sourceIsIn,
  verdict,
} from "../../kernel/nftables.ts";
import type { Subnet } from "./address-pool.ts";

/** Priorities `srcnat` and `filter`. */
const priority = { sourceNat: 100, filter: 0 } as const;

/** What goes out has the machine's address; what comes in is an answer, or from a neighbour on the bridge. */
export function bridgeTable(names: { readonly bridge: string; readonly table: string }, subnet: Subnet): NftTable {
  const { bridge, table } = names;
  return {
    name: table,
    chains: [
      {
        name: "postrouting",
        type: "nat",
        hook: "postrouting",
        priority: priority.sourceNat,
        rules: [
          [...sourceIsIn(subnet.network, subnet.prefixLength), ...linkIs("oifname", bridge, "notEqual"), masquerade()],
        ],
      },
      {
        name: "forward",
        type: "filter",
        hook: "forward",
        priority: priority.filter,
        rules: [
          [...linkIs("oifname", bridge, "equal"), ...isAnswer(), verdict("accept")],
          [...linkIs("oifname", bridge, "equal"), ...linkIs("iifname", bridge, "notEqual"), verdict("drop")],
        ],
      },
    ],
  };
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

/** What iptables shows as its FORWARD chain, where its rules are nftables' ones. */
function isOfIptables({ family, table, name }: NftChain): boolean {
  return family === "ip" && table === "filter" && name === "FORWARD";
}

/** iptables may drop what is forwarded, and has to be asked. `legacyTables`: content of /proc/net/ip_tables_names. */
export function mayDropByIptables(chains: readonly NftChain[], legacyTables: string): boolean {
  return /^filter$/m.test(legacyTables) || chains.some((chain) => isOfIptables(chain) && chain.policy === "drop");
}

/**
 * A chain of somebody else that drops what is forwarded and that is not iptables' own: an accept in our table does not
 * undo it. Returns `table/chain`.
 */
export function findBlockingChain(chains: readonly NftChain[]): string | undefined {
  const blocking = chains.find(
    (chain) =>
      chain.hook === hooks.forward &&
      chain.policy === "drop" &&
      (chain.family === "ip" || chain.family === "inet") &&
      // It is opened with iptables.
      !isOfIptables(chain),
  );
  return blocking && `${blocking.table}/${blocking.name}`;
}
