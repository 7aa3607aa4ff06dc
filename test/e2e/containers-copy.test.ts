/** `cp`, `diff`, `export`, `commit`: files in and out of containers that run or not, and nothing beyond them. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from "vitest";
import { needs } from "../support/needs.ts";
import { tsbuildBytes } from "../support/tsbuild.ts";
import { type Yard, yard } from "./containers-support.ts";

const test = needs("root", "busybox-static");
let place: Yard;
/** A fresh folder of the host for each test. */
let host: string;
beforeAll(async () => {
  place = await yard();
});
beforeEach(() => {
  if (place !== undefined) host = mkdtempSync(`${place.folder}/host-`);
});
afterEach(async () => await place?.clear());
afterAll(async () => await place?.[Symbol.asyncDispose]());

const sh = async (script: string): Promise<string> => await place.out(["exec", "box", "sh", "-c", script]);
async function box(script = "true"): Promise<void> {
  await place.out("run -d --name box --network none -v kept:/vol b sleep 999");
  await sh(script);
}
const gone = async (): Promise<void> => void (await place.out("rm -f -v box"));
const tarNames = (tar: Buffer): string[] =>
  execFileSync("tar", ["-t"], { input: tar, encoding: "utf8" }).trimEnd().split("\n");
const bytes = async (
  words: readonly string[],
  input?: Buffer,
): Promise<{ code: number; stdout: Buffer; stderr: Buffer }> =>
  await tsbuildBytes(words, { env: { TSBUILD_ROOT: place.root }, cwd: host, ...(input !== undefined && { input }) });

describe.each(["running", "stopped"])("of a %s container", (state) => {
  const settle = async (): Promise<void> => {
    if (state === "stopped") await place.out("stop -t 0 box");
  };
  /** What is in it now. */
  const inside = async (script: string): Promise<string> => {
    if (state === "stopped") await place.out("start box");
    return await sh(script);
  };

  test("what goes where is as cp has it", async () => {
    await box("mkdir -p /dir/sub /there && echo f > /file && echo s > /dir/sub/s");
    await settle();
    mkdirSync(`${host}/d/sub`, { recursive: true });
    writeFileSync(`${host}/d/sub/x`, "x");
    writeFileSync(`${host}/f`, "f");
    const ok = async (from: string, to: string): Promise<void> => {
      const result = await bytes(["cp", from, to]);
      expect({ from, to, ...result, stdout: "", stderr: result.stderr.toString() }).toMatchObject({
        code: 0,
        stderr: "",
      });
    };
    await ok("f", "box:/new");
    await ok("f", "box:/there");
    await ok("f", "box:/file");
    await ok("d", "box:/made");
    await ok("d", "box:/there/");
    await ok("d/.", "box:/dir");
    await ok("f", "box:/vol/f");
    await ok("box:/file", "out");
    await ok("box:/dir", "tree");
    await ok("box:/dir", ".");
    await ok("box:/dir/.", "tree");
    await ok("box:/vol/f", "fromvol");
    expect(
      await inside("cat /new /there/f /file /made/sub/x /there/d/sub/x /dir/sub/x /vol/f; ls -A /there /dir/sub"),
    ).toBe("fffxxxf/dir/sub:\ns\nx\n\n/there:\nd\nf");
    expect(readFileSync(`${host}/out`, "utf8")).toBe("f");
    expect(readdirSync(`${host}/tree`, { recursive: true }).sort()).toEqual(["sub", "sub/s", "sub/x"]);
    expect(existsSync(`${host}/dir/sub/s`)).toBe(true);
    expect(readFileSync(`${host}/fromvol`, "utf8")).toBe("f");
    await gone();
  });

  test.for([
    { from: "box:/nope", to: ".", says: "box:/nope: no such file or directory" },
    { from: "nofile", to: "box:/", says: "nofile: no such file or directory" },
    { from: "f", to: "box:/no/such/place", says: "no such file or directory" },
    { from: "f", to: "box:/nodir/", says: 'destination "box:/nodir" must be a directory' },
    { from: "d", to: "box:/etc/passwd", says: 'cannot copy a directory to the file "box:/etc/passwd"' },
    { from: "d/.", to: "box:/clash", says: "cannot overwrite" },
    { from: "f", to: "nosuch:/", says: "No such container: nosuch" },
  ])("$from to $to fails and leaves nothing", async ({ from, to, says }) => {
    await box("mkdir -p /clash/x && echo keep > /clash/x/y");
    await settle();
    writeFileSync(`${host}/f`, "f");
    mkdirSync(`${host}/d`);
    writeFileSync(`${host}/d/x`, "file where a folder is");
    const result = await bytes(["cp", from, to]);
    expect({ code: result.code, stderr: result.stderr.toString() }).toEqual({
      code: 1,
      stderr: expect.stringContaining(says),
    });
    expect(await inside("cat /clash/x/y; ls -A /clash")).toBe("keep\nx");
    expect(readdirSync(host).sort()).toEqual(["d", "f"]);
    await gone();
  });

  test("the whole root is its files, and not what the kernel shows in them", async () => {
    await box("mkdir /mine && echo f > /mine/f");
    await settle();
    await place.out(`cp box:/ ${host}/all`);
    expect(readFileSync(`${host}/all/mine/f`, "utf8")).toBe("f\n");
    for (const shown of ["proc", "sys", "dev"]) {
      expect(existsSync(`${host}/all/${shown}`) ? readdirSync(`${host}/all/${shown}`) : []).toEqual([]);
    }
    expect(await place.t(`cp box:/proc/1/status ${host}/status`)).toMatchObject({
      code: 1,
      stderr: "error: box:/proc/1/status: no such file or directory\n",
    });
    expect(await place.t(`cp box: ${host}/x`)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("path cannot be empty"),
    });
  });

  test("modes and times are kept; owners only with -a", async () => {
    await box(
      "echo s > /suid; chown 1000:50 /suid; chmod 4755 /suid; touch -d '2001-02-03 04:05:06' /suid; ln -s suid /link",
    );
    await settle();
    await bytes(["cp", "box:/suid", "plain"]);
    await bytes(["cp", "-a", "box:/suid", "archive"]);
    await bytes(["cp", "box:/link", "link"]);
    await bytes(["cp", "-L", "box:/link", "followed"]);
    const seen = (name: string): string => {
      const { mode, uid, gid, mtimeMs } = statSync(`${host}/${name}`);
      return `${(mode & 0o7777).toString(8)} ${uid}:${gid} ${new Date(mtimeMs).toISOString().slice(0, 19)}`;
    };
    expect(seen("plain")).toBe("4755 0:0 2001-02-03T04:05:06");
    expect(seen("archive")).toBe("4755 1000:50 2001-02-03T04:05:06");
    expect(readFileSync(`${host}/followed`, "utf8")).toBe("s\n");
    expect(execFileSync("readlink", [`${host}/link`], { encoding: "utf8" })).toBe("suid\n");
    writeFileSync(`${host}/owned`, "");
    execFileSync("chown", ["1000:50", `${host}/owned`]);
    await bytes(["cp", "owned", "box:/as-root"]);
    await bytes(["cp", "-a", "owned", "box:/as-bob"]);
    expect(await inside("stat -c %u:%g /as-root /as-bob")).toBe("0:0\n1000:50");
    await gone();
  });

  test("- is a tar, on both sides, compressed or not", async () => {
    await box("mkdir -p /d/e && echo 1 > /d/e/f && ln /d/e/f /d/e/g && ln -s f /d/e/l && mkfifo /d/p");
    await settle();
    expect(tarNames((await bytes(["cp", "box:/etc/passwd", "-"])).stdout)).toEqual(["passwd"]);
    const { stdout } = await bytes(["cp", "box:/d", "-"]);
    expect(tarNames(stdout)).toEqual(["d/", "d/e/", "d/e/f", "d/e/g", "d/e/l", "d/p"]);
    expect((await bytes(["cp", "-", "box:/tmp"], stdout)).code).toBe(0);
    for (const program of ["gzip", "xz", "zstd"]) {
      mkdirSync(`${host}/${program}`);
      writeFileSync(`${host}/${program}/${program}`, "x");
      const packed = execFileSync("sh", ["-c", `tar -C ${host} -c ${program} | ${program} -c`]);
      expect((await bytes(["cp", "-", "box:/tmp"], packed)).code).toBe(0);
    }
    expect(await inside("cd /tmp; ls -A; cat d/e/g; stat -c '%h %F' d/e/f d/p")).toBe(
      "d\ngzip\nxz\nzstd\n1\n2 regular file\n1 fifo",
    );
    const bad = await bytes(["cp", "-", "box:/tmp"], Buffer.from("no tar at all, not even a block of one"));
    expect(bad.code).toBe(1);
    await gone();
  });

  test("a symlink to / in the container never leads to the host", async () => {
    await box("ln -s / /x; ln -s /../../../.. /up; ln -s ../../../../../../../.. /rel");
    await settle();
    writeFileSync(`${host}/canary`, "from the host");
    const name = `tsbuild-test-canary-${process.pid}`;
    for (const link of ["x", "up", "rel"])
      expect((await bytes(["cp", "canary", `box:/${link}/etc/${name}-${link}`])).code).toBe(0);
    for (const link of ["x", "up", "rel"]) expect(existsSync(`/etc/${name}-${link}`)).toBe(false);
    expect((await bytes(["cp", `box:/x/etc/${name}-x`, "back"])).code).toBe(0);
    // The container's own, not the host's.
    expect((await bytes(["cp", "box:/x/etc/passwd", "passwd"])).code).toBe(0);
    expect(readFileSync(`${host}/passwd`, "utf8")).toContain("bob:");
    expect(await inside(`cat /etc/${name}-up`)).toBe("from the host");
    await gone();
  });

  test("a hostile tar stays in the folder it is unpacked into", async () => {
    await box("mkdir /in");
    await settle();
    const name = `tsbuild-test-escape-${process.pid}`;
    const script = `
import io, sys, tarfile
t = tarfile.open(fileobj=sys.stdout.buffer, mode="w|")
def add(name, **fields):
    i = tarfile.TarInfo(name)
    for k, v in fields.items(): setattr(i, k, v)
    data = b"evil" if i.type == tarfile.REGTYPE else b""
    i.size = len(data)
    t.addfile(i, io.BytesIO(data))
add("../../../../tmp/${name}")
add("/tmp/${name}")
add("link", type=tarfile.SYMTYPE, linkname="/tmp")
add("link2", type=tarfile.SYMTYPE, linkname="../../../../../../tmp")
add("link/${name}")
add("link2/${name}")
t.close()
`;
    const tar = execFileSync("python3", ["-c", script]);
    const { code } = await bytes(["cp", "-", "box:/in"], tar);
    expect(code).toBe(0);
    expect(existsSync(`/tmp/${name}`)).toBe(false);
    expect(await inside(`ls /in/tmp /tmp`)).toBe(`/in/tmp:\n${name}\n\n/tmp:\n${name}`);
    await gone();
  });

  test("a symlink in the target is replaced or its mode left alone, the host's file is not touched", async () => {
    await box("true");
    await settle();
    const canary = `${host}/canary`;
    writeFileSync(canary, "safe");
    chmodSync(canary, 0o600);
    mkdirSync(`${host}/tree`);
    writeFileSync(`${host}/tree/l`, "new");
    chmodSync(`${host}/tree/l`, 0o777);
    await inside(`ln -s ${canary} /l`);
    await settle();
    expect((await bytes(["cp", "tree/.", "box:/"])).code).toBe(0);
    expect(readFileSync(canary, "utf8")).toBe("safe");
    expect(statSync(canary).mode & 0o777).toBe(0o600);
    await gone();
  });
});

test("a symlink that the container put where a folder of the host is copied to is not followed", async () => {
  await box("mkdir -p /t/d && echo evil > /t/d/f");
  mkdirSync(`${host}/elsewhere`);
  mkdirSync(`${host}/t`);
  symlinkSync(`${host}/elsewhere`, `${host}/t/d`);
  const result = await bytes(["cp", "box:/t/.", "t"]);
  expect(result.code).toBe(1);
  expect(readdirSync(`${host}/elsewhere`)).toEqual([]);
  await gone();
});

test("nothing of the image is executed: a hostile xz, nsswitch and libnss stay unused", async () => {
  const evil = "#!/bin/sh\ntouch /pwned\n";
  await place.build(
    'FROM b⏎COPY lib /lib⏎COPY xz /usr/local/bin/⏎CMD ["sleep", "99"]',
    { "xz@755": evil, "lib/libnss_files.so.2@755": evil, "lib/liblzma.so.5@755": evil },
    ["-t", "evil"],
  );
  await place.out("run -d --name evil --network none evil");
  mkdirSync(`${host}/p`);
  writeFileSync(`${host}/p/p`, "packed");
  const packed = execFileSync("sh", ["-c", `tar -C ${host} -c p | xz -c`]);
  expect((await bytes(["cp", "-", "evil:/tmp"], packed)).code).toBe(0);
  expect((await bytes(["cp", "evil:/tmp/p/p", "out"])).code).toBe(0);
  expect(await place.out("exec evil ls -A /tmp/p")).toBe("p");
  expect((await place.t("exec evil ls /pwned")).code).toBe(1);
  expect(existsSync("/pwned")).toBe(false);
  await place.out("rm -f evil");
});

test("a component that is swapped for a symlink while we copy leads nowhere else", async () => {
  const canary = mkdtempSync("/tmp/tsbuild-test-swap-");
  await box(`mkdir -p /race/a /race/real && ln -s ${canary} /race/link`);
  await place.out([
    "exec",
    "-d",
    "box",
    "sh",
    "-c",
    "cd /race; while :; do mv a b; mv link a; mv a link; mv b a; done",
  ]);
  writeFileSync(`${host}/f`, "f");
  const end = performance.now() + 4000;
  let tries = 0;
  while (performance.now() < end) {
    await bytes(["cp", "f", `box:/race/a/f${tries}`]);
    tries += 1;
  }
  expect(tries).toBeGreaterThan(3);
  expect(readdirSync(canary)).toEqual([]);
  rmSync(canary, { recursive: true });
  await gone();
});

test("between two containers", async () => {
  await box("echo 1 > /one");
  await place.out("run -d --name second --network none b sleep 999");
  expect((await bytes(["cp", "box:/one", "second:/two"])).code).toBe(0);
  expect(await place.out("exec second cat /two")).toBe("1");
  await place.out("rm -f second");
  await gone();
});

test("a read-only root file system is not written by cp either", async () => {
  await place.out("create --name ro --read-only --network none b true");
  writeFileSync(`${host}/f`, "f");
  expect((await bytes(["cp", "f", "ro:/f"])).stderr.toString()).toContain("marked read-only");
  await place.out("rm ro");
});

test("diff: A, C and D, sorted; commit makes them a layer; export has it all", async () => {
  await box("touch /a; rm /etc/group; chmod 600 /etc/passwd; rm -r /root; mkdir /root; echo v > /vol/v");
  expect(await place.out("diff box")).toBe("A /a\nC /etc\nD /etc/group\nC /etc/passwd");
  const id = await place.out([
    "commit",
    "-a",
    "me",
    "-m",
    "why",
    "-c",
    'CMD ["x"]',
    "-c",
    "ENV K=v",
    "box",
    "committed:1",
  ]);
  expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
  expect(
    await place.out(["inspect", "-f", "{{json .Config.Cmd}} {{.Author}} {{len .RootFS.Layers}}", "committed:1"]),
  ).toBe('["x"] me 2');
  const script = "stat -c %a /etc/passwd; ls -d /a; echo $K";
  expect(await place.out(["run", "--rm", "--network", "none", "committed:1", "sh", "-c", script])).toBe("600\n/a\nv");
  const names = tarNames((await bytes(["export", "box"])).stdout);
  expect(names).toContain("a");
  expect(names).toContain("bin/busybox");
  expect(names).not.toContain("etc/group");
  expect(names).not.toContain("vol/v");
  expect((await bytes(["export", "-o", "x.tar", "box"])).code).toBe(0);
  expect(tarNames(readFileSync(`${host}/x.tar`))).toEqual(names);
  await gone();
});
