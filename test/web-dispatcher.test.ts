import { expect, test } from "vitest";
import { proxyFor } from "../src/web-dispatcher.ts";

const proxies = { HTTP_PROXY: "http://p:1", HTTPS_PROXY: "https://s:2" };

test.for([
  { url: "http://a.test/", environment: proxies, proxy: "http://p:1" },
  { url: "https://a.test/", environment: proxies, proxy: "https://s:2" },
  { url: "https://a.test/", environment: { HTTP_PROXY: "http://p:1" }, proxy: undefined },
  { url: "http://a.test/", environment: { http_proxy: "p:1" }, proxy: "http://p:1" },
  { url: "http://a.test/", environment: { HTTP_PROXY: "", http_proxy: "q:1" }, proxy: "http://q:1" },
  { url: "https://a.test/", environment: { ALL_PROXY: "socks5://q:1" }, proxy: "socks5://q:1" },
  { url: "http://a.test/", environment: {}, proxy: undefined },
])("$url with $environment goes through $proxy", ({ url, environment, proxy }) => {
  expect(proxyFor(new URL(url), environment)).toBe(proxy);
});

test.for([
  { url: "http://localhost/", list: "", exempt: true },
  { url: "http://127.8.7.6:80/", list: "", exempt: true },
  { url: "http://[::1]/", list: "", exempt: true },
  { url: "http://a.test/", list: "*", exempt: true },
  { url: "http://a.test/", list: " b.test , A.TEST ", exempt: true },
  { url: "http://x.a.test/", list: "a.test", exempt: true },
  { url: "http://xa.test/", list: "a.test", exempt: false },
  { url: "http://a.test/", list: ".a.test", exempt: false },
  { url: "http://x.a.test/", list: ".a.test", exempt: true },
  { url: "http://x.a.test/", list: "*.a.test", exempt: true },
  { url: "http://a.test/", list: "a.test:80", exempt: true },
  { url: "https://a.test/", list: "a.test:80", exempt: false },
  { url: "https://a.test:8443/", list: "a.test:8443", exempt: true },
  { url: "http://10.1.2.3/", list: "10.1.2.3", exempt: true },
  { url: "http://10.1.2.3/", list: "10.0.0.0/8", exempt: true },
  { url: "http://11.1.2.3/", list: "10.0.0.0/8", exempt: false },
  { url: "http://a.test/", list: "10.0.0.0/8", exempt: false },
  { url: "http://10.1.2.3/", list: "10.0.0.0/99", exempt: false },
  { url: "http://[fd00::1]/", list: "fd00::/8", exempt: true },
  { url: "http://[fd00::1]:81/", list: "[fd00::1]:81", exempt: true },
  { url: "http://a.test/", list: ",,", exempt: false },
])("$url with NO_PROXY=$list is asked directly: $exempt", ({ url, list, exempt }) => {
  expect(proxyFor(new URL(url), { ...proxies, NO_PROXY: list }) === undefined).toBe(exempt);
});
