import { describe, expect, test } from "vitest";
import { hostsFile, resolvFile, stepHostsFile } from "../../src/runtime/hosts-files.ts";

describe("/etc/hosts", () => {
  const options = { address: undefined, hostname: "box", extraHosts: [], gateway: undefined, hostFile: undefined };

  test("without an address it names only localhost", () => {
    expect(hostsFile(options)).toMatch(/^127\.0\.0\.1\tlocalhost\n::1\tlocalhost/);
    expect(hostsFile(options)).not.toContain("box");
  });

  test("its own name comes last, added hosts before", () => {
    const text = hostsFile({ ...options, address: "172.17.0.2", extraHosts: ["Db:10.0.0.5", "six:[fd00::1]"] });
    expect(text.trimEnd().split("\n").slice(-3)).toEqual(["10.0.0.5\tdb", "fd00::1\tsix", "172.17.0.2\tbox"]);
  });

  test("host-gateway is the gateway, or the host itself", () => {
    expect(hostsFile({ ...options, extraHosts: ["h:host-gateway"], gateway: "172.17.0.1" })).toContain(
      "172.17.0.1\th\n",
    );
    expect(hostsFile({ ...options, extraHosts: ["h:host-gateway"] })).toContain("127.0.0.1\th\n");
  });

  test("on the host's network it is the host's, with what was added", () => {
    const text = hostsFile({
      ...options,
      hostFile: "127.0.0.1 localhost\n10.9.9.9 peer\n\n",
      extraHosts: ["a:1.2.3.4"],
    });
    expect(text).toBe("127.0.0.1 localhost\n10.9.9.9 peer\n1.2.3.4\ta\n");
  });

  test("a step's own name is the loopback's, and its added hosts come last", () => {
    const extraHosts = [
      { name: "Db", address: "10.0.0.5" },
      { name: "h", address: "host-gateway" },
    ];
    const text = (last: string): string =>
      `127.0.0.1\tlocalhost box\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.5\tdb\n${last}\th\n`;
    expect(stepHostsFile("box", extraHosts, "172.17.0.1")).toBe(text("172.17.0.1"));
    expect(stepHostsFile("box", extraHosts, undefined)).toBe(text("127.0.0.1"));
  });
});

describe("/etc/resolv.conf", () => {
  const none = { dns: [], dnsSearch: [], dnsOptions: [], hostNetwork: false };

  test.for([
    {
      name: "the host's servers, search and options",
      host: "search a.b\nnameserver 10.0.0.1\noptions ndots:2\n",
      flags: {},
      text: "nameserver 10.0.0.1\nsearch a.b\noptions ndots:2\n",
    },
    {
      name: "loopback servers cannot be reached",
      host: "nameserver 127.0.0.53\nnameserver 10.0.0.1\n",
      flags: {},
      text: "nameserver 10.0.0.1\n",
    },
    {
      name: "none left: public ones",
      host: "nameserver 127.0.0.1\nnameserver ::1\n",
      flags: {},
      text: "nameserver 8.8.8.8\nnameserver 8.8.4.4\n",
    },
    {
      name: "none left in a build: public ones by IPv6 too",
      host: "nameserver 127.0.0.53\n",
      flags: { publicIpv6: true },
      text: [
        "nameserver 8.8.8.8",
        "nameserver 8.8.4.4",
        "nameserver 2001:4860:4860::8888",
        "nameserver 2001:4860:4860::8844\n",
      ].join("\n"),
    },
    {
      name: "on the host's network loopback stays",
      host: "nameserver 127.0.0.53\n",
      flags: { hostNetwork: true },
      text: "nameserver 127.0.0.53\n",
    },
    {
      name: "--dns replaces servers only",
      host: "search x\nnameserver 10.0.0.1\n",
      flags: { dns: ["9.9.9.9"] },
      text: "nameserver 9.9.9.9\nsearch x\n",
    },
    {
      name: "--dns-search . means none",
      host: "search x\nnameserver 10.0.0.1\n",
      flags: { dnsSearch: ["."] },
      text: "nameserver 10.0.0.1\n",
    },
    {
      name: "domain counts as search",
      host: "domain d\nnameserver 10.0.0.1\n",
      flags: {},
      text: "nameserver 10.0.0.1\nsearch d\n",
    },
    {
      name: "comments and blanks are left out",
      host: "# c\n\n; d\nnameserver 10.0.0.1 \n",
      flags: {},
      text: "nameserver 10.0.0.1\n",
    },
  ])("$name", ({ host, flags, text }) => {
    expect(resolvFile({ ...none, ...flags, hostFile: host })).toBe(text);
  });
});
