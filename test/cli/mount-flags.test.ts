import { describe, expect, test } from "vitest";
import { parseMount, parseTmpfs, parseVolume } from "../../src/cli/containers/mount-flags.ts";
import { caught } from "../support/caught.ts";

const bind = { kind: "bind", readonly: false, propagation: "rprivate", recursive: true, createSource: true };
const volume = { kind: "volume", name: undefined, readonly: false, copyUp: true };

describe("-v", () => {
  test.for([
    { text: "/data", mount: { ...volume, destination: "/data" } },
    { text: "name:/data", mount: { ...volume, name: "name", destination: "/data" } },
    {
      text: "name:/data:ro,nocopy",
      mount: { ...volume, name: "name", destination: "/data", readonly: true, copyUp: false },
    },
    { text: "/a:/b", mount: { ...bind, source: "/a", destination: "/b" } },
    { text: "./a:/b:ro", mount: { ...bind, source: "/cwd/a", destination: "/b", readonly: true } },
    { text: "../a:/b:rw,Z", mount: { ...bind, source: "/a", destination: "/b" } },
    { text: "/a:/b:rslave", mount: { ...bind, source: "/a", destination: "/b", propagation: "rslave" } },
  ])("$text", ({ text, mount }) => {
    expect(parseVolume(text, "/cwd")).toEqual(mount);
  });

  test.for([
    { text: "a:b:c:d", says: "it must be [source:]path[:options]" },
    { text: ":/b", says: "it must be" },
    { text: "/a:/b:foo", says: "unknown option 'foo'" },
    { text: "a/b:/c", says: "includes invalid characters for a local volume name" },
    { text: "x:/c", says: "includes invalid characters" },
  ])("$text is refused", ({ text, says }) => {
    expect(caught(() => parseVolume(text, "/cwd"))).toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(says),
    });
  });
});

describe("--mount", () => {
  test.for([
    { text: "type=bind,src=/a,dst=/b", mount: { ...bind, createSource: false, source: "/a", destination: "/b" } },
    {
      text: "type=bind,source=a,target=/b,readonly",
      mount: { ...bind, createSource: false, source: "/cwd/a", destination: "/b", readonly: true },
    },
    {
      text: "type=bind,src=/a,dst=/b,ro=false,bind-propagation=shared",
      mount: { ...bind, createSource: false, source: "/a", destination: "/b", propagation: "shared" },
    },
    {
      text: '"type=bind","src=/a,b",dst=/b',
      mount: { ...bind, createSource: false, source: "/a,b", destination: "/b" },
    },
    {
      text: "type=bind,src=/a,dst=/b,bind-recursive=disabled",
      mount: { ...bind, createSource: false, source: "/a", destination: "/b", recursive: false },
    },
    { text: "source=vol,target=/v", mount: { ...volume, name: "vol", destination: "/v" } },
    { text: "target=/v,volume-nocopy", mount: { ...volume, destination: "/v", copyUp: false } },
    {
      text: "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1777",
      mount: { kind: "tmpfs", destination: "/t", options: "size=1048576,mode=1777" },
    },
  ])("$text", ({ text, mount }) => {
    expect(parseMount(text, "/cwd")).toEqual(mount);
  });

  test.for([
    { text: "type=bind,src=/a", says: "target is required" },
    { text: "type=bind,dst=/a", says: "source is required" },
    { text: "foo=1", says: "unknown option 'foo' in 'foo=1'" },
    { text: "target", says: "invalid field 'target' must be a key=value pair" },
    { text: "type=cluster,dst=/a", says: 'mount type "cluster" is not supported' },
    { text: "type=bind,src=/a,dst=/b,bind-propagation=x", says: "invalid propagation value: x" },
    { text: "type=tmpfs,src=/a,dst=/b", says: "a tmpfs has no source" },
    { text: "type=tmpfs,dst=/t,tmpfs-mode=9", says: "invalid value for tmpfs-mode" },
  ])("$text is refused", ({ text, says }) => {
    expect(caught(() => parseMount(text, "/cwd"))).toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(says),
    });
  });
});

test("--tmpfs", () => {
  expect(parseTmpfs("/t")).toEqual(["/t", ""]);
  expect(parseTmpfs("/t:size=1m,mode=755")).toEqual(["/t", "size=1m,mode=755"]);
  expect(caught(() => parseTmpfs("t"))).toMatchObject({ code: "INVALID_ARGUMENT" });
});
