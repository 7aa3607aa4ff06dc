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
function cdiOf(...folders: readonly Readonly<Record<string, unknown>>[]): Cdi {
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
  const several = (): Cdi =>
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
  ])("$name is $finds", ({ name, finds }) => {
    expect(findDevices(several(), { name, required: false }).map((found) => found.name)).toEqual(finds);
  });

  test("a required one that is not there names the nearest", () => {
    expect(caught(() => findDevices(several(), { name: "v.com/disk=tow", required: true }))).toMatchObject({
      code: "INVALID_ARGUMENT",
      message: 'required device "v.com/disk=tow" is not registered',
      hint: "did you mean v.com/disk=two?",
    });
  });

  test("a later folder says the last word", () => {
    const cdi = cdiOf(
      { "x.json": spec("v.com/d", [device("a", { env: ["FROM=first"] })]) },
      { "x.json": spec("v.com/d", [device("a", { env: ["FROM=second"] })]) },
    );
    expect(deviceEdits(findDevices(cdi, { name: "v.com/d=a", required: true }), { uid: 0, gid: 0 }).env).toEqual([
      "FROM=second",
    ]);
  });

  test.for([
    { name: "YAML", file: "x.yaml", text: "cdiVersion: 0.6.0\nkind: v.com/d\n", says: /is YAML/ },
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
  ])("$name offers nothing, and a device that is missed says why", ({ file, text, says }) => {
    const cdi = cdiOf({ [file]: text });
    expect(cdi.devices.size).toBe(0);
    expect(caught(() => findDevices(cdi, { name: "v.com/d=a", required: true })).hint).toMatch(says);
  });

  test("folders that are not there are no problem", () => {
    expect(readCdi([`${folder}/nowhere`])).toEqual({ devices: new Map(), problems: [] });
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
  ])("allowed for all by $name: $allowed", ({ common, own, allowed }) => {
    const cdi = cdiOf({ "x.json": spec("v.com/d", [device("a", {}, own)], { annotations: common }) });
    expect([...cdi.devices.values()].map(isAllowedForAll)).toEqual([allowed]);
  });
});

describe("what a device changes", () => {
  const editsOf = (edits: Record<string, unknown>): ReturnType<typeof deviceEdits> => {
    const cdi = cdiOf({ "x.json": spec("v.com/d", [device("a", edits)]) });
    return deviceEdits([...cdi.devices.values()], { uid: 7, gid: 8 });
  };

  test("the file's part comes first, and once", () => {
    const file = spec(
      "v.com/d",
      [device("a", { env: ["A=1"] }), device("b", { env: ["B=1"], additionalGids: [0, 5] })],
      {
        containerEdits: { env: ["ALL=1"] },
      },
    );
    const edits = deviceEdits([...cdiOf({ "x.json": file }).devices.values()], { uid: 0, gid: 0 });
    expect(edits.env).toEqual(["ALL=1", "A=1", "B=1"]);
    expect(edits.additionalGids).toEqual([5]);
  });

  test("a node is as described, or as the host has it, and the user's where no owner is given", () => {
    const edits = editsOf({
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

  test("a mount is a bind, unless it says another type", () => {
    const mounts = [
      { hostPath: "/usr/lib/v", containerPath: "/v", options: ["ro", "nosuid"] },
      { hostPath: "tmpfs", containerPath: "/t", type: "tmpfs", options: ["size=1m"] },
    ];
    expect(editsOf({ mounts }).mounts).toEqual([
      { destination: "/v", type: "bind", source: "/usr/lib/v", options: ["rbind", "ro", "nosuid"] },
      { destination: "/t", type: "tmpfs", source: "tmpfs", options: ["size=1m"] },
    ]);
  });

  test.for([
    {
      name: "a hook",
      edits: { hooks: [{ hookName: "createContainer", path: "/bin/v", args: ["v"] }] },
      code: "UNSUPPORTED",
      says: "createContainer /bin/v",
    },
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
  ])("$name is refused by name", ({ edits, code, says }) => {
    expect(caught(() => editsOf(edits))).toMatchObject({ code, message: expect.stringContaining(says) });
  });
});
