/** `tsbuild build` as a user meets it: output, exit codes, the cache, failures, and what is left when it is stopped. */
import { type ChildProcess, execFileSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { sha256 } from "../../src/oci/digest.ts";
import { removeCgroup } from "../../src/runtime/cgroup/cgroup.ts";
import { storeUsage } from "../../src/store/disk-usage.ts";
import { openStore } from "../../src/store/open-store.ts";
import { leftovers, type MachineState, machineState } from "../support/leftovers.ts";
import { needs } from "../support/needs.ts";
import { startTsbuild } from "../support/tsbuild.ts";
import { Workshop } from "./build-support.ts";

const test = needs("root", "busybox-static");
let workshop: Workshop;

beforeAll(async () => {
  workshop = new Workshop();
  await workshop.importBase();
});
afterAll(() => workshop?.[Symbol.dispose]());

const cachedSteps = (stderr: string): number => stderr.split("\n").filter((line) => line.endsWith(" CACHED")).length;
const doneSteps = (stderr: string): number => stderr.split("\n").filter((line) => / DONE \d/.test(line)).length;

/** Until it holds; fails with what was seen last. */
async function until(what: string, holds: () => boolean, deadlineMs = 20_000): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`never happened: ${what}`);
    await wait(10);
  }
}

describe("results", () => {
  test("-q prints the ID and nothing else", async () => {
    const context = workshop.context({ Dockerfile: "FROM scratch\nCOPY a /\n", a: "a" });
    const result = await workshop.tsbuild(["-q", "-t", "quiet:1", context]);
    expect(result).toEqual({ code: 0, stderr: "", stdout: expect.stringMatching(/^sha256:[0-9a-f]{64}\n$/) });
  });

  test("the summary names the image and how to run it", async () => {
    const built = await workshop.build("FROM scratch⏎COPY named /", { named: "n" }, ["-t", "named"]);
    expect(built.stderr).toMatch(
      /built [0-9a-f]{12} as named: 1 step, 1 layer, .*\nrun it with: tsbuild run --rm named\n$/,
    );
    expect(built.stdout).toBe("");
  });

  test("--progress=json prints one event a line", async () => {
    const context = workshop.context({ Dockerfile: "FROM b\nRUN echo json-hello\n" });
    const { stderr } = await workshop.tsbuild(["build", "--progress=json", context]);
    const events = stderr
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events.map((event) => event.kind)).toEqual([
      "plan",
      "stepMiss",
      "stepStarted",
      "stepOutput",
      "stepDone",
      "done",
    ]);
    expect(Buffer.from(events[3].bytes, "base64").toString()).toBe("json-hello\n");
  });

  test("--label comes last and without history, --target builds a part", async () => {
    const file = "FROM b AS one⏎LABEL a=1⏎FROM one AS two⏎RUN false";
    const { image } = await workshop.build(file, {}, ["--label", "a=2", "--target", "one"]);
    expect(image.config.config.Labels).toEqual({ a: "2" });
    expect(image.config.history.at(-1)?.created_by).toBe("LABEL a=1");
  });

  test("history is BuildKit's, and ENV between two copies has the second one's time", async () => {
    const { image } = await workshop.build("FROM scratch⏎COPY a /⏎ENV x=1⏎COPY b /", { a: "a", b: "b" });
    expect(image.config.history.map((entry) => entry.created_by)).toEqual([
      "COPY a / # buildkit",
      "ENV x=1",
      "COPY b / # buildkit",
    ]);
    expect(image.config.history[1]?.created).toBe(image.config.history[2]?.created);
  });
});

describe("the cache", () => {
  test("the second build runs nothing and makes the same image", async () => {
    const context = workshop.context({ a: "a" });
    const file = "FROM b⏎RUN echo cached-twice > /x⏎COPY a /⏎WORKDIR /w";
    const first = await workshop.buildIn(context, file);
    const second = await workshop.buildIn(context, file);
    expect([doneSteps(first.stderr), cachedSteps(second.stderr), doneSteps(second.stderr)]).toEqual([3, 3, 0]);
    expect(second.image.id).toBe(first.image.id);
  });

  test("a touched file hits, and the image keeps the old time", async () => {
    const context = workshop.context({ touched: "t" });
    const first = await workshop.buildIn(context, "FROM scratch⏎COPY touched /");
    utimesSync(`${context}/touched`, 1, 2);
    const second = await workshop.buildIn(context, "FROM scratch⏎COPY touched /");
    expect(second.image.id).toBe(first.image.id);
  });

  test("an edited file misses and is named; what stands before it hits", async () => {
    const context = workshop.context({ "src/a.ts": "1" });
    const file = "FROM b⏎RUN echo before-edit > /x⏎COPY src /src⏎RUN cat /src/a.ts";
    await workshop.buildIn(context, file);
    writeFileSync(`${context}/src/a.ts`, "2");
    const { stderr } = await workshop.buildIn(context, file);
    expect([cachedSteps(stderr), doneSteps(stderr)]).toEqual([1, 2]);
    expect(stderr).toMatch(/a\.ts changed/);
  });

  test("of many files only the changed one is written again; the store still weighs what du says", async () => {
    const names = Array.from({ length: 60 }, (_, number) => `d/f${number}`);
    const context = workshop.context(Object.fromEntries(names.map((name) => [name, name])));
    const file = "FROM b⏎COPY d /d⏎RUN true";
    await workshop.buildIn(context, file);
    writeFileSync(`${context}/d/f7`, "changed");
    const second = await workshop.buildIn(context, file);
    expect(second.image.read("/d/f7")).toBe("changed");
    expect(second.image.read("/d/f8")).toBe("d/f8");
    using store = openStore(workshop.root);
    const copies = store.cache.list().filter(({ instruction }) => instruction === "COPY d /d");
    const inodes = (name: string) =>
      new Set(copies.map(({ layer }) => lstatSync(`${store.layers.tree(layer)}/d/${name}`).ino));
    expect(copies.length).toBeGreaterThanOrEqual(2);
    expect(inodes("f7").size).toBe(inodes("f8").size + 1);
    const usage = storeUsage(store);
    const du = Number(execFileSync("du", ["-s", "-B1", workshop.root], { encoding: "utf8" }).split("\t")[0]);
    expect(Math.abs(usage.total - du)).toBeLessThanOrEqual(du / 100);
    expect(usage.metadata).toBeGreaterThan(0);
    expect((await workshop.tsbuild(["system", "check"])).stdout).toContain("0 faults");
  });

  test("many files that no step stands on are one file of the store, until somebody looks into the layer", async () => {
    const names = Array.from({ length: 60 }, (_, number) => `d/f${number}`);
    const context = workshop.context(Object.fromEntries(names.map((name) => [name, name])));
    const dockerfile = 'FROM b\nCOPY d /folded\nCMD ["cat", "/folded/f7"]\n';
    const id = (await workshop.tsbuild(["build", "-q", "-f", "-", context], dockerfile)).stdout.trim();
    const layerFiles = (): readonly string[] => {
      using store = openStore(workshop.root);
      return readdirSync(`${workshop.root}/layers/${store.images.lookup(id).chain.at(-1)}`).sort();
    };
    const saved = async (): Promise<string> => {
      const file = `${workshop.root}.tar`;
      await workshop.tsbuild(["save", "-o", file, id]);
      return sha256(readFileSync(file));
    };
    const before = await saved();
    expect(layerFiles()).toEqual(["exact", "index", "tar"]);
    expect((await workshop.tsbuild(["run", "--rm", "--network=none", id])).stdout).toBe("d/f7");
    expect(layerFiles()).toEqual(["index", "tree"]);
    expect(await saved()).toBe(before);
    rmSync(`${workshop.root}.tar`);
    expect((await workshop.tsbuild(["system", "check"])).stdout).toContain("0 faults");
  });

  test.for([
    { name: "a comment", first: "FROM b⏎RUN echo c1", second: "# a note⏎FROM b⏎RUN echo c1", hit: true },
    { name: "a label above", first: "FROM b⏎LABEL a=1⏎RUN echo c2", second: "FROM b⏎LABEL a=2⏎RUN echo c2", hit: true },
    {
      name: "exec form of the same",
      first: "FROM b⏎RUN echo c3",
      second: 'FROM b⏎RUN ["/bin/sh","-c","echo c3"]',
      hit: true,
    },
    {
      name: "a declared ARG's other value",
      first: "FROM b⏎ARG N=1⏎RUN echo c4",
      second: "FROM b⏎ARG N=2⏎RUN echo c4",
      hit: false,
    },
    { name: "another USER", first: "FROM b⏎RUN echo c5", second: "FROM b⏎USER bob⏎RUN echo c5", hit: false },
    {
      name: "another heredoc body",
      first: "FROM b⏎RUN <<E⏎echo c6⏎E",
      second: "FROM b⏎RUN <<E⏎echo c6x⏎E",
      hit: false,
    },
  ])("$name: hit = $hit", async ({ first, second, hit }) => {
    const context = workshop.context({});
    await workshop.buildIn(context, first);
    expect(cachedSteps((await workshop.buildIn(context, second)).stderr)).toBe(hit ? 1 : 0);
  });

  test("an equal file from another folder hits", async () => {
    const context = workshop.context({ "a/x": "same", "b/x": "same" });
    await workshop.buildIn(context, "FROM scratch⏎COPY a/x /f");
    expect(cachedSteps((await workshop.buildIn(context, "FROM scratch⏎COPY b/x /f")).stderr)).toBe(1);
  });

  test("a step that ran again and made the same files leaves what stands on it cached, bit for bit", async () => {
    const context = workshop.context({ seed: "1" });
    const file = "FROM b⏎RUN --mount=target=/m cat /m/seed > /dev/null; echo made > /made⏎RUN echo above > /above";
    const first = await workshop.buildIn(context, file);
    writeFileSync(`${context}/seed`, "2");
    const second = await workshop.buildIn(context, file);
    expect([doneSteps(second.stderr), cachedSteps(second.stderr)]).toEqual([1, 1]);
    expect(second.image.id).toBe(first.image.id);
  });

  test("--no-cache runs every step again", async () => {
    const context = workshop.context({});
    const file = "FROM b⏎RUN echo again > /x⏎RUN echo again2 > /y";
    await workshop.buildIn(context, file);
    const { stderr } = await workshop.buildIn(context, file, ["--no-cache"]);
    expect([doneSteps(stderr), cachedSteps(stderr)]).toEqual([2, 0]);
  });

  test("a file beside what a bind mount shows does not matter, the file itself does", async () => {
    const context = workshop.context({ "s/x": "1", "t/y": "1" });
    const file = "FROM b⏎RUN --mount=type=bind,source=s,target=/m cat /m/x > /bound";
    await workshop.buildIn(context, file);
    writeFileSync(`${context}/t/y`, "2");
    expect(cachedSteps((await workshop.buildIn(context, file)).stderr)).toBe(1);
    writeFileSync(`${context}/s/x`, "2");
    const { stderr, image } = await workshop.buildIn(context, file);
    expect([cachedSteps(stderr), image.read("/bound")]).toEqual([0, "2"]);
  });

  test("a named context takes the place of a stage, with an ignore file of its own", async () => {
    const other = workshop.context({ keep: "k", drop: "d", ".dockerignore": "drop\n.dockerignore" });
    const file = "FROM scratch AS s⏎COPY nothing-here /⏎FROM scratch⏎COPY --from=s / /";
    const { image } = await workshop.build(file, {}, ["--build-context", `s=${other}`]);
    expect(image.layers).toEqual([["keep"]]);
  });

  test("--link survives a changed base", async () => {
    const context = workshop.context({ f: "linked" });
    await workshop.buildIn(context, "FROM b⏎RUN echo base1 > /base⏎COPY --link f /f");
    const { stderr, image } = await workshop.buildIn(context, "FROM b⏎RUN echo base2 > /base⏎COPY --link f /f");
    expect(cachedSteps(stderr)).toBe(1);
    expect([image.read("/base"), image.read("/f")]).toEqual(["base2\n", "linked"]);
  });
});

describe("scheduling", () => {
  test("independent stages run side by side", async () => {
    const stage = (n: number): string => `FROM b AS s${n}⏎RUN sleep 1; echo ${n} > /f`;
    const file = `${stage(1)}⏎${stage(2)}⏎${stage(3)}⏎FROM scratch⏎COPY --from=s1 /f /1⏎COPY --from=s2 /f /2⏎COPY --from=s3 /f /3`;
    const started = performance.now();
    const { image } = await workshop.build(file);
    expect(performance.now() - started).toBeLessThan(2900);
    expect(image.read("/3")).toBe("3\n");
  });

  test("equal steps of two stages run once", async () => {
    const file =
      "FROM b AS a⏎RUN echo once-only; echo 1 > /f⏎FROM b AS c⏎RUN echo once-only; echo 1 > /f⏎FROM scratch⏎COPY --from=a /f /1⏎COPY --from=c /f /2";
    const { stderr, image } = await workshop.build(file);
    expect(stderr.split("\n").filter((line) => /\d once-only$/.test(line))).toHaveLength(1);
    expect(image.read("/2")).toBe("1\n");
  });

  test("two builds of the same file at once: each step runs once, both make the same image", async () => {
    const context = workshop.context({ f: "f" });
    const file = "FROM b⏎RUN sleep 0.5; echo two-at-once; date +%N > /t⏎COPY f /⏎RUN echo second > /s";
    const built = await Promise.all([1, 2].map(() => workshop.buildIn(context, file)));
    expect(built[0]?.image.id).toBe(built[1]?.image.id);
    expect(built.map(({ stderr }) => doneSteps(stderr)).reduce((a, b) => a + b)).toBe(3);
  });
});

describe("failures", () => {
  test("a failing step is reported with its output, its line, its exit code; exit 1; no image", async () => {
    const file = "FROM b⏎RUN echo fine-before⏎RUN echo last words; exit 7⏎RUN echo never";
    const built = await workshop.build(file, {}, ["-t", "failing"]);
    expect(built.code).toBe(1);
    expect(built.stderr).toContain("last words");
    expect(built.stderr).toMatch(/^ +3 \| >>> RUN echo last words; exit 7$/m);
    expect(built.stderr).toContain(
      'ERROR: process "/bin/sh -c echo last words; exit 7" did not complete successfully: exit code: 7',
    );
    expect(built.stderr).not.toContain("never before");
    expect((await workshop.tsbuild(["inspect", "failing"])).code).toBe(1);
  });

  test("what succeeded before stays cached, the failed tree is kept apart", async () => {
    const file = "FROM b⏎RUN echo kept-before > /k⏎RUN echo partial > /partial; exit 3";
    await workshop.build(file);
    const again = await workshop.build(file);
    expect(cachedSteps(again.stderr)).toBe(1);
    const kept = /its files are kept in (\S+)/.exec(again.stderr)?.[1] ?? "";
    expect(readFileSync(`${kept}/partial`, "utf8")).toBe("partial\n");
  });

  test("a command that is not there is named", async () => {
    const built = await workshop.build('FROM b⏎RUN ["/no/such/command"]');
    expect(built.code).toBe(1);
    expect(built.stderr).toContain("/no/such/command");
  });

  test("steps that run beside the failing one are canceled, and said to be", async () => {
    const file =
      "FROM b AS slow⏎RUN sleep 30⏎FROM b AS bad⏎RUN sleep 0.3; exit 2⏎FROM scratch⏎COPY --from=slow / /⏎COPY --from=bad / /";
    const started = performance.now();
    const built = await workshop.build(file, {}, ["--jobs", "2"]);
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(built.stderr).toMatch(/^#\d+ \[slow 2\/2\] CANCELED$/m);
    expect(built.stderr).toContain("exit code: 2");
  });

  test("a source that is not there fails at its line", async () => {
    const built = await workshop.build("FROM scratch⏎COPY nothing /");
    expect([built.code, built.stderr]).toEqual([1, expect.stringContaining("nothing")]);
    expect(built.stderr).toMatch(/:2:\d+: |^ +2 \| >>>/m);
  });
});

describe("what cannot be built", () => {
  test("a full disk is one line that says so, at the step; and nothing is half there", async () => {
    const small = `${workshop.folder}/small`;
    mkdirSync(small);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tsbuild-test", small]);
    try {
      const context = workshop.context({ Dockerfile: "FROM scratch\nCOPY big /\n", big: "x".repeat(6_000_000) });
      const result = await workshop.tsbuild(["--root", `${small}/store`, "--progress=plain", context]);
      expect([result.code, result.stderr]).toEqual([
        1,
        expect.stringContaining(`no space left for the store at ${small}`),
      ]);
      expect(readdirSync(`${small}/store/layers`)).toEqual([]);
      writeFileSync(`${context}/big`, "small");
      expect((await workshop.tsbuild(["--root", `${small}/store`, "-q", context])).code).toBe(0);
    } finally {
      execFileSync("umount", [small]);
    }
  });

  test("ADD of a URL: mode 0600, the server's time, never unpacked", async () => {
    const folder = workshop.context({ f: "x" });
    const archive = execFileSync("tar", ["-cf", "-", "-C", folder, "f"]);
    const server = createServer((_, response) => {
      response.writeHead(200, { "last-modified": "Thu, 01 Jan 2015 00:00:00 GMT" }).end(archive);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      // What `listen` on a port gives.
      const { port } = server.address() as AddressInfo;
      const add = `ADD http://127.0.0.1:${port}/a.tar`;
      const lines = `FROM b⏎${add} /d/⏎RUN stat -c '%a %u %Y %n' /d/*⏎ADD --unpack${add.slice(3)} /u/⏎RUN ls /u`;
      const built = await workshop.build(lines, {}, ["--no-cache"]);
      expect(built.stderr).toContain("600 0 1420070400 /d/a.tar\n");
      expect(built.stderr).toMatch(/\[5\/5\] [\d.]+ f\n/);
    } finally {
      server.close();
    }
    const missing = await workshop.build("FROM b⏎ADD http://127.0.0.1:1/x /");
    expect([missing.code, missing.stderr]).toEqual([
      1,
      expect.stringMatching(/:2:1: error: cannot fetch http:\/\/127\.0\.0\.1:1\/x: ECONNREFUSED/),
    ]);
  });

  test("a secret that nobody mounts is a warning", async () => {
    const context = workshop.context({ Dockerfile: "FROM scratch\n", s: "s" });
    const { stderr } = await workshop.tsbuild(["--progress=plain", "--secret", `id=unused,src=${context}/s`, context]);
    expect(stderr).toContain("warning: no RUN mounts the secret unused");
  });

  test("an out-of-memory kill is named with its limit", async () => {
    const built = await workshop.build("FROM b⏎RUN tail /dev/zero", {}, ["-m", "20m"]);
    expect(built.stderr).toMatch(/exit code: 137\n {3}killed: out of memory \(limit 20 MiB\)/);
  });
});

describe("being stopped", () => {
  const mark = `e2e-${process.pid}`;
  const cgroupParent = `/tsbuild-test-${process.pid}`;
  const run = (context: string, ...flags: readonly string[]): ChildProcess =>
    startTsbuild(["build", "--progress=plain", "--cgroup-parent", cgroupParent, ...flags, context], {
      env: { TSBUILD_ROOT: workshop.root, TSBUILD_TEST_RUN: mark },
    });
  /** Of these tests alone: others may run containers at the same time. */
  const left = (before: MachineState): readonly string[] =>
    leftovers(before, mark).filter(
      (line) =>
        [mark, cgroupParent, workshop.folder].some((ours) => line.includes(ours)) || line.startsWith("process "),
    );

  afterAll(() => removeCgroup(cgroupParent));

  test("Ctrl-C ends every process of the build within a second and leaves nothing", async () => {
    const before = machineState();
    const child = run(workshop.context({ Dockerfile: "FROM b\nRUN echo started; sleep 100 & sleep 100\n" }));
    let stderr = "";
    child.stderr?.on("data", (bytes: Buffer) => {
      stderr += bytes;
    });
    await until("the step says it has started", () => stderr.includes("started"));
    const stopped = performance.now();
    child.kill("SIGINT");
    const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
    expect(performance.now() - stopped).toBeLessThan(1000);
    expect(code).toBe(130);
    expect(stderr).toMatch(/CANCELED\n/);
    expect(stderr).not.toMatch(/defect|\n {4}at /);
    // The last user of the build network hands its removal to a child and does not wait for the kernel.
    await expect.poll(() => left(before).filter((line) => !line.endsWith(cgroupParent)), { timeout: 1000 }).toEqual([]);
    expect(readdirSync(`${workshop.root}/tmp`)).toEqual([]);
  });

  test("a build killed with -9 at random moments leaves a store that checks out, and no mount or process", async () => {
    const before = machineState();
    const context = workshop.context({
      Dockerfile: "FROM b\nCOPY f /\nRUN echo a > /a\nRUN echo b > /b; sleep 0.05\nRUN rm /a\n",
      f: "f",
    });
    for (let round = 0; round < 12; round++) {
      const child = run(context, "--no-cache");
      const closed = new Promise((resolve) => child.on("close", resolve));
      await wait(40 + Math.random() * 400);
      child.kill("SIGKILL");
      await closed;
    }
    // The next build takes away what the killed ones had no time for.
    const child = run(context);
    expect(await new Promise((resolve) => child.on("close", resolve))).toBe(0);
    const rest = (): readonly string[] => left(before).filter((line) => !line.endsWith(cgroupParent));
    await until("nothing is left", () => rest().length === 0).catch(() => expect(rest()).toEqual([]));
    const check = await workshop.tsbuild(["system", "check"]);
    expect({ code: check.code, stderr: check.stderr }).toEqual({ code: 0, stderr: "" });
    expect(existsSync(`${workshop.root}/locks`) ? readdirSync(`${workshop.root}/locks`) : []).toEqual([]);
  });
});

test("every byte of a long log arrives", async () => {
  const { stderr } = await workshop.build("FROM b⏎RUN seq 1 200000", {}, ["--no-cache"]);
  expect(stderr.split("\n").filter((line) => /^#1 \[2\/2\] \d+\.\d+ \d+$/.test(line))).toHaveLength(200_000);
});
