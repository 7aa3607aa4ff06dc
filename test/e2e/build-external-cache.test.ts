/** `--cache-to` and `--cache-from`: what one machine has built, another need not build. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect } from "vitest";
import { openStore } from "../../src/store/open-store.ts";
import { type RunningRegistry, startDockerRegistry } from "../support/docker-registry.ts";
import { needs } from "../support/needs.ts";
import type { TsbuildResult } from "../support/tsbuild.ts";
import { Workshop } from "./build-support.ts";

const test = needs("root", "busybox-static");
const withRegistry = needs("root", "busybox-static", "docker-registry");
let workshop: Workshop;
let context: string;
let machines = 0;

const dockerfile = `FROM b AS tools
RUN echo tool >/tool; cat /proc/sys/kernel/random/uuid >>/tool
FROM b AS unused
RUN echo never
FROM b
WORKDIR /w
COPY --from=tools /tool /w/
COPY f /w/
RUN cat /proc/sys/kernel/random/uuid >/w/when
`;

beforeAll(async () => {
  workshop = new Workshop();
  await workshop.importBase();
  // Loaded, not imported again: an import is a new image.
  await workshop.tsbuild(["save", "b", "-o", `${workshop.folder}/b.tar`]);
  context = workshop.context({ Dockerfile: dockerfile, f: "f" });
});
afterAll(() => workshop?.[Symbol.dispose]());

interface Machine {
  readonly root: string;
  build(...args: readonly string[]): Promise<TsbuildResult>;
}

/** A store that has the base and nothing else. */
async function machine(): Promise<Machine> {
  const root = `${workshop.folder}/machine${machines++}`;
  await workshop.tsbuild(["--root", root, "load", "-i", `${workshop.folder}/b.tar`]);
  return {
    root,
    build: (...args) => workshop.tsbuild(["--root", root, "build", "--progress=plain", ...args, context]),
  };
}

const cached = ({ stderr }: TsbuildResult): number =>
  stderr.split("\n").filter((line) => line.endsWith(" CACHED")).length;
const ran = ({ stderr }: TsbuildResult): number => stderr.split("\n").filter((line) => / DONE \d/.test(line)).length;

async function roundTrip(
  to: (registry: string) => string,
  from: (registry: string) => string,
  extra: readonly string[] = [],
): Promise<{ readonly first: TsbuildResult; readonly second: TsbuildResult; readonly ids: readonly string[] }> {
  await using registry: RunningRegistry | undefined = to("").includes("local,")
    ? undefined
    : await startDockerRegistry();
  const host = registry?.host ?? "";
  const one = await machine();
  const ids = [`${workshop.folder}/id-${machines}-1`, `${workshop.folder}/id-${machines}-2`];
  const first = await one.build(
    "--cache-to",
    to(host),
    ...extra.map((word) => word.replace("{host}", host)),
    "--iidfile",
    ids[0] ?? "",
  );
  const two = await machine();
  const second = await two.build("--cache-from", from(host), "--iidfile", ids[1] ?? "");
  const checked = await workshop.tsbuild(["--root", two.root, "system", "check"]);
  expect(checked.stdout).toContain("0 faults");
  return { first, second, ids: ids.map((file) => readFileSync(file, "utf8")) };
}

test("local, mode=max: nothing runs, and the image is the same bit for bit", async () => {
  const folder = `${workshop.folder}/cache-max`;
  const { first, second, ids } = await roundTrip(
    () => `type=local,dest=${folder},mode=max`,
    () => `type=local,src=${folder}`,
  );
  expect({ ran: ran(first), cached: cached(first) }).toEqual({ ran: 5, cached: 0 });
  expect({ ran: ran(second), cached: cached(second) }).toEqual({ ran: 0, cached: 5 });
  expect(ids[1]).toBe(ids[0]);
});

test("local, mode=min: the steps of the result; the stage it takes from runs again", async () => {
  const folder = `${workshop.folder}/cache-min`;
  const { second } = await roundTrip(
    () => `type=local,dest=${folder},compression=zstd`,
    () => `type=local,src=${folder}`,
  );
  // The tool differs by its time, so the COPY of it and the RUN upon it are new.
  expect({ ran: ran(second), cached: cached(second) }).toEqual({ ran: 4, cached: 1 });
});

withRegistry.for([
  {
    name: "a registry",
    to: (host: string) => `type=registry,ref=${host}/cache:1,mode=max`,
    from: (host: string) => `${host}/cache:1`,
  },
  {
    name: "a registry, as an index of layers",
    to: (host: string) => `type=registry,ref=${host}/cache:1,mode=max,image-manifest=false`,
    from: (host: string) => `${host}/cache:1`,
  },
  {
    name: "a registry, with docker's media types",
    to: (host: string) => `type=registry,ref=${host}/cache:1,mode=max,oci-mediatypes=false`,
    from: (host: string) => `${host}/cache:1`,
  },
  {
    name: "a registry by name alone",
    to: (host: string) => `${host}/cache`,
    from: (host: string) => `type=registry,ref=${host}/cache`,
  },
])("$name", async ({ to, from }) => {
  const { second, ids } = await roundTrip(to, from);
  expect(second.code).toBe(0);
  if (to("").includes("max")) {
    expect({ ran: ran(second), cached: cached(second) }).toEqual({ ran: 0, cached: 5 });
    expect(ids[1]).toBe(ids[0]);
  } else expect(cached(second)).toBeGreaterThan(0);
});

withRegistry("inline: the image brings its own records", async () => {
  await using registry = await startDockerRegistry();
  const name = `${registry.host}/app:1`;
  const plain = workshop.context({
    Dockerfile: "FROM b\nRUN cat /proc/sys/kernel/random/uuid >/when\nCOPY f /\n",
    f: "f",
  });
  const one = await machine();
  const build = (root: string, ...args: readonly string[]) =>
    workshop.tsbuild(["--root", root, "build", "--progress=plain", ...args, plain]);
  const pushed = await build(one.root, "--cache-to", "type=inline", "-t", name, "--push");
  expect(pushed.stderr).toContain("built");
  const two = await machine();
  const again = await build(two.root, "--cache-from", name, "--build-arg", "BUILDKIT_INLINE_CACHE=1", "-t", name);
  expect({ ran: ran(again), cached: cached(again) }).toEqual({ ran: 0, cached: 2 });
  const idOf = (root: string): string | undefined => {
    using store = openStore(root);
    return store.images.find(name)?.id;
  };
  expect(idOf(two.root)).toBe(idOf(one.root));
});

test.for([
  { keys: ",image-manifest=false", type: "application/vnd.oci.image.index.v1+json", layer: "oci.image.layer" },
  {
    keys: ",oci-mediatypes=false",
    type: "application/vnd.docker.distribution.manifest.list.v2+json",
    layer: "docker.image.rootfs",
  },
])("local$keys: an index of the layers, with the config behind them", async ({ keys, type, layer }) => {
  const folder = `${workshop.folder}/cache-index${keys.length}`;
  const { second, ids } = await roundTrip(
    () => `type=local,dest=${folder},mode=max${keys}`,
    () => `type=local,src=${folder}`,
  );
  expect({ ran: ran(second), cached: cached(second) }).toEqual({ ran: 0, cached: 5 });
  expect(ids[1]).toBe(ids[0]);
  const read = (file: string) => JSON.parse(readFileSync(`${folder}/${file}`, "utf8"));
  const [entry] = read("index.json").manifests;
  expect(entry.mediaType).toBe(type);
  const { manifests } = read(`blobs/sha256/${entry.digest.slice(7)}`);
  expect(manifests[0].mediaType).toContain(layer);
  expect(manifests.at(-1).mediaType).toBe("application/vnd.buildkit.cacheconfig.v0");
});

test("plan and cache why see what a cache elsewhere offers, and fetch nothing of it", async () => {
  const folder = `${workshop.folder}/cache-plan`;
  const one = await machine();
  await one.build("--cache-to", `type=local,dest=${folder},mode=max`);
  const two = await machine();
  const planned = async (...words: readonly string[]): Promise<string> =>
    (await workshop.tsbuild(["--root", two.root, ...words, context])).stdout;
  const outcomes = (text: string): readonly string[] =>
    text
      .split("\n")
      .filter((line) => line.startsWith("Dockerfile:"))
      .map(
        (line) =>
          /MISS|unknown until \S+|hit {3}\w+( in)?/.exec(line.replace(/ {2}in /, " in "))?.[0].replace(/ {3}\w+/, "") ??
          line,
      );
  const from = ["--cache-from", `type=local,src=${folder}`];
  expect(outcomes(await planned("plan"))).toEqual(["MISS", "MISS", "unknown until Dockerfile:2", "MISS", "MISS"]);
  // Files of a stage that is not here cannot be looked at.
  const offered = await planned("cache", "why", ...from);
  expect(outcomes(offered)).toEqual([
    "hit in",
    "hit in",
    "unknown until Dockerfile:2",
    "unknown until Dockerfile:2",
    "unknown until Dockerfile:2",
  ]);
  expect(offered).toContain(`in ${folder}`);
  expect(offered).toContain("until Dockerfile:2 has been fetched");
  using store = openStore(two.root);
  expect(store.cache.list()).toEqual([]);
});

test("a plan goes on over steps that a cache elsewhere has", async () => {
  const folder = `${workshop.folder}/cache-straight`;
  const straight = workshop.context({
    Dockerfile: "FROM b\nWORKDIR /w\nCOPY f /w/\nRUN echo 1 >g\nRUN echo 2 >h\n",
    f: "f",
  });
  const one = await machine();
  const run = (root: string, ...words: readonly string[]) => workshop.tsbuild(["--root", root, ...words, straight]);
  await run(one.root, "build", "--cache-to", `type=local,dest=${folder},mode=max`);
  writeFileSync(`${straight}/Dockerfile`, "FROM b\nWORKDIR /w\nCOPY f /w/\nRUN echo 1 >g\nRUN echo 3 >h\n");
  const two = await machine();
  const { stdout } = await run(two.root, "plan", "--json", "--cache-from", `type=local,src=${folder}`);
  const { steps } = JSON.parse(stdout) as { steps: { outcome: { kind: string; from?: string } }[] };
  expect(steps.map(({ outcome }) => outcome.kind)).toEqual(["offered", "offered", "offered", "miss"]);
  expect(steps[0]?.outcome.from).toBe(folder);
  // And the keys are those that a build computes.
  const built = await run(two.root, "build", "--progress=plain", "--cache-from", `type=local,src=${folder}`);
  expect({ ran: ran(built), cached: cached(built) }).toEqual({ ran: 1, cached: 3 });
});

test("a layer is only fetched when a step hits", async () => {
  const folder = `${workshop.folder}/cache-lazy`;
  const one = await machine();
  await one.build("--cache-to", `type=local,dest=${folder},mode=max`);
  const two = await machine();
  const other = await two.build("--cache-from", `type=local,src=${folder}`, "--target", "unused");
  expect({ ran: ran(other), cached: cached(other) }).toEqual({ ran: 1, cached: 0 });
  using store = openStore(two.root);
  expect(store.cache.list()).toHaveLength(1);
});

test.for([
  {
    name: "a folder that is not there",
    spoil: (folder: string) => rmSync(folder, { recursive: true }),
    what: "no cache from",
  },
  {
    name: "a damaged index",
    spoil: (folder: string) => writeFileSync(`${folder}/index.json`, "{"),
    what: "no cache from",
  },
  {
    name: "damaged layers",
    spoil: (folder: string) => {
      for (const hex of readdirSync(`${folder}/blobs/sha256`)) {
        const file = `${folder}/blobs/sha256/${hex}`;
        if (readFileSync(file)[0] === 0x1f) writeFileSync(file, "broken");
      }
    },
    what: "cannot be had",
  },
])("$name is a warning, and the build goes on", async ({ spoil, what }) => {
  const folder = `${workshop.folder}/cache-broken${machines}`;
  const one = await machine();
  await one.build("--cache-to", `type=local,dest=${folder},mode=max`);
  spoil(folder);
  const two = await machine();
  const second = await two.build("--cache-from", `type=local,src=${folder}`);
  expect(second).toMatchObject({ code: 0, stderr: expect.stringContaining(what) });
  expect(ran(second)).toBe(5);
  expect((await workshop.tsbuild(["--root", two.root, "system", "check"])).stdout).toContain("0 faults");
});

test("an export that fails fails the build, unless errors are ignored", async () => {
  const one = await machine();
  const folder = `${workshop.folder}/taken`;
  execFileSync("mkdir", ["-p", folder]);
  writeFileSync(`${folder}/other`, "");
  const failed = await one.build("--cache-to", `type=local,dest=${folder}`);
  expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining("no OCI layout") });
  const ignored = await one.build("--cache-to", `type=local,dest=${folder},ignore-error=true`);
  expect(ignored).toMatchObject({ code: 0, stderr: expect.stringContaining("warning: the cache was not exported") });
});

test.for([
  { args: ["--cache-to", "type=gha"], code: 1, what: "type=gha is not supported" },
  {
    args: ["--cache-to", "type=local,dest=x,image-manifest=true,oci-mediatypes=false"],
    code: 2,
    what: "needs OCI media types",
  },
  { args: ["--cache-to", "type=local"], code: 2, what: "dest is missing" },
  { args: ["--cache-to", "type=local,dest=x,mode=most"], code: 2, what: "mode must be min or max" },
  { args: ["--cache-from", "type=lokal,src=x"], code: 2, what: "unknown type lokal" },
  { args: ["--cache-from", "type=local,scr=x"], code: 2, what: "no key scr" },
])("$args is refused", async ({ args, code, what }) => {
  const one = await machine();
  expect(await one.build(...args)).toMatchObject({ code, stderr: expect.stringContaining(what) });
});
