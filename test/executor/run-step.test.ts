import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RunPlace, runStep } from "../../src/executor/run-step.ts";
import { sha256 } from "../../src/oci/digest.ts";
import type { RunInput, RunMount, Unkeyed } from "../../src/planner/build-graph.ts";
import type { ExitStatus } from "../../src/runtime/driver.ts";
import { createDriver } from "../../src/runtime/drivers/create-driver.ts";
import { BuildNetworks } from "../../src/runtime/network/build-network.ts";
import { openStore } from "../../src/store/open-store.ts";
import type { Store } from "../../src/store/store.ts";
import { busyboxTree } from "../support/busybox-rootfs.ts";
import { buildLauncherOnce, canRunContainers } from "../support/container.ts";

import { sourceOf } from "./selection-of.ts";

let folder: string;
let base: string;
let store: Store;

beforeAll(() => {
  if (!canRunContainers) return;
  buildLauncherOnce();
  folder = mkdtempSync("/tmp/tsbuild-test-run-");
  base = `${folder}/base`;
  busyboxTree(base);
  store = openStore(`${folder}/store`);
});
afterAll(() => {
  if (!canRunContainers) return;
  store[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});

const plain: RunInput = {
  kind: "run",
  argv: ["true"],
  env: [],
  cwd: "/",
  user: "",
  network: "none",
  security: "sandbox",
  hostname: "buildkitsandbox",
  extraHostNames: [],
  ulimits: [],
  devices: [],
  mounts: [],
  scripts: [],
};
const nothing: Unkeyed = { proxies: [], extraHosts: [], limits: {} };

interface Ran {
  readonly status: ExitStatus;
  readonly output: string;
  /** What the step left in its layer, folders with a slash. */
  readonly layer: readonly string[];
}

async function run(
  command: string | readonly string[],
  input: Partial<RunInput> = {},
  more: { readonly place?: Partial<RunPlace>; readonly unkeyed?: Partial<Unkeyed> } = {},
): Promise<Ran> {
  const chunks: Uint8Array[] = [];
  await using snapshot = store.layers.prepare([]);
  using networks = new BuildNetworks(
    () => store.temporaryFolder("network"),
    (note) => chunks.push(Buffer.from(note)),
  );
  const argv = typeof command === "string" ? ["/bin/sh", "-c", command] : command;
  const status = await runStep(
    { ...plain, argv, ...input },
    { ...nothing, ...more.unkeyed },
    {
      driver: createDriver("native"),
      networks,
      snapshot,
      lowerdirs: [base],
      sharedDir: store.runtimeFolder,
      cacheMountsFolder: store.cacheMountsFolder,
      secrets: new Map(),
      ssh: new Map(),
      devices: [],
      trees: async () => [],
      context: async () => ({ path: folder }),
      filling: () => undefined,
      onOutput: (_, bytes) => void chunks.push(bytes),
      signal: new AbortController().signal,
      ...more.place,
    },
  );
  return { status, output: Buffer.concat(chunks).toString(), layer: below(snapshot.upperdir, "") };
}

function below(root: string, inside: string): readonly string[] {
  return readdirSync(`${root}/${inside}`)
    .sort()
    .flatMap((name) => {
      const path = `${inside}${name}`;
      return lstatSync(`${root}/${path}`).isDirectory() ? [`${path}/`, ...below(root, `${path}/`)] : [path];
    });
}

describe.skipIf(!canRunContainers)("the environment of a RUN", () => {
  test("output and exit code arrive; the layer holds what was written and the runtime's three folders", async () => {
    const ran = await run("echo out; echo err >&2; echo x >/etc/new; exit 7");
    expect(ran.status.code).toBe(7);
    expect(ran.output.split("\n").sort()).toEqual(["", "err", "out"]);
    expect(ran.layer).toEqual(["dev/", "etc/", "etc/new", "proc/", "sys/"]);
  });

  test("the default network is a bridge of ours, not the host's network", async () => {
    const { output, status } = await run("cat /sys/class/net/eth0/address && ls /sys/class/net", {
      network: "default",
    });
    expect(output).toMatch(/^02:42:/);
    expect(output).not.toContain("tsbuild0");
    expect(status.code).toBe(0);
  });

  test("where there can be no bridge the host's network takes its place, and a note says so", async () => {
    const notes: string[] = [];
    using networks = new BuildNetworks(
      () => store.temporaryFolder("network"),
      (note) => notes.push(note),
      { bridge: "longer-than-links-may-be", table: "tsbuild_test", stateDir: `${folder}/network` },
    );
    const { output } = await run("ls /sys/class/net", { network: "default" }, { place: { networks } });
    expect(notes).toEqual(["RUN uses the host's network: removing the link longer-than-links-may-be: ERANGE"]);
    for (const link of readdirSync("/sys/class/net")) expect(output).toContain(link);
  });

  test("a base with the runtime's folders gets an empty layer", async () => {
    const full = `${folder}/full`;
    mkdirSync(full);
    for (const name of ["dev", "proc", "sys"]) mkdirSync(`${full}/${name}`);
    expect((await run("true", {}, { place: { lowerdirs: [base, full] } })).layer).toEqual([]);
  });

  test.for([
    {
      name: "PATH only if absent",
      env: ["A=1"],
      says: ["A=1", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"],
    },
    { name: "an empty HOME counts as none", env: ["PATH=/bin", "HOME="], says: ["PATH=/bin", "HOME=/root"] },
    { name: "a HOME that is set stays", env: ["PATH=/bin", "HOME=/h"], says: ["PATH=/bin", "HOME=/h"] },
  ])("environment: $name", async ({ env, says }) => {
    expect((await run(["/bin/env"], { env })).output.trim().split("\n")).toEqual(says);
  });

  test("proxies are in the environment, and HOME is that of the user", async () => {
    const { output } = await run(
      ["/bin/env"],
      { env: ["PATH=/bin"], user: "bob" },
      { unkeyed: { proxies: ["http_proxy=p"] } },
    );
    expect(output.trim().split("\n")).toEqual(["PATH=/bin", "http_proxy=p", "HOME=/home/bob"]);
  });

  test.for([
    ["", "uid=0(root) gid=0(root) groups=0(root)"],
    ["bob", "uid=1000(bob) gid=1000(bob) groups=50(staff),1000(bob)"],
    ["2000", "uid=2000 gid=0(root) groups=0(root)"],
    ["33:33", "uid=33 gid=33 groups=33"],
  ] as const)("user %j is %s", async ([user, says]) => {
    const { output } = await run("id", { user });
    const [ids = "", groups = ""] = output.trim().split(" groups=");
    expect(
      `${ids} groups=${groups
        .split(",")
        .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
        .join(",")}`,
    ).toBe(says);
  });

  test("an unknown user fails by name", async () => {
    await expect(run("true", { user: "nobody2" })).rejects.toMatchObject({ code: "USER_NOT_FOUND" });
  });

  test("a missing workdir is made, owned by the user, through links of the image", async () => {
    const linked = `${folder}/linked`;
    mkdirSync(`${linked}/real`, { recursive: true });
    symlinkSync("/real", `${linked}/w`);
    const ran = await run(
      "pwd; stat -c %U:%a .",
      { cwd: "/w/a/b", user: "bob" },
      { place: { lowerdirs: [base, linked] } },
    );
    expect(ran.output).toBe("/real/a/b\nbob:755\n");
    expect(ran.layer).toContain("real/a/b/");
  });

  test("stdin is an empty pipe, the umask 0022, the hostname fixed, pid 1 the command itself", async () => {
    const { output } = await run("test -p /dev/stdin && cat /dev/stdin && umask; hostname; echo $$", { user: "bob" });
    expect(output).toBe("0022\nbuildkitsandbox\n1\n");
  });

  test("hosts and resolv.conf are there, read-only, and leave no trace", async () => {
    const ran = await run(
      "cat /etc/hosts; (echo x >> /etc/hosts) 2>/dev/null || echo refused; test -s /etc/resolv.conf && echo resolver",
      {},
      {
        unkeyed: { extraHosts: [{ name: "DB", address: "10.0.0.1" }] },
      },
    );
    expect(ran.output).toContain("127.0.0.1\tlocalhost buildkitsandbox\n");
    expect(ran.output).toContain("10.0.0.1\tdb\n");
    expect(ran.output).toContain("refused\nresolver\n");
    expect(ran.layer).toEqual(["dev/", "proc/", "sys/"]);
  });

  test("what the command leaves running ends with it, and does not hold up the step", async () => {
    const started = performance.now();
    const ran = await run("(sleep 30; touch /late) & echo done");
    expect(ran.output).toBe("done\n");
    expect(ran.layer).not.toContain("late");
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  test("a command that is not there fails with its name", async () => {
    await expect(run(["/nope"])).rejects.toMatchObject({
      code: "COMMAND_NOT_FOUND",
      message: expect.stringContaining("/nope"),
    });
  });

  test("abort kills the container at once", async () => {
    const stop = new AbortController();
    const ran = run(
      "echo ready; sleep 60",
      {},
      {
        place: { signal: stop.signal, onOutput: () => stop.abort(new Error("stopped")) },
      },
    );
    const started = performance.now();
    await expect(ran).rejects.toThrow("stopped");
    expect(performance.now() - started).toBeLessThan(5000);
  });

  test("a heredoc script is a file in /dev/pipes that leaves no trace", async () => {
    const ran = await run("/dev/pipes/EOF", { scripts: [{ name: "EOF", content: "#!/bin/sh\necho $0\n" }] });
    expect([ran.output, ran.layer]).toEqual(["/dev/pipes/EOF\n", ["dev/", "proc/", "sys/"]]);
  });
});

describe.skipIf(!canRunContainers)("mounts of a RUN", () => {
  const bind = (more: Partial<Extract<RunMount, { type: "bind" }>> = {}): RunMount => ({
    type: "bind",
    target: "/m",
    from: { kind: "context", name: undefined },
    source: "/",
    readonly: true,
    ...more,
  });
  const cache = (more: Partial<Extract<RunMount, { type: "cache" }>> = {}): RunMount => ({
    type: "cache",
    target: "/c",
    id: "/c",
    sharing: "shared",
    readonly: false,
    from: { kind: "scratch" },
    source: "/",
    mode: 0o755,
    uid: 0,
    gid: 0,
    ...more,
  });

  test("a bind of the context is read-only and its mount point leaves no trace", async () => {
    mkdirSync(`${folder}/ctx/sub`, { recursive: true });
    writeFileSync(`${folder}/ctx/f`, "from context\n");
    const ran = await run(
      "cat /m/f; touch /m/g 2>/dev/null || echo refused",
      { mounts: [bind()] },
      {
        place: { context: async () => ({ path: `${folder}/ctx` }) },
      },
    );
    expect(ran.output).toBe("from context\nrefused\n");
    expect(ran.layer).toEqual(["dev/", "proc/", "sys/"]);
  });

  test("writes to an rw bind are seen by this step and thrown away", async () => {
    const place = { context: async () => ({ path: `${folder}/ctx` }) };
    const ran = await run("echo new > /m/g; cat /m/f /m/g", { mounts: [bind({ readonly: false })] }, { place });
    expect(ran.output).toBe("from context\nnew\n");
    expect(readdirSync(`${folder}/ctx`).sort()).toEqual(["f", "sub"]);
  });

  test("a bind of a stage shows its layers merged", async () => {
    const layers = [`${folder}/one`, `${folder}/two`];
    for (const [n, layer] of layers.entries()) {
      mkdirSync(`${layer}/d`, { recursive: true });
      writeFileSync(`${layer}/d/f${n}`, `${n}\n`);
    }
    const mount = bind({ from: { kind: "scratch" }, source: "/d" });
    const ran = await run("ls /m", { mounts: [mount] }, { place: { trees: async () => layers } });
    expect(ran.output).toBe("f0\nf1\n");
    const written = await run(
      "echo x > /m/n; ls /m",
      { mounts: [{ ...mount, readonly: false }] as RunMount[] },
      {
        place: { trees: async () => layers },
      },
    );
    expect(written.output).toBe("f0\nf1\nn\n");
    expect(readdirSync(`${folder}/two/d`)).toEqual(["f1"]);
  });

  test("a source that is not there fails by name", async () => {
    const mount = bind({ from: { kind: "scratch" }, source: "/nope" });
    await expect(run("true", { mounts: [mount] }, { place: { trees: async () => [base] } })).rejects.toMatchObject({
      code: "SOURCE_NOT_FOUND",
      message: expect.stringContaining("/nope"),
    });
  });

  test("a cache keeps what is written for the next step of the same id, and only of that", async () => {
    const ran = await run("echo 1 > /c/kept", { mounts: [cache()] });
    expect(ran.layer).toEqual(["dev/", "proc/", "sys/"]);
    expect((await run("cat /d/kept", { mounts: [cache({ target: "/d" })] })).output).toBe("1\n");
    expect((await run("ls /c", { mounts: [cache({ uid: 5 })] })).output).toBe("");
    expect((await run("ls /c", { mounts: [cache({ id: "other" })] })).output).toBe("");
  });

  test("a cache's root has the mode and owner it was asked for", async () => {
    const ran = await run("stat -c %u:%g:%a /c", { mounts: [cache({ id: "owned", uid: 5, gid: 6, mode: 0o2770 })] });
    expect(ran.output).toBe("5:6:2770\n");
  });

  test("a failing step keeps what it wrote into a cache", async () => {
    await run("echo 1 > /c/f; false", { mounts: [cache({ id: "failing" })] });
    expect((await run("cat /c/f", { mounts: [cache({ id: "failing" })] })).output).toBe("1\n");
  });

  test("a cache with from= begins with that content", async () => {
    const mount = cache({ id: "filled", from: { kind: "step", step: "0.0" as never }, source: "/d" });
    const sources = [sourceOf(`${folder}/two/d`)];
    const place = { filling: () => ({ digest: sha256("one"), sources, lines: [] }) };
    const names = readdirSync(`${folder}/two/d`).join("\n");
    expect((await run("ls /c; touch /c/more", { mounts: [mount] }, { place })).output).toBe(`${names}\n`);
    expect((await run("ls /c", { mounts: [mount] }, { place })).output).toBe(`${names}\nmore\n`);
    const other = { filling: () => ({ digest: sha256("two"), sources, lines: [] }) };
    expect((await run("ls /c", { mounts: [mount] }, { place: other })).output).toBe(`${names}\n`);
  });

  test("locked caches are used one after the other, private ones side by side", async () => {
    const command = "test -e /c/busy && echo met; touch /c/busy; sleep 0.3; rm /c/busy";
    const at = (sharing: "locked" | "private"): Promise<Ran>[] =>
      [1, 2].map(() => run(command, { mounts: [cache({ id: sharing, sharing })] }));
    const both = await Promise.all([...at("locked"), ...at("private")]);
    expect(both.map((ran) => ran.output)).toEqual(["", "", "", ""]);
    expect(readdirSync(store.cacheMountsFolder).filter((name) => /-1$/.test(name))).toHaveLength(1);
  });

  test("tmpfs is empty, writable, bounded, and gone", async () => {
    const mounts: RunMount[] = [{ type: "tmpfs", target: "/t", sizeBytes: 4096 * 8, readonly: false }];
    const ran = await run("echo x > /t/f; dd if=/dev/zero of=/t/big bs=1k count=100 2>/dev/null || echo full", {
      mounts,
    });
    expect([ran.output, ran.layer]).toEqual(["full\n", ["dev/", "proc/", "sys/"]]);
  });

  const secret: RunMount = {
    type: "secret",
    target: "/run/secrets/s",
    id: "s",
    required: false,
    mode: 0o400,
    uid: 0,
    gid: 0,
  };
  const secrets = new Map([["s", { kind: "environment", value: "hush" } as const]]);

  test("a secret is a file in memory, readable by its owner, and in no layer", async () => {
    const ran = await run(
      "cat /run/secrets/s; stat -c ' %a' /run/secrets/s; (echo x >/run/secrets/s) 2>/dev/null || echo refused",
      { mounts: [secret] },
      { place: { secrets } },
    );
    expect(ran.output).toBe("hush 400\nrefused\n");
    expect(ran.layer).toEqual(["dev/", "proc/", "sys/"]);
    expect(readdirSync("/run").filter((name) => name.startsWith(`tsbuild-secrets-${process.pid}-`))).toEqual([]);
  });

  test("a secret as a variable overrides ENV, and is set and empty when it is not given", async () => {
    const mounts: RunMount[] = [{ type: "secret", env: "T", id: "s", required: false, mode: 0o400, uid: 0, gid: 0 }];
    expect((await run("echo $T", { mounts, env: ["PATH=/bin", "T=env"] }, { place: { secrets } })).output).toBe(
      "hush\n",
    );
    expect((await run('[ -n "${T+x}" ] && echo set:$T', { mounts })).output).toBe("set:\n");
  });

  test("a required secret that is not given fails with the flag to give it", async () => {
    await expect(run("true", { mounts: [{ ...secret, required: true }] as RunMount[] })).rejects.toMatchObject({
      hint: "--secret id=s,src=FILE",
    });
  });

  test("nested targets work in any order, and the inner one leaves no trace in the cache", async () => {
    const mounts = [bind({ target: "/c/in" }), cache({ id: "outer" })];
    const ran = await run("cat /c/in/f", { mounts }, { place: { context: async () => ({ path: `${folder}/ctx` }) } });
    expect(ran.output).toBe("from context\n");
    expect(readFileSync(`${folder}/ctx/f`, "utf8")).toBe("from context\n");
  });
});
