/**
 * nftables over netlink: what `nft` does, without the 5 ms that starting it takes and without the program. Numbers are
 * big-endian in here, but for values that the kernel compares as they lie in its registers. Everything is synchronous: the
 * kernel has answered when send(2) returns. Source: linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h.
 */
import { closeSync } from "node:fs";
import { TsbuildError } from "../errors.ts";
import { check, errno, errnoName, libc } from "./libc.ts";
import { attribute, nested, readAttributes, readText, text } from "./netlink-attributes.ts";

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const NETLINK_NETFILTER = 12;
const MSG_DONTWAIT = 0x40;
const NLM = { REQUEST: 1, ACK: 4, DUMP: 0x300, CREATE: 0x400, APPEND: 0x800 } as const;
const NLMSG = { ERROR: 2, DONE: 3 } as const;
const NFNL_MSG_BATCH = { BEGIN: 0x10, END: 0x11 } as const;
const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG = { NEWTABLE: 0, GETTABLE: 1, DELTABLE: 2, NEWCHAIN: 3, GETCHAIN: 4, NEWRULE: 6 } as const;
const NFPROTO: Readonly<Record<string, number>> = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 };
const NFTA_TABLE_NAME = 1;
const NFTA_CHAIN = { TABLE: 1, NAME: 3, HOOK: 4, POLICY: 5, TYPE: 7 } as const;
const NFTA_HOOK = { NUMBER: 1, PRIORITY: 2 } as const;
const NFTA_RULE = { TABLE: 1, CHAIN: 2, EXPRESSIONS: 4 } as const;
const NFTA_LIST_ELEM = 1;
const NFTA_EXPR = { NAME: 1, DATA: 2 } as const;
const NFTA_DATA = { VALUE: 1, VERDICT: 2 } as const;
const NFTA_VERDICT_CODE = 1;

/** Where a chain of the families ip and inet hooks in. Source: linux/netfilter.h. */
export const hooks = { forward: 2, postrouting: 4 } as const;
/** What becomes of a packet. */
export const verdicts = { drop: 0, accept: 1 } as const;

export interface NftChain {
  /** `ip`, `inet` …; a number that has no name here is left out. */
  readonly family: string | undefined;
  readonly table: string;
  readonly name: string;
  /** Of a base chain: its hook's number. */
  readonly hook: number | undefined;
  readonly policy: "accept" | "drop" | undefined;
}

/** One table of the family ip, its base chains and their rules. */
export interface NftTable {
  readonly name: string;
  readonly chains: readonly {
    readonly name: string;
    readonly type: "nat" | "filter";
    readonly hook: keyof typeof hooks;
    readonly priority: number;
    readonly rules: readonly (readonly NftExpression[])[];
  }[];
}

/** An encoded expression: see the functions below. */
export type NftExpression = Buffer;

export interface Nftables extends Disposable {
  chains(): readonly NftChain[];
  hasTable(name: string): boolean;
  /** All of it, or nothing. A table of that name goes. */
  replaceTable(table: NftTable): void;
  removeTable(name: string): void;
}

/** Of this thread's network namespace. @throws {TsbuildError} `SYSCALL_FAILED` where the kernel has no nftables. */
export function openNftables(): Nftables {
  const fd = check(libc("socket", AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_NETFILTER), "opening an nftables socket");
  let sequence = 0;

  const message = (type: number, family: number, flags: number, ...attributes: readonly Buffer[]): Buffer => {
    sequence += 1;
    const body = Buffer.concat(attributes);
    const header = Buffer.alloc(20);
    header.writeUInt32LE(20 + body.length, 0);
    header.writeUInt16LE(type, 4);
    header.writeUInt16LE(NLM.REQUEST | flags, 6);
    header.writeUInt32LE(sequence, 8);
    header.writeUInt8(family, 16);
    return Buffer.concat([header, body]);
  };
  const nft = (type: number, family: number, flags: number, ...attributes: readonly Buffer[]): Buffer =>
    message((NFNL_SUBSYS_NFTABLES << 8) | type, family, flags, ...attributes);
  const batchMark = (type: number): Buffer => {
    const mark = message(type, 0, 0);
    mark.writeUInt16BE(NFNL_SUBSYS_NFTABLES, 18);
    return mark;
  };
  const send = (bytes: Buffer, doing: string): void => void check(libc("send", fd, bytes, bytes.length, 0), doing);

  /** Sends one request for many and yields each answer's family and attributes. */
  function* dump(type: number, doing: string): Generator<{ readonly family: number; readonly body: Buffer }> {
    send(nft(type, 0, NLM.DUMP), doing);
    for (;;) {
      const answer = Buffer.alloc(1 << 16);
      const length = check(libc("recv", fd, answer, answer.length, 0), doing);
      for (const { type: kind, payload } of messagesIn(answer.subarray(0, length))) {
        if (kind === NLMSG.DONE) return;
        if (kind === NLMSG.ERROR) throw failed(doing, payload.readInt32LE(0));
        yield { family: payload.readUInt8(0), body: payload.subarray(4) };
      }
    }
  }

  function batch(messages: readonly Buffer[], doing: string): void {
    send(Buffer.concat([batchMark(NFNL_MSG_BATCH.BEGIN), ...messages, batchMark(NFNL_MSG_BATCH.END)]), doing);
    let error = 0;
    // Each message was answered by the time send returned; the first error is the cause of the others.
    for (;;) {
      const answer = Buffer.alloc(1 << 14);
      const length = libc("recv", fd, answer, answer.length, MSG_DONTWAIT);
      if (length === -errno.EAGAIN) break;
      check(length, doing);
      for (const { type, payload } of messagesIn(answer.subarray(0, length)))
        if (type === NLMSG.ERROR && error === 0) error = payload.readInt32LE(0);
    }
    if (error !== 0) throw failed(doing, error);
  }

  const named = (table: string): Buffer => text(NFTA_TABLE_NAME, table);
  const ip = NFPROTO["ip"] ?? 2;
  return {
    chains() {
      return Array.from(dump(NFT_MSG.GETCHAIN, "listing the firewall's chains"), ({ family, body }) =>
        chainOf(family, readAttributes(body)),
      );
    },
    hasTable(table) {
      for (const { family, body } of dump(NFT_MSG.GETTABLE, "listing the firewall's tables"))
        if (family === ip && readText(readAttributes(body).get(NFTA_TABLE_NAME)) === table) return true;
      return false;
    },
    replaceTable(table) {
      const create = NLM.ACK | NLM.CREATE;
      const messages = [
        ...(this.hasTable(table.name) ? [nft(NFT_MSG.DELTABLE, ip, NLM.ACK, named(table.name))] : []),
        nft(NFT_MSG.NEWTABLE, ip, create, named(table.name)),
      ];
      for (const { name, type, hook, priority, rules } of table.chains) {
        const place = nested(NFTA_CHAIN.HOOK, be32(NFTA_HOOK.NUMBER, hooks[hook]), be32(NFTA_HOOK.PRIORITY, priority));
        const where = [text(NFTA_CHAIN.TABLE, table.name), text(NFTA_CHAIN.NAME, name)];
        const policy = be32(NFTA_CHAIN.POLICY, verdicts.accept);
        messages.push(nft(NFT_MSG.NEWCHAIN, ip, create, ...where, place, policy, text(NFTA_CHAIN.TYPE, type)));
        for (const rule of rules) {
          const chain = [text(NFTA_RULE.TABLE, table.name), text(NFTA_RULE.CHAIN, name)];
          messages.push(
            nft(NFT_MSG.NEWRULE, ip, create | NLM.APPEND, ...chain, nested(NFTA_RULE.EXPRESSIONS, ...rule)),
          );
        }
      }
      batch(messages, `making the firewall's table ${table.name}`);
    },
    removeTable(table) {
      if (!this.hasTable(table)) return;
      batch([nft(NFT_MSG.DELTABLE, ip, NLM.ACK, named(table))], `removing the firewall's table ${table}`);
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}

function* messagesIn(bytes: Buffer): Generator<{ readonly type: number; readonly payload: Buffer }> {
  for (let at = 0; at + 16 <= bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    if (length < 16) return;
    yield { type: bytes.readUInt16LE(at + 4), payload: bytes.subarray(at + 16, at + length) };
    at += (length + 3) & ~3;
  }
}

function chainOf(family: number, attributes: ReadonlyMap<number, Buffer>): NftChain {
  const hook = attributes.get(NFTA_CHAIN.HOOK);
  const policy = attributes.get(NFTA_CHAIN.POLICY)?.readUInt32BE(0);
  return {
    family: Object.keys(NFPROTO).find((name) => NFPROTO[name] === family),
    table: readText(attributes.get(NFTA_CHAIN.TABLE)),
    name: readText(attributes.get(NFTA_CHAIN.NAME)),
    hook: hook === undefined ? undefined : readAttributes(hook).get(NFTA_HOOK.NUMBER)?.readUInt32BE(0),
    policy: policy === undefined ? undefined : policy === verdicts.drop ? "drop" : "accept",
  };
}

function failed(doing: string, result: number): TsbuildError {
  return new TsbuildError({ code: "SYSCALL_FAILED", what: `${doing}: ${errnoName(result)}` });
}

// Expressions ---------------------------------------------------------------------------------------------------------

const register = { verdict: 0, first: 1 } as const;
const NFTA_META = { REGISTER: 1, KEY: 2 } as const;
const NFT_META = { iifname: 6, oifname: 7 } as const;
const NFTA_CMP = { REGISTER: 1, OPERATION: 2, DATA: 3 } as const;
const NFT_CMP = { equal: 0, notEqual: 1 } as const;
const NFTA_PAYLOAD = { REGISTER: 1, BASE: 2, OFFSET: 3, LENGTH: 4 } as const;
const NFT_PAYLOAD_NETWORK_HEADER = 1;
const NFTA_BITWISE = { SOURCE: 1, REGISTER: 2, LENGTH: 3, MASK: 4, XOR: 5 } as const;
const NFTA_CT = { REGISTER: 1, KEY: 2 } as const;
const NFT_CT_STATE = 0;
/** Bits of a connection's state. Source: linux/netfilter/nf_conntrack_common.h. */
const CT_STATE = { established: 2, related: 4 } as const;
const NFTA_IMMEDIATE = { REGISTER: 1, DATA: 2 } as const;
const IFNAMSIZ = 16;

/** `oifname != "x"` and its like. */
export function linkIs(which: "iifname" | "oifname", link: string, how: keyof typeof NFT_CMP): NftExpression[] {
  const name = Buffer.alloc(IFNAMSIZ);
  name.write(link, "latin1");
  return [
    expression("meta", be32(NFTA_META.REGISTER, register.first), be32(NFTA_META.KEY, NFT_META[which])),
    compare(how, name),
  ];
}

/** `ip saddr 172.17.0.0/16`. */
export function sourceIsIn(network: string, prefixLength: number): NftExpression[] {
  const sourceOffset = 12;
  const mask = Buffer.alloc(4);
  mask.writeUInt32BE(prefixLength === 0 ? 0 : (0xffffffff << (32 - prefixLength)) >>> 0);
  return [
    expression(
      "payload",
      be32(NFTA_PAYLOAD.REGISTER, register.first),
      be32(NFTA_PAYLOAD.BASE, NFT_PAYLOAD_NETWORK_HEADER),
      be32(NFTA_PAYLOAD.OFFSET, sourceOffset),
      be32(NFTA_PAYLOAD.LENGTH, 4),
    ),
    masked(mask),
    compare("equal", Buffer.from(network.split(".").map(Number))),
  ];
}

/** `ct state established,related`. */
export function isAnswer(): NftExpression[] {
  const bits = Buffer.alloc(4);
  bits.writeUInt32LE(CT_STATE.established | CT_STATE.related);
  return [
    expression("ct", be32(NFTA_CT.REGISTER, register.first), be32(NFTA_CT.KEY, NFT_CT_STATE)),
    masked(bits),
    compare("notEqual", Buffer.alloc(4)),
  ];
}

export function masquerade(): NftExpression {
  return expression("masq");
}

export function verdict(name: keyof typeof verdicts): NftExpression {
  const code = nested(NFTA_DATA.VERDICT, be32(NFTA_VERDICT_CODE, verdicts[name]));
  return expression("immediate", be32(NFTA_IMMEDIATE.REGISTER, register.verdict), nested(NFTA_IMMEDIATE.DATA, code));
}

function masked(mask: Buffer): NftExpression {
  return expression(
    "bitwise",
    be32(NFTA_BITWISE.SOURCE, register.first),
    be32(NFTA_BITWISE.REGISTER, register.first),
    be32(NFTA_BITWISE.LENGTH, mask.length),
    nested(NFTA_BITWISE.MASK, attribute(NFTA_DATA.VALUE, mask)),
    nested(NFTA_BITWISE.XOR, attribute(NFTA_DATA.VALUE, Buffer.alloc(mask.length))),
  );
}

function compare(how: keyof typeof NFT_CMP, value: Buffer): NftExpression {
  return expression(
    "cmp",
    be32(NFTA_CMP.REGISTER, register.first),
    be32(NFTA_CMP.OPERATION, NFT_CMP[how]),
    nested(NFTA_CMP.DATA, attribute(NFTA_DATA.VALUE, value)),
  );
}

function expression(name: string, ...attributes: readonly Buffer[]): NftExpression {
  return nested(NFTA_LIST_ELEM, text(NFTA_EXPR.NAME, name), nested(NFTA_EXPR.DATA, ...attributes));
}

function be32(type: number, value: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeInt32BE(value, 0);
  return attribute(type, payload);
}
