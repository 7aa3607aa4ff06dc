/**
 * rtnetlink: links, addresses and routes, in 1 ms where `ip` commands take 40. A socket belongs to the network namespace
 * it was opened in, so one opened inside a container's namespace serves it from anywhere. The kernel has answered when
 * send(2) returns. Source: rtnetlink(7), linux/rtnetlink.h, linux/if_link.h.
 */
import { closeSync, openSync } from "node:fs";
import { TsbuildError } from "../errors.ts";
import { check, errnoName, libc, libcInBackground } from "./libc.ts";
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
  /**
   * Creates a veth pair: `name` here, up and in `bridge`; `peer` with `mac` in the namespace `peerNamespace` (an fd). The
   * kernel takes 2 ms and more for it, which this thread is spared.
   */
  addVeth(pair: VethPair): Promise<void>;
  removeLink(name: string): void;
  linkUp(name: string): void;
  addAddress(link: string, address: string, prefixLength: number): void;
  /** All that a namespace needs whose one link is the peer of a pair: loopback, address and route, up. */
  setUpPeer(link: string, peer: PeerAddress): void;
}

export interface PeerAddress {
  readonly address: string;
  readonly prefixLength: number;
  readonly gateway: string;
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

/** Runs `work`, which must be synchronous, with this thread in a network namespace: an fd. */
export function inNetworkNamespace<T>(namespace: number, work: () => T): T {
  const own = openSync("/proc/thread-self/ns/net", "r");
  try {
    check(libc("setns", namespace, CLONE_NEWNET), "entering the container's network namespace");
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

  function message(type: number, flags: number, ...body: readonly Buffer[]): Buffer {
    sequence += 1;
    const header = Buffer.alloc(16);
    header.writeUInt32LE(
      body.reduce((length, part) => length + part.length, header.length),
      0,
    );
    header.writeUInt16LE(type, 4);
    header.writeUInt16LE(NLM.REQUEST | flags, 6);
    header.writeUInt32LE(sequence, 8);
    return Buffer.concat([header, ...body]);
  }

  /** Reads the answer to one request; the bytes are good until the next one. */
  function answerTo(doing: string, tolerated: readonly string[] = []): Buffer {
    const length = check(libc("recv", fd, answer, answer.length, 0), doing);
    if (length >= 20 && answer.readUInt16LE(4) === NLMSG_ERROR) {
      const result = answer.readInt32LE(16);
      const name = result === 0 ? undefined : errnoName(result);
      if (name !== undefined && !tolerated.includes(name))
        throw new TsbuildError({ code: "SYSCALL_FAILED", what: `${doing}: ${name}` });
    }
    return answer.subarray(0, length);
  }

  function request(doing: string, bytes: Buffer, tolerated: readonly string[] = []): Buffer {
    check(libc("send", fd, bytes, bytes.length, 0), doing);
    return answerTo(doing, tolerated);
  }

  function indexOf(link: string): number {
    return request(`finding the link ${link}`, message(RTM.GETLINK, 0, linkInfo({}), name(link))).readInt32LE(20);
  }

  function address(index: number, local: string, prefixLength: number): Buffer {
    const header = Buffer.alloc(8);
    header.writeUInt8(AF_INET, 0);
    header.writeUInt8(prefixLength, 1);
    header.writeUInt32LE(index, 4);
    const bytes = ipv4(local);
    const broadcast = Buffer.alloc(4);
    broadcast.writeUInt32BE((bytes.readUInt32BE(0) | (0xffffffff >>> prefixLength)) >>> 0);
    const attributes = [
      attribute(IFA.LOCAL, bytes),
      attribute(IFA.ADDRESS, bytes),
      attribute(IFA.BROADCAST, broadcast),
    ];
    return message(RTM.NEWADDR, NLM.ACK | NLM.CREATE | NLM.EXCL, header, ...attributes);
  }

  function defaultRoute(gateway: string, index: number): Buffer {
    const header = Buffer.alloc(12);
    header.writeUInt8(AF_INET, 0);
    header.writeUInt8(RT.TABLE_MAIN, 4);
    header.writeUInt8(RT.PROTOCOL_STATIC, 5);
    header.writeUInt8(RT.SCOPE_UNIVERSE, 6);
    header.writeUInt8(RT.TYPE_UNICAST, 7);
    const attributes = [attribute(RTA.GATEWAY, ipv4(gateway)), number(RTA.OIF, index)];
    return message(RTM.NEWROUTE, NLM.ACK | NLM.CREATE | NLM.EXCL, header, ...attributes);
  }

  const up = { flags: IFF_UP, change: IFF_UP } as const;
  return {
    addBridge(link) {
      const info = nested(IFLA.LINKINFO, text(IFLA_INFO.KIND, "bridge"));
      const bytes = message(RTM.NEWLINK, NLM.ACK | NLM.CREATE | NLM.EXCL, linkInfo({}), name(link), info);
      request(`creating the bridge ${link}`, bytes, ["EEXIST"]);
    },
    async addVeth(pair) {
      const peer = [
        linkInfo({}),
        name(pair.peer),
        attribute(IFLA.ADDRESS, Buffer.from(pair.mac.replaceAll(":", ""), "hex")),
        number(IFLA.MTU, pair.mtu),
        number(IFLA.NET_NS_FD, pair.peerNamespace),
      ];
      const data = nested(IFLA_INFO.DATA, attribute(VETH_INFO_PEER, Buffer.concat(peer)));
      const bytes = message(
        RTM.NEWLINK,
        NLM.ACK | NLM.CREATE | NLM.EXCL,
        linkInfo(up),
        name(pair.name),
        number(IFLA.MTU, pair.mtu),
        number(IFLA.MASTER, indexOf(pair.bridge)),
        nested(IFLA.LINKINFO, text(IFLA_INFO.KIND, "veth"), data),
      );
      const doing = `connecting the container to ${pair.bridge}`;
      const sent = await new Promise<number>((resolve) =>
        libcInBackground("send", [fd, bytes, bytes.length, 0], resolve),
      );
      // Looking at the bytes here keeps them alive for that thread.
      if (sent !== bytes.length)
        throw new TsbuildError({ code: "SYSCALL_FAILED", what: `${doing}: the kernel refuses` });
      answerTo(doing);
    },
    removeLink(link) {
      request(`removing the link ${link}`, message(RTM.DELLINK, NLM.ACK, linkInfo({}), name(link)), ["ENODEV"]);
    },
    linkUp(link) {
      request(`setting the link ${link} up`, message(RTM.NEWLINK, NLM.ACK, linkInfo(up), name(link)));
    },
    addAddress(link, local, prefixLength) {
      request(`giving ${link} the address ${local}`, address(indexOf(link), local, prefixLength), ["EEXIST"]);
    },
    setUpPeer(link, { address: local, prefixLength, gateway }) {
      const peerIndex = indexOf(link);
      const messages = [
        message(RTM.NEWLINK, NLM.ACK, linkInfo({ ...up, index: loopbackIndex })),
        address(peerIndex, local, prefixLength),
        message(RTM.NEWLINK, NLM.ACK, linkInfo({ ...up, index: peerIndex })),
        defaultRoute(gateway, peerIndex),
      ];
      const doing = `giving the container the address ${local}`;
      const bytes = Buffer.concat(messages);
      check(libc("send", fd, bytes, bytes.length, 0), doing);
      for (const _ of messages) answerTo(doing);
    },
    [Symbol.dispose]() {
      closeSync(fd);
    },
  };
}

/** Of the first link of a namespace. */
const loopbackIndex = 1;

const answer = Buffer.alloc(16384);

/** struct ifinfomsg; without an index an attribute names the link. */
function linkInfo({ index = 0, flags = 0, change = 0 }): Buffer {
  const header = Buffer.alloc(16);
  header.writeInt32LE(index, 4);
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
