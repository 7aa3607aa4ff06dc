/** IPv4 subnets and addresses for containers. Pure: what is taken comes in as a value. */

export interface Subnet {
  /** `172.18.0.0` */
  readonly network: string;
  readonly prefixLength: number;
}

/** Docker's pools, in its order: 172.17–172.31 as /16, then 192.168.0–240 as /20. */
const pools: readonly Subnet[] = [
  ...Array.from({ length: 15 }, (_, n) => ({ network: `172.${17 + n}.0.0`, prefixLength: 16 })),
  ...Array.from({ length: 16 }, (_, n) => ({ network: `192.168.${16 * n}.0`, prefixLength: 20 })),
];

/** The first pool that overlaps none of `taken` (the host's routes). */
export function freeSubnet(taken: readonly Subnet[]): Subnet | undefined {
  return pools.find((pool) => !taken.some((other) => overlap(pool, other)));
}

function overlap(a: Subnet, b: Subnet): boolean {
  const bits = Math.min(a.prefixLength, b.prefixLength);
  // A default route overlaps everything and takes nothing.
  if (b.prefixLength === 0) return false;
  return toNumber(a.network) >>> (32 - bits) === toNumber(b.network) >>> (32 - bits);
}

/** The first address of the subnet: the bridge's own. */
export function gatewayOf(subnet: Subnet): string {
  return toAddress(toNumber(subnet.network) + 1);
}

/** Addresses for containers, in order; neither network, gateway nor broadcast. */
export function* hostAddresses(subnet: Subnet): Generator<string> {
  const size = 2 ** (32 - subnet.prefixLength);
  for (let n = 2; n < size - 1; n += 1) yield toAddress(toNumber(subnet.network) + n);
}

/** Docker's rule: 02:42 and the address in hex, so that a neighbour's ARP entry of a reused address stays right. */
export function macOf(address: string): string {
  const bytes = address.split(".").map((part) => Number(part).toString(16).padStart(2, "0"));
  return `02:42:${bytes.join(":")}`;
}

/** Destinations of /proc/net/route: hexadecimal, little-endian. */
export function parseRoutes(table: string): readonly (Subnet & { readonly link: string })[] {
  return table
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => {
      const [link = "", destination = "0", , , , , , mask = "0"] = line.split(/\s+/);
      return { link, network: littleEndian(destination), prefixLength: countBits(Number.parseInt(mask, 16)) };
    });
}

function littleEndian(hex: string): string {
  const value = Number.parseInt(hex, 16);
  return [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24].join(".");
}

function countBits(value: number): number {
  let bits = 0;
  for (let rest = value >>> 0; rest !== 0; rest >>>= 1) bits += rest & 1;
  return bits;
}

function toNumber(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

function toAddress(value: number): string {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join(".");
}
