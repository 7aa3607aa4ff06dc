import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Cdi, findDevices, isAllowedForAll, readCdi } from "../../src/runtime/cdi.ts";
import { deviceEdits } from "../../src/runtime/device-edits.ts";
import { caught } from "../support/caught.ts";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync("/tmp/tsbuild-test-cdi-");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;

/** Each file by name; objects as JSON. A further record is a folder that comes later. */
function cdiOf(...folders: readonly Readonly<Record<string, unknown>>[]): Promise<Cdi> {
  const paths = folders.map((files) => {
    const path = `${folder}/${count++}`;
    mkdirSync(path);
    for (const [name, content] of Object.entries(files))
      writeFileSync(`${path}/${name}`, typeof content === "string" ? content : JSON.stringify(content));
    return path;
  });
  return readCdi(paths);
}

const annotation = (name: string, value: unknown): Record<string, unknown> => ({
  [`org.mobyproject.buildkit.device.${name}`]: value,
});

const device = (
  name: string,
  edits: Record<string, unknown> = {},
  annotations: Record<string, unknown> = {},
): unknown => ({
  name,
  annotations,
  containerEdits: edits,
});

const spec = (kind: string, devices: readonly unknown[], more: Record<string, unknown> = {}): unknown => ({
  cdiVersion: "0.6.0",
  kind,
  devices,
  ...more,
});

describe("finding devices", () => {
  const several = (): Promise<Cdi> =>
    cdiOf({
      "b.json": spec("v.com/disk", [device("one"), device("two", {}, annotation("class", "fast"))]),
      "a.yaml": JSON.stringify(spec("v.com/net", [device("eth", {}, annotation("class", "fast"))])),
      "readme.txt": "not looked at",
    });

  test.for([
    { name: "v.com/disk=two", finds: ["v.com/disk=two"] },
    { name: "v.com/disk", finds: ["v.com/disk=one"] },
    { name: "v.com/disk=*", finds: ["v.com/disk=one", "v.com/disk=two"] },
    { name: "v.com/disk=fast", finds: ["v.com/disk=two"] },
    { name: "v.com/disk=three", finds: [] },
    { name: "v.com/dis", finds: [] },
  ])("$name is $finds", async ({ name, finds }) => {
    const cdi = await several();
    expect(findDevices(cdi, { name, required: false }).map((found) => found.name)).toEqual(finds);
  });

  test("a required one that is not there names the nearest", async () => {
    const cdi = await several();
    expect(caught(() => findDevices(cdi, { name: "v.com/disk=tow", required: true }))).toMatchObject({
      code: "INVALID_ARGUMENT",
      message: 'required device "v.com/disk=tow" is not registered',
      hint: "did you mean v.com/disk=two?",
    });
  });

  test("a later folder says the last word", async () => {
    const cdi = await cdiOf(
      { "x.json": spec("v.com/d", [device("a", { env: ["FROM=first"] })]) },
      { "x.json": spec("v.com/d", [device("a", { env: ["FROM=second"] })]) },
    );
    expect(deviceEdits(findDevices(cdi, { name: "v.com/d=a", required: true }), { uid: 0, gid: 0 }).env).toEqual([
      "FROM=second",
    ]);
  });

  test.for([
    { name: "what is no YAML", file: "x.yaml", text: "kind: [v.com/d\n", says: /is no YAML \(/ },
    {
      name: "YAML that grows",
      file: "x.yml",
      text: `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c]\n`,
      says: /is no YAML \(Excessive alias/,
    },
    {
      name: "a hook that no runtime knows",
      file: "x.json",
      text: JSON.stringify(spec("v.com/d", [device("a", { hooks: [{ hookName: "now", path: "/x" }] })])),
      says: /hookName/,
    },
    { name: "what is no JSON", file: "x.json", text: "{", says: /is no JSON/ },
    {
      name: "a file without devices",
      file: "x.json",
      text: '{"cdiVersion":"0.6.0","kind":"v.com/d"}',
      says: /devices/,
    },
    {
      name: "a kind without class",
      file: "x.json",
      text: '{"cdiVersion":"0.6.0","kind":"v","devices":[]}',
      says: /kind/,
    },
  ])("$name offers nothing, and a device that is missed says why", async ({ file, text, says }) => {
    const cdi = await cdiOf({ [file]: text });
    expect(cdi.devices.size).toBe(0);
    expect(caught(() => findDevices(cdi, { name: "v.com/d=a", required: true })).hint).toMatch(says);
  });

  test("folders that are not there are no problem", async () => {
    expect(await readCdi([`${folder}/nowhere`])).toEqual({ devices: new Map(), problems: [] });
  });

  test.for([
    { name: "nothing", common: {}, own: {}, allowed: false },
    { name: "its own word", common: {}, own: annotation("autoallow", "true"), allowed: true },
    { name: "its file's", common: annotation("autoallow", true), own: {}, allowed: true },
    {
      name: "its own against its file's",
      common: annotation("autoallow", "1"),
      own: annotation("autoallow", "0"),
      allowed: false,
    },
  ])("allowed for all by $name: $allowed", async ({ common, own, allowed }) => {
    const cdi = await cdiOf({ "x.json": spec("v.com/d", [device("a", {}, own)], { annotations: common }) });
    expect([...cdi.devices.values()].map(isAllowedForAll)).toEqual([allowed]);
  });
});

describe("what a device changes", () => {
  const editsOf = async (edits: Record<string, unknown>): Promise<ReturnType<typeof deviceEdits>> => {
    const cdi = await cdiOf({ "x.json": spec("v.com/d", [device("a", edits)]) });
    return deviceEdits([...cdi.devices.values()], { uid: 7, gid: 8 });
  };

  test("the file's part comes first, and once", async () => {
    const file = spec(
      "v.com/d",
      [device("a", { env: ["A=1"] }), device("b", { env: ["B=1"], additionalGids: [0, 5] })],
      {
        containerEdits: { env: ["ALL=1"] },
      },
    );
    const edits = deviceEdits([...(await cdiOf({ "x.json": file })).devices.values()], { uid: 0, gid: 0 });
    expect(edits.env).toEqual(["ALL=1", "A=1", "B=1"]);
    expect(edits.additionalGids).toEqual([5]);
  });

  test("a node is as described, or as the host has it, and the user's where no owner is given", async () => {
    const edits = await editsOf({
      deviceNodes: [
        { path: "/dev/v/x", type: "b", major: 7, minor: 1, fileMode: 0o640, permissions: "r", uid: 1, gid: 2 },
        { path: "/dev/mine", hostPath: "/dev/null" },
      ],
    });
    expect(edits.devices).toEqual([
      { path: "/dev/v/x", type: "b", major: 7, minor: 1, fileMode: 0o640, uid: 1, gid: 2 },
      { path: "/dev/mine", type: "c", major: 1, minor: 3, fileMode: 0o666, uid: 7, gid: 8 },
    ]);
    expect(edits.rules).toEqual([
      { allow: true, type: "b", major: 7, minor: 1, access: "r" },
      { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
    ]);
  });

  test("hooks come in the order of their files, each for its moment", async () => {
    const hooks = [
      { hookName: "createContainer", path: "/bin/v", args: ["v", "x"], env: ["A=1"], timeout: 3 },
      { hookName: "poststop", path: "/bin/p" },
      { hookName: "createContainer", path: "/bin/w" },
    ];
    expect((await editsOf({ hooks })).hooks).toEqual({
      createContainer: [{ path: "/bin/v", args: ["v", "x"], env: ["A=1"], timeout: 3 }, { path: "/bin/w" }],
      poststop: [{ path: "/bin/p" }],
    });
  });

  test("a description in YAML, with octal modes and what stands twice", async () => {
    const text = `
cdiVersion: 0.6.0
kind: v.com/d
annotations:
  org.mobyproject.buildkit.device.autoallow: true
containerEdits: &all
  env: [ALL=1]
devices:
  - name: "0"
    containerEdits:
      deviceNodes:
        - path: /dev/mine
          hostPath: /dev/null
          fileMode: 0640
          permissions: rw
  - name: one
    containerEdits: *all
`;
    const cdi = await cdiOf({ "x.yaml": text });
    expect(cdi.problems).toEqual([]);
    const devices = findDevices(cdi, { name: "v.com/d=*", required: true });
    expect(devices.map(({ name }) => name)).toEqual(["v.com/d=0", "v.com/d=one"]);
    expect(devices.every(isAllowedForAll)).toBe(true);
    expect(deviceEdits(devices.slice(0, 1), { uid: 0, gid: 0 }).devices[0]?.fileMode).toBe(0o640);
  });

  test("a mount is a bind, unless it says another type", async () => {
    const mounts = [
      { hostPath: "/usr/lib/v", containerPath: "/v", options: ["ro", "nosuid"] },
      { hostPath: "tmpfs", containerPath: "/t", type: "tmpfs", options: ["size=1m"] },
    ];
    expect((await editsOf({ mounts })).mounts).toEqual([
      { destination: "/v", type: "bind", source: "/usr/lib/v", options: ["rbind", "ro", "nosuid"] },
      { destination: "/t", type: "tmpfs", source: "tmpfs", options: ["size=1m"] },
    ]);
  });

  test.for([
    { name: "intelRdt", edits: { intelRdt: { closID: "x" } }, code: "UNSUPPORTED", says: "intelRdt" },
    {
      name: "a network device",
      edits: { netDevices: [{ hostInterfaceName: "eth9" }] },
      code: "UNSUPPORTED",
      says: "netDevices",
    },
    {
      name: "a node outside /dev",
      edits: { deviceNodes: [{ path: "/etc/x", hostPath: "/dev/null" }] },
      code: "INVALID_ARGUMENT",
      says: "/etc/x is not below /dev",
    },
    {
      name: "a node that climbs out",
      edits: { deviceNodes: [{ path: "/dev/../x", hostPath: "/dev/null" }] },
      code: "INVALID_ARGUMENT",
      says: "not below /dev",
    },
    {
      name: "a node that the host has not",
      edits: { deviceNodes: [{ path: "/dev/nothing-like-it" }] },
      code: "INVALID_ARGUMENT",
      says: "no device /dev/nothing-like-it",
    },
  ])("$name is refused by name", async ({ edits, code, says }) => {
    await expect(editsOf(edits)).rejects.toMatchObject({ code, message: expect.stringContaining(says) });
  });
});
