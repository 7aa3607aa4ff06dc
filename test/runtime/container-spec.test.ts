import { describe, expect, test } from "vitest";
import { type ContainerSpecOptions, containerSpec, defaultCapabilities } from "../../src/runtime/container-spec.ts";

const base: ContainerSpecOptions = {
  args: ["true"],
  env: [],
  cwd: "/",
  user: { uid: 0, gid: 0, additionalGids: [] },
  hostname: "box",
  network: "none",
};
const spec = (more: Partial<ContainerSpecOptions>) => containerSpec({ ...base, ...more });
const bounding = (more: Partial<ContainerSpecOptions>): readonly string[] => spec(more).process.capabilities.bounding;
const destinations = (more: Partial<ContainerSpecOptions>): string[] =>
  spec(more).mounts.map((mount) => mount.destination);
const bind = (destination: string) => ({ destination, type: "bind", source: "/", options: ["rbind"] });

describe("capabilities", () => {
  test.for([
    { name: "the default", options: {}, held: defaultCapabilities },
    {
      name: "one more, without its prefix, in small letters",
      options: { capAdd: ["net_admin"] },
      held: [...defaultCapabilities, "CAP_NET_ADMIN"],
    },
    { name: "none", options: { capDrop: ["all"] }, held: [] },
    { name: "none but one", options: { capDrop: ["ALL"], capAdd: ["CAP_CHOWN"] }, held: ["CAP_CHOWN"] },
    { name: "dropped and added", options: { capDrop: ["CHOWN"], capAdd: ["CHOWN"] }, held: defaultCapabilities },
  ])("$name", ({ options, held }) => expect([...bounding(options)].sort()).toEqual([...held].sort()));

  test("all but one", () => {
    const held = bounding({ capAdd: ["ALL"], capDrop: ["SYS_ADMIN"] });
    expect(held).not.toContain("CAP_SYS_ADMIN");
    expect(held.length).toBeGreaterThan(defaultCapabilities.length);
  });

  test("an unknown one is refused by name", () => {
    expect(() => spec({ capAdd: ["SYS_MAGIC"] })).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", message: "there is no capability SYS_MAGIC" }),
    );
  });

  test("a user has them in the bounding set alone", () => {
    const { capabilities } = spec({ user: { uid: 5, gid: 5, additionalGids: [] } }).process;
    expect(capabilities).toEqual({
      bounding: [...defaultCapabilities].sort(),
      effective: [],
      permitted: [],
      inheritable: [],
      ambient: [],
    });
  });
});

describe("mounts", () => {
  const defaults = ["/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm"];
  test("the default ones", () => expect(destinations({})).toEqual(defaults));
  test("one inside another comes after it", () => {
    expect(destinations({ mounts: [bind("/a/b/c"), bind("/a"), bind("/a/b")] })).toEqual([
      ...defaults,
      "/a",
      "/a/b",
      "/a/b/c",
    ]);
  });
  test("one at a default's place replaces it", () => {
    expect(destinations({ mounts: [bind("/dev/shm")] }).filter((path) => path === "/dev/shm")).toHaveLength(1);
  });
});

test.for([
  { network: "none", names: ["pid", "ipc", "mount", "cgroup", "uts", "network"], sysctl: true },
  { network: "attached", names: ["pid", "ipc", "mount", "cgroup", "uts", "network"], sysctl: true },
  { network: "host", names: ["pid", "ipc", "mount", "cgroup", "uts"], sysctl: false },
] as const)("network $network makes its namespaces", ({ network, names, sysctl }) => {
  const { linux } = spec({ network });
  expect(linux.namespaces.map((namespace) => namespace.type)).toEqual(names);
  expect(linux.sysctl !== undefined).toBe(sysctl);
});

test("without a hostname it is the host's", () => {
  const { hostname: _, ...options } = base;
  const result = containerSpec(options);
  expect(result.hostname).toBeUndefined();
  expect(result.linux.namespaces.map((namespace) => namespace.type)).not.toContain("uts");
});

test("privileged takes away masks, read-only paths, filter and device rules", () => {
  const { linux, mounts } = spec({ privileged: true });
  expect(linux).toMatchObject({ maskedPaths: [], readonlyPaths: [], resources: { devices: [{ allow: true }] } });
  expect(linux.seccomp).toBeUndefined();
  expect(mounts.find((mount) => mount.destination === "/sys")?.options).toContain("rw");
});

test("it is plain data, and the same options give the same value", () => {
  expect(JSON.parse(JSON.stringify(spec({})))).toEqual(spec({}));
});
