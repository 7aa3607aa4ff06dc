import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { expect } from "vitest";
import { TsbuildError } from "../../src/errors.ts";
import { checkStore } from "../../src/store/check.ts";
import { diskUsage, storeUsage } from "../../src/store/disk-usage.ts";
import { openStore } from "../../src/store/open-store.ts";
import { imageConfig, keep, makeLayer, never } from "../support/layers.ts";
import { needs } from "../support/needs.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";
import { temporaryStore } from "../support/temporary-store.ts";

const test = needs("root");

function failure(action: () => unknown): TsbuildError {
  try {
    action();
  } catch (error) {
    if (error instanceof TsbuildError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

test("a new store is an OCI image layout that only its owner can enter", () => {
  using temporary = temporaryStore();
  expect(statSync(temporary.root).mode & 0o7777).toBe(0o700);
  expect(readdirSync(temporary.root).toSorted()).toEqual(
    expect.arrayContaining(["blobs", "index.json", "layers", "oci-layout", "store.db", "tmp"]),
  );
});

test("a root that is a file", () => {
  using folder = temporaryTestFolder("files");
  writeFileSync(`${folder.path}/f`, "");
  const error = failure(() => openStore(`${folder.path}/f`));
  expect(error).toMatchObject({ code: "STORE_UNAVAILABLE", where: { path: `${folder.path}/f` } });
  expect(error.message).toContain("not a directory");
});

test("a root below a file", () => {
  using folder = temporaryTestFolder("files");
  writeFileSync(`${folder.path}/f`, "");
  for (const path of ["f/root", "f/a/b"])
    expect(failure(() => openStore(`${folder.path}/${path}`))).toMatchObject({
      code: "STORE_UNAVAILABLE",
      message: expect.stringContaining("ENOTDIR"),
    });
});

test("another folder with content is left as it is", () => {
  using folder = temporaryTestFolder("files");
  writeFileSync(`${folder.path}/precious`, "");
  chmodSync(folder.path, 0o755);
  expect(failure(() => openStore(folder.path))).toMatchObject({ code: "STORE_UNAVAILABLE" });
  expect(readdirSync(folder.path)).toEqual(["precious"]);
  expect(statSync(folder.path).mode & 0o777).toBe(0o755);
});

test("a read-only file system", () => {
  using folder = temporaryTestFolder("files");
  const mount = `${folder.path}/m`;
  mkdirSync(mount);
  execFileSync("mount", ["-t", "tmpfs", "tmpfs", mount]);
  try {
    openStore(`${mount}/made`)[Symbol.dispose]();
    execFileSync("mount", ["-o", "remount,ro", mount]);
    for (const path of [`${mount}/new`, `${mount}/made`]) {
      const error = failure(() => openStore(path));
      expect(error).toMatchObject({ code: "READ_ONLY", where: { path } });
      expect(error.hint).toContain("--root");
    }
  } finally {
    execFileSync("umount", [mount]);
  }
});

test("no permission", () => {
  using temporary = temporaryStore();
  const script = `
    process.setuid(65534);
    const { openStore } = await import(${JSON.stringify(new URL("../../src/store/open-store.ts", import.meta.url).href)});
    try { openStore(process.argv[1]); } catch (error) { console.log(error.code, error.message); }`;
  chmodSync(temporary.folder, 0o755);
  const out = execFileSync(process.execPath, ["--input-type=module", "-e", script, temporary.root], {
    encoding: "utf8",
  });
  expect(out).toBe("PERMISSION_DENIED no permission to use this store\n");
});

test("a full disk", () => {
  using folder = temporaryTestFolder("files");
  const mount = `${folder.path}/m`;
  mkdirSync(mount);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=16k", "tmpfs", mount]);
  try {
    const error = failure(() => openStore(`${mount}/root`));
    expect(error).toMatchObject({ code: "NO_SPACE" });
    expect(error.hint).toContain("prune");
  } finally {
    execFileSync("umount", [mount]);
  }
});

test("a store of a newer format", () => {
  using temporary = temporaryStore();
  temporary.store[Symbol.dispose]();
  const db = new DatabaseSync(`${temporary.root}/store.db`);
  db.exec("PRAGMA user_version = 999");
  db.close();
  const error = failure(() => openStore(temporary.root));
  expect(error).toMatchObject({ code: "STORE_UNAVAILABLE" });
  expect(error.message).toContain("format 999");
});

test("a database that is noise", () => {
  using folder = temporaryTestFolder("files");
  writeFileSync(`${folder.path}/store.db`, Buffer.alloc(8192, "noise"));
  expect(failure(() => openStore(folder.path))).toMatchObject({ code: "STORE_CORRUPT" });
});

test("eight processes make one store at once", async () => {
  using folder = temporaryTestFolder("files");
  const source = new URL("../../src/store/open-store.ts", import.meta.url).href;
  const script = `const { openStore } = await import(${JSON.stringify(source)}); openStore(process.argv[1]).memo.set("k" + process.pid, Buffer.from("v"));`;
  const children = Array.from({ length: 8 }, () =>
    spawn(process.execPath, ["--input-type=module", "-e", script, `${folder.path}/root`], {
      stdio: ["ignore", "ignore", "inherit"],
    }),
  );
  const codes = await Promise.all(children.map(async (child) => (await once(child, "exit"))[0]));
  expect(codes).toEqual(Array(8).fill(0));
  using store = openStore(`${folder.path}/root`);
  expect((await checkStore(store, { signal: never })).faults).toEqual([]);
});

test("a temporary folder goes with its block, and one of a living process is not swept", () => {
  using temporary = temporaryStore();
  using folder = temporary.store.temporaryFolder("test");
  using other = openStore(temporary.root);
  expect(other.root).toBe(temporary.root);
  expect(existsSync(folder.path)).toBe(true);
});

test("what a lease holds is not collected, and goes when the lease ends", async () => {
  using temporary = temporaryStore();
  const chain = await makeLayer(temporary.store, [], (upper) => writeFileSync(`${upper}/f`, "f"));
  keep(temporary.store, chain);
  const store = temporary.reopen();
  const [record] = store.cache.list();
  {
    using lease = store.lease("build");
    lease.addLayers(chain);
    using other = openStore(temporary.root);
    other.cache.remove(record === undefined ? [] : [record.key]);
    expect(other.layers.get(chain[0] as never).id).toBe(chain[0]);
  }
  expect(store.collect()).toMatchObject({ layers: 1 });
  expect(() => store.lease("late").addLayers(chain)).toThrow(TsbuildError);
});

test("what a container has pinned survives processes and a removed image", async () => {
  using temporary = temporaryStore();
  const chain = await makeLayer(temporary.store, [], (upper) => writeFileSync(`${upper}/f`, "f"));
  const { id } = temporary.store.images.add({ config: imageConfig(temporary.store, chain), chain });
  temporary.store.pin("container-1", id, chain);
  const store = temporary.reopen();
  expect(store.pinnedBy(id)).toEqual(["container-1"]);
  store.images.remove(id);
  expect(readdirSync(`${temporary.root}/layers`)).toEqual(chain);
  store.unpin("container-1");
  expect(store.collect()).toMatchObject({ layers: 1 });
});

test("the parts of the store's weight add up to what du says", async () => {
  using temporary = temporaryStore();
  const { store } = temporary;
  const chain = await makeLayer(store, [], (upper) => {
    for (let i = 0; i < 50; i++) writeFileSync(`${upper}/f${i}`, "x".repeat(i * 1000));
  });
  store.images.add({ config: imageConfig(store, chain), chain });
  const usage = storeUsage(store);
  const du = Number(execFileSync("du", ["-s", "--block-size=1", temporary.root], { encoding: "utf8" }).split("\t")[0]);
  expect(usage.total).toBe(du);
  expect(usage.layers.get(chain[0] as never)).toBe(diskUsage(`${temporary.root}/layers/${chain[0]}`));
  expect(usage.metadata).toBeGreaterThan(0);
});
