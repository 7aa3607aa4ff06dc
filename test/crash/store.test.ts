import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, writeFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { cacheKeyOf, sha256 } from "../../src/oci/digest.ts";
import { checkStore } from "../../src/store/check.ts";
import { openStore } from "../../src/store/open-store.ts";
import type { Store } from "../../src/store/store.ts";
import { imageConfig, keep, makeLayer, never } from "../support/layers.ts";
import { needs } from "../support/needs.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";

const test = needs("root");

const child = fileURLToPath(new URL("./store-child.ts", import.meta.url));

interface Run {
  readonly reported: readonly string[];
  readonly finished: boolean;
}

function runUntil(root: string, scenario: string, point: number): Run {
  const { stdout, status, signal, stderr } = spawnSync(process.execPath, [child, root, scenario, `${point}`], {
    encoding: "utf8",
  });
  if (signal !== "SIGKILL" && status !== 0) throw new Error(stderr);
  return { reported: stdout.trim().split("\n"), finished: status === 0 };
}

/** Sound, swept, and nothing that was reported is lost. */
async function expectWhole(root: string, reported: readonly string[]): Promise<void> {
  openStore(root)[Symbol.dispose]();
  expect(readdirSync(`${root}/tmp`)).toEqual([]);
  using store = openStore(root);
  expect((await checkStore(store, { signal: never })).faults).toEqual([]);
  for (const line of reported) {
    const [what, name = ""] = line.split(" ");
    if (what === "record") expect(store.cache.find(cacheKeyOf(sha256(name)))?.instruction).toBe(`RUN ${name}`);
    if (what === "image") expect(store.images.find(name)?.id).toBe(name);
    if (what === "tag") expect(store.images.find(name)).toBeDefined();
    if (what === "removed")
      expect([store.images.list(), readdirSync(`${root}/layers`), readdirSync(`${root}/blobs/sha256`)]).toEqual([
        [],
        [],
        [],
      ]);
  }
}

async function fill(store: Store): Promise<void> {
  for (const name of ["a", "b"]) {
    const chain = await makeLayer(store, [], (upper) => writeFileSync(`${upper}/f`, name));
    keep(store, chain, name);
    store.images.add({ config: imageConfig(store, chain), chain });
  }
}

// Every point has been tried; each takes some hundred milliseconds, so the suite takes some of them.
test.for([
  { scenario: "seal", step: 3 },
  { scenario: "fold", step: 2 },
  { scenario: "add", step: 5 },
  { scenario: "remove", step: 3 },
])(
  "killed in front of a change of the scenario $scenario, the store stays whole",
  { timeout: 180_000 },
  async ({ scenario, step }) => {
    using folder = temporaryTestFolder("files");
    let finished = false;
    let point = 1;
    for (; !finished; point += step) {
      const root = `${folder.path}/${point}`;
      if (scenario === "remove") {
        using store = openStore(root);
        await fill(store);
      }
      const run = runUntil(root, scenario, point);
      await expectWhole(root, run.reported);
      finished = run.finished;
    }
    expect(point).toBeGreaterThan(25);
  },
);

test("killed at random moments while a large tree is sealed and unpacked in workers, the store stays whole", async () => {
  using folder = temporaryTestFolder("files");
  const root = `${folder.path}/root`;
  openStore(root)[Symbol.dispose]();
  const script = `
    import { writeFileSync, statSync } from "node:fs";
    const { openStore } = await import(${JSON.stringify(new URL("../../src/store/open-store.ts", import.meta.url).href)});
    const { makeLayer, keep, addTar, never } = await import(${JSON.stringify(new URL("../support/layers.ts", import.meta.url).href)});
    using store = openStore(process.argv[1]);
    for (let i = 0; ; i++) {
      const chain = await makeLayer(store, [], (upper) => {
        for (let f = 0; f < 300; f++) writeFileSync(upper + "/f" + f, process.pid + "x".repeat(f * 20));
      });
      using folder = store.temporaryFolder("again");
      await store.layers.writeTar(chain[0], folder.path + "/t", never);
      await addTar(store, folder.path + "/t", chain);
      if (i % 2 === 0) keep(store, chain, process.pid + " " + i);
    }`;
  for (let i = 0; i < 8; i++) {
    const process_ = spawn(process.execPath, ["--input-type=module", "-e", script, root], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    const exit = once(process_, "exit");
    await setTimeout(150 + Math.random() * 500);
    process_.kill("SIGKILL");
    expect(await exit).toEqual([null, "SIGKILL"]);
    await expectWhole(root, []);
  }
}, 120_000);

test("four processes seal, add and remove on one store, and it stays whole", async () => {
  using folder = temporaryTestFolder("files");
  const root = `${folder.path}/root`;
  const script = `
    import { writeFileSync } from "node:fs";
    const { openStore } = await import(${JSON.stringify(new URL("../../src/store/open-store.ts", import.meta.url).href)});
    const { makeLayer, keep, addTar, imageConfig, writeBytes } = await import(${JSON.stringify(new URL("../support/layers.ts", import.meta.url).href)});
    const { rawTar } = await import(${JSON.stringify(new URL("../support/raw-tar.ts", import.meta.url).href)});
    using store = openStore(process.argv[1]);
    for (let i = 0; i < 8; i++) {
      using folder = store.temporaryFolder("in");
      const file = writeBytes(folder.path + "/t", rawTar([{ name: "f", type: "0", content: "shared " + i }]));
      const base = [await addTar(store, file, [])];
      const chain = await makeLayer(store, base, (upper) => writeFileSync(upper + "/f", "same " + i));
      keep(store, chain, "step " + i);
      const { id } = store.images.add({ config: imageConfig(store, chain), chain });
      if (i % 2 === 1) store.images.remove(id);
      if (i % 3 === 2) store.cache.remove(store.cache.list().slice(-1).map((record) => record.key));
    }`;
  const processes = Array.from({ length: 4 }, () =>
    spawn(process.execPath, ["--input-type=module", "-e", script, root], { stdio: ["ignore", "ignore", "inherit"] }),
  );
  const codes = await Promise.all(processes.map(async (one) => (await once(one, "exit"))[0]));
  expect(codes).toEqual([0, 0, 0, 0]);
  await expectWhole(root, []);
}, 120_000);
