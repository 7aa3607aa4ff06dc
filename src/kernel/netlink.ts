/**
 * rtnetlink: links, addresses and routes, in 1 ms where `ip` commands take 40. A socket belongs to the network namespace
 * it was opened in, so one opened inside a container's namespace serves it from anywhere. Everything is synchronous:
 * the kernel has answered when send(2) returns. Source: rtnetlink(7), linux/rtnetlink.h, linux/if_link.h.
 */
import { closeSync, openSync } from "node:fs";
import { TsbuildError } from "../errors.ts";
import { check, errnoName, libc } from "./libc.ts";
import { attribute, nested, text } from "./netlink-attributes.ts";

const AF_INET = 2;
const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const CLONE_NEWNET = 0x40000000;

const RTM = { NEWLINK: 16, DELLINK: 17, GETLINK: 18, NEWADDR: 20, NEWROUTE: 24 } as const;
const NLM = { REQUEST: 1, ACK: 4, EXCL: 0x200, CREATE: 0x400 } as const;
const NLMSG_ERROR = 2;
const IFLA = { ADDRESS: 1, IFNAME: 3, MTU: 4, MASTER: 10, LINKINFO: 18, NET_NS_FD: 28 } as const;
const IFLA_INFO = { KIND: 1, DATA: 2 } as const;
const VETH_INFO_PEER = 1;
const IFA = { ADDRESS: 1, LOCAL: 2, BROADCAST: 4 } as const;
const RTA = { OIF: 4, GATEWAY: 5 } as const;
const IFF_UP = 1;
const RT = { TABLE_MAIN: 254, PROTOCOL_STATIC: 4, SCOPE_UNIVERSE: 0, TYPE_UNICAST: 1 } as const;

export interface Netlink extends Disposable {
  /** Creates a bridge. EEXIST is fine. */
  addBridge(name: string): void;
  /** Creates a veth pair: `name` here, up and in `bridge`; `peer` with `mac` in the namespace `peerNamespace` (an fd). */
  addVeth(pair: VethPair): void;
  removeLink(name: string): void;
  linkUp(name: string): void;
  addAddress(link: string, address: string, prefixLength: number): void;
  addDefaultRoute(gateway: string, link: string): void;
}

export interface VethPair {
  readonly name: string;
  readonly bridge: string;
  readonly peer: string;
  readonly peerNamespace: number;
  readonly mac: string;
  readonly mtu: number;
}

/** Opens a socket in this thread's network namespace. */
export function openNetlink(): Netlink {
  const fd = check(libc("socket", AF_NETLINK, SOCK_RAW_CLOEXEC, 0), "opening an rtnetlink socket");
  return netlinkOn(fd);
}

/** Opens a socket in the network namespace of process `pid`: enters it on this thread, and comes back. */
export function openNetlinkOf(pid: number): Netlink {
  const fd = inNetworkNamespace(pid, () =>
    check(libc("socket", AF_NETLINK, SOCK_RAW_CLOEXEC, 0), "opening an rtnetlink socket"),
  );
  return netlinkOn(fd);
}

/** Runs `work`, which must be synchronous, with this thread in the network namespace of process `pid`. */
export function inNetworkNamespace<T>(pid: number, work: () => T): T {
  const own = openSync("/proc/thread-self/ns/net", "r");
  try {
    const theirs = openSync(`/proc/${pid}/ns/net`, "r");
    try {
      check(libc("setns", theirs, CLONE_NEWNET), "entering the container's network namespace");
    } finally {
      closeSync(theirs);
    }
    try {
      return work();
    } finally {
      check(libc("setns", own, CLONE_NEWNET), "leaving the container's network namespace");
    }
  } finally {
    closeSync(own);
  }
}

function netlinkOn(fd: number): Netlink {
  let sequence = 0;

  /** Sends one request and reads its answer; returns the first message that is no acknowledgement. */
  function request(
    doing: string,
    type: number,
    flags: number,
    body: Buffer,
    tolerated: readonly string[] = [],
  ): Buffer {
    sequence += 1;
    const header = Buffer.alloc(16);
    header.writeUInt32LE(16 + body.length, 0);
    header.writeUInt16LE(type, 4);
    header.writeUInt16LE(NLM.REQUEST | flags, 6);
    header.writeUInt32LE(sequence, 8);
    const message = Buffer.concat([header, body]);
    check(libc("send", fd, message, message.length, 0), doing);
    const answer = Buffer.alloc(16384);
    const length = check(libc("recv", fd, answer, answer.length, 0), doing);
    if (length >= 20 && answer.readUInt16LE(4) === NLMSG_ERROR) {
      const result = answer.readInt32LE(16);
      const name = result === 0 ? undefined : errnoName(result);
      if (name !== undefined && !tolerated.includes(name))
        throw new TsbuildError({ code: "SYSCALL_FAILED", what: `${doing}: ${name}` });
    }
    return answer.subarray(0, length);
  }

  function indexOf(link: string): number {
    const answer = request(`finding the link ${link}`, RTM.GETLINK, 0, Buffer.concat([linkInfo(0, 0), name(link)]));
    return answer.readInt32LE(20);
  }

  return {
    addBridge(link) {
      const body = [linkInfo(0, 0), name(link), nested(IFLA.LINKINFO, text(IFLA_INFO.KIND, "bridge"))];
      request(`creating the bridge ${link}`, RTM.NEWLINK, NLM.ACK | NLM.CREATE | NLM.EXCL, Buffer.concat(body), [
        "EEXIST",
      ]);
    },
    addVeth(pair) {
      const peer = [
        linkInfo(0, 0),
        name(pair.peer),
        attribute(IFLA.ADDRESS, Buffer.from(pair.mac.replaceAll(":", ""), "hex")),
        number(IFLA.MTU, pair.mtu),
        number(IFLA.NET_NS_FD, pair.peerNamespace),
      ];
      const data = nested(IFLA_INFO.DATA, attribute(VETH_INFO_PEER, Buffer.concat(peer)));
      const body = [
        linkInfo(IFF_UP, IFF_UP),
        name(pair.name),
        number(IFLA.MTU, pair.mtu),
        number(IFLA.MASTER, indexOf(pair.bridge)),
        nested(IFLA.LINKINFO, text(IFLA_INFO.KIND, "veth"), data),
      ];
      const doing = `connecting the container to ${pair.bridge}`;
      request(doing, RTM.NEWLINK, NLM.ACK | NLM.CREATE | NLM.EXCL, Buffer.concat(body));
    },
    removeLink(link) {
      request(`removing the link ${link}`, RTM.DELLINK, NLM.ACK, Buffer.concat([linkInfo(0, 0), name(link)]), [
        "ENODEV",
      ]);
    },
    linkUp(link) {
      const body = Buffer.concat([linkInfo(IFF_UP, IFF_UP), name(link)]);
      request(`setting the link ${link} up`, RTM.NEWLINK, NLM.ACK, body);
    },
    addAddress(link, address, prefixLength) {
      const header = Buffer.alloc(8);
      header.writeUInt8(AF_INET, 0);
      header.writeUInt8(prefixLength, 1);
      header.writeUInt32LE(indexOf(link), 4);
      const bytes = ipv4(address);
      const broadcast = Buffer.alloc(4);
      broadcast.writeUInt32BE((bytes.readUInt32BE(0) | (0xffffffff >>> prefixLength)) >>> 0);
      const body = [
        header,
        attribute(IFA.LOCAL, bytes),
        attribute(IFA.ADDRESS, bytes),
        attribute(IFA.BROADCAST, broadcast),
      ];
      const doing = `giving ${link} the address ${address}`;
      request(doing, RTM.NEWADDR, NLM.ACK | NLM.CREATE | NLM.EXCL, Buffer.concat(body), ["EEXIST"]);
    },
    addDefaultRoute(gateway, link) {
      const header = Buffer.alloc(12);
      header.writeUInt8(AF_INET, 0);
      header.writeUInt8(RT.TABLE_MAIN, 4);
      header.writeUInt8(RT.PROTOCOL_STATIC, 5);
      header.writeUInt8(RT.SCOPE_UNIVERSE, 6);
      header.writeUInt8(RT.TYPE_UNICAST, 7);
      const body = [header, attribute(RTA.GATEWAY, ipv4(gateway)), number(RTA.OIF, indexOf(link))];
      request(`setting the default route`, RTM.NEWROUTE, NLM.ACK | NLM.CREATE | NLM.EXCL, Buffer.concat(body));
    },
    [Symbol.dispose]() {
      closeSync(fd);
    },
  };
}

/** struct ifinfomsg, for the link named by an attribute. */
function linkInfo(flags: number, change: number): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(flags, 8);
  header.writeUInt32LE(change, 12);
  return header;
}

function name(link: string): Buffer {
  return text(IFLA.IFNAME, link);
}

function number(type: number, value: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32LE(value, 0);
  return attribute(type, payload);
}

function ipv4(address: string): Buffer {
  return Buffer.from(address.split(".").map(Number));
}
