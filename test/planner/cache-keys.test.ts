import { chmodSync, chownSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Step } from "../../src/planner/build-graph.ts";
import type { BuildOptions } from "../../src/planner/build-options.ts";
import { temporaryStore } from "../support/temporary-store.ts";
import { type BuildRequest, build } from "./support/build.ts";
import { temporaryContext } from "./support/context.ts";

interface Side {
  readonly text: string;
  readonly args?: Record<string, string>;
  readonly options?: Partial<BuildOptions>;
  readonly ignore?: string;
}

interface Row {
  readonly name: string;
  readonly first: Side;
  readonly second?: Partial<Side>;
  /** Done to the context [a/x, b/x (equal), f, s/x, s/y] between the two builds. */
  readonly change?: (folder: string) => void;
  /** What runs in the second build. */
  readonly runs: readonly string[];
}

const touch = (path: string): void => utimesSync(path, 1, 1);

test.for<Row>([
  { name: "nothing", first: { text: "FROM b⏎RUN x⏎COPY f /⏎WORKDIR /w" }, runs: [] },
  {
    name: "a comment, blanks around and a continuation",
    first: { text: "FROM b⏎RUN a b" },
    second: { text: "# c⏎FROM b⏎RUN   a \\⏎b  " },
    runs: [],
  },
  {
    name: "blanks within a command",
    first: { text: "FROM b⏎RUN a b" },
    second: { text: "FROM b⏎RUN a  b" },
    runs: ["RUN a  b"],
  },
  // Files.
  {
    name: "touch of a copied file",
    first: { text: "FROM b⏎COPY f /⏎RUN x" },
    change: (d) => touch(join(d, "f")),
    runs: [],
  },
  {
    name: "chown in the context",
    first: { text: "FROM b⏎COPY f /" },
    change: (d) => chownSync(join(d, "f"), 9, 9),
    runs: [],
  },
  {
    name: "chmod of a copied file",
    first: { text: "FROM b⏎COPY f /⏎RUN x" },
    change: (d) => chmodSync(join(d, "f"), 0o755),
    runs: ["COPY f /", "RUN x"],
  },
  {
    name: "a new file beside a copied one",
    first: { text: "FROM b⏎COPY f /⏎RUN x" },
    change: (d) => writeFileSync(join(d, "new"), ""),
    runs: [],
  },
  {
    name: "a new file for COPY .",
    first: { text: "FROM b⏎COPY . /" },
    change: (d) => writeFileSync(join(d, "new"), ""),
    runs: ["COPY . /"],
  },
  {
    name: "a new file for COPY . that is ignored",
    first: { text: "FROM b⏎COPY . /", ignore: "new" },
    change: (d) => writeFileSync(join(d, "new"), ""),
    runs: [],
  },
  {
    name: "other bytes of equal size and mtime, renamed over",
    first: { text: "FROM b⏎COPY f /" },
    change: (d) => {
      touch(join(d, "f"));
      writeFileSync(join(d, "g"), "FFFF");
      touch(join(d, "g"));
      renameSync(join(d, "g"), join(d, "f"));
    },
    runs: ["COPY f /"],
  },
  {
    name: "another folder of an equal file",
    first: { text: "FROM b⏎COPY a/x /f" },
    second: { text: "FROM b⏎COPY b/x /f" },
    runs: [],
  },
  {
    name: "another name of an equal file",
    first: { text: "FROM b⏎COPY b/x /f" },
    second: { text: "FROM b⏎COPY b/y /f" },
    runs: ["COPY b/y /f"],
  },
  {
    name: "the order of sources",
    first: { text: "FROM b⏎COPY f s/x /d/" },
    second: { text: "FROM b⏎COPY s/x f /d/" },
    runs: ["COPY s/x f /d/"],
  },
  {
    name: "another destination",
    first: { text: "FROM b⏎COPY f /a" },
    second: { text: "FROM b⏎COPY f /b" },
    runs: ["COPY f /b"],
  },
  { name: "COPY to ADD", first: { text: "FROM b⏎COPY f /" }, second: { text: "FROM b⏎ADD f /" }, runs: ["ADD f /"] },
  {
    name: "--chmod 644 and 0644",
    first: { text: "FROM b⏎COPY --chmod=644 f /" },
    second: { text: "FROM b⏎COPY --chmod=0644 f /" },
    runs: [],
  },
  {
    name: "--chmod",
    first: { text: "FROM b⏎COPY --chmod=644 f /" },
    second: { text: "FROM b⏎COPY --chmod=u=rw f /" },
    runs: ["COPY --chmod=u=rw f /"],
  },
  {
    name: "--chown 07 and 7",
    first: { text: "FROM b⏎COPY --chown=07 f /" },
    second: { text: "FROM b⏎COPY --chown=7 f /" },
    runs: [],
  },
  {
    name: "--chown root and 0:0",
    first: { text: "FROM b⏎COPY --chown=root f /" },
    second: { text: "FROM b⏎COPY --chown=0:0 f /" },
    runs: [],
  },
  {
    name: "--chown given",
    first: { text: "FROM b⏎COPY f /" },
    second: { text: "FROM b⏎COPY --chown=0:0 f /" },
    runs: ["COPY --chown=0:0 f /"],
  },
  {
    name: "a heredoc's body",
    first: { text: "FROM b⏎COPY <<E /⏎1⏎E" },
    second: { text: "FROM b⏎COPY <<E /⏎2⏎E" },
    runs: ["COPY <<E /"],
  },
  {
    name: "a heredoc's body by a variable",
    first: { text: "FROM b⏎ARG v=1⏎COPY <<E /⏎$v⏎E" },
    second: { args: { v: "2" } },
    runs: ["COPY <<E /"],
  },
  {
    name: "an empty folder's mode",
    first: { text: "FROM b⏎COPY s /d" },
    change: (d) => chmodSync(join(d, "s"), 0o700),
    runs: ["COPY s /d"],
  },
  // Variables.
  {
    name: "a declared ARG that nothing uses",
    first: { text: "FROM b⏎ARG N⏎RUN x⏎COPY f /", args: { N: "1" } },
    second: { args: { N: "2" } },
    runs: ["RUN x"],
  },
  {
    name: "an ARG that is declared below",
    first: { text: "FROM b⏎RUN x⏎ARG N⏎ENV y=$N", args: { N: "1" } },
    second: { args: { N: "2" } },
    runs: [],
  },
  { name: "an undeclared build-arg", first: { text: "FROM b⏎RUN x" }, second: { args: { N: "2" } }, runs: [] },
  { name: "a proxy", first: { text: "FROM b⏎RUN x" }, second: { args: { HTTP_PROXY: "http://p" } }, runs: [] },
  {
    name: "the order of ENV",
    first: { text: "FROM b⏎ENV A=1 B=2⏎RUN x⏎COPY f /" },
    second: { text: "FROM b⏎ENV B=2 A=1⏎RUN x⏎COPY f /" },
    runs: ["RUN x"],
  },
  {
    name: "an ENV for COPY",
    first: { text: "FROM b⏎COPY f /" },
    second: { text: "FROM b⏎ENV A=1⏎USER u⏎COPY f /" },
    runs: [],
  },
  // Config.
  {
    name: "LABEL and CMD",
    first: { text: "FROM b⏎LABEL a=1⏎RUN x" },
    second: { text: "FROM b⏎LABEL a=2⏎CMD y⏎EXPOSE 1⏎RUN x" },
    runs: [],
  },
  { name: "USER", first: { text: "FROM b⏎RUN x" }, second: { text: "FROM b⏎USER 5⏎RUN x" }, runs: ["RUN x"] },
  { name: "SHELL", first: { text: "FROM b⏎RUN x" }, second: { text: 'FROM b⏎SHELL ["/s"]⏎RUN x' }, runs: ["RUN x"] },
  {
    name: "shell form to the exec form of it",
    first: { text: "FROM b⏎RUN echo hi" },
    second: { text: 'FROM b⏎RUN ["/bin/sh","-c","echo hi"]' },
    runs: [],
  },
  {
    name: "WORKDIR's text",
    first: { text: "FROM b⏎WORKDIR /a⏎COPY f /" },
    second: { text: "FROM b⏎WORKDIR /c⏎COPY f /" },
    runs: ["WORKDIR /c", "COPY f /"],
  },
  {
    name: "WORKDIR's owner",
    first: { text: "FROM b⏎WORKDIR /a" },
    second: { text: "FROM b⏎USER 5⏎WORKDIR /a" },
    runs: ["WORKDIR /a"],
  },
  // Options of RUN.
  {
    name: "memory and host addresses",
    first: { text: "FROM b⏎RUN x", options: { extraHosts: [{ name: "h", address: "1.1.1.1" }] } },
    second: { options: { limits: { memoryBytes: 1e9 }, extraHosts: [{ name: "h", address: "2.2.2.2" }] } },
    runs: [],
  },
  {
    name: "a host name",
    first: { text: "FROM b⏎RUN x" },
    second: { options: { extraHosts: [{ name: "h", address: "2.2.2.2" }] } },
    runs: ["RUN x"],
  },
  { name: "shm-size", first: { text: "FROM b⏎RUN x" }, second: { options: { shmSizeBytes: 1 } }, runs: ["RUN x"] },
  {
    name: "ulimit",
    first: { text: "FROM b⏎RUN x" },
    second: { options: { ulimits: [{ name: "nofile", soft: 1, hard: 1 }] } },
    runs: ["RUN x"],
  },
  { name: "network", first: { text: "FROM b⏎RUN x" }, second: { options: { network: "none" } }, runs: ["RUN x"] },
  {
    name: "hostname",
    first: { text: "FROM b⏎RUN x" },
    second: { args: { BUILDKIT_SANDBOX_HOSTNAME: "h" } },
    runs: ["RUN x"],
  },
  {
    name: "cgroup parent",
    first: { text: "FROM b⏎RUN x" },
    second: { options: { cgroupParent: "/p" } },
    runs: ["RUN x"],
  },
  {
    name: "security",
    first: { text: "FROM b⏎RUN x", options: { allow: ["security.insecure"] } },
    second: { text: "FROM b⏎RUN --security=insecure x" },
    runs: ["RUN --security=insecure x"],
  },
  {
    name: "a device",
    first: { text: "FROM b⏎RUN x" },
    second: { text: "FROM b⏎RUN --device=v.com/d=a x" },
    runs: ["RUN --device=v.com/d=a x"],
  },
  {
    name: "the ID of an agent",
    first: { text: "FROM b⏎RUN --mount=type=ssh,target=/s x" },
    second: { text: "FROM b⏎RUN --mount=type=ssh,target=/s,id=o x" },
    runs: ["RUN --mount=type=ssh,target=/s,id=o x"],
  },
  {
    name: "who the agent is, limits, and what is allowed",
    first: { text: "FROM b⏎RUN --mount=type=ssh x" },
    second: {
      options: {
        ssh: new Map([["default", { kind: "socket", path: "/s" }]]),
        limits: { cpuShares: 2, cpusetCpus: "0", memorySwapBytes: -1 },
        allow: ["device", "network.host"],
      },
    },
    runs: [],
  },
  {
    name: "proxies",
    first: { text: "FROM b⏎RUN x" },
    second: { args: { HTTP_PROXY: "http://p" } },
    runs: [],
  },
  {
    name: "how a mount's options are written",
    first: { text: "FROM b⏎ARG T=tmpfs⏎RUN --mount=type=$T,target=/m x" },
    second: { text: "FROM b⏎ARG T=tmpfs⏎RUN --mount=dst=/m,type=tmpfs x" },
    runs: [],
  },
  {
    name: "platform",
    first: { text: "FROM b⏎RUN x" },
    second: { options: { platforms: [{ os: "linux", architecture: "arm64" }] } },
    runs: ["RUN x"],
  },
  {
    name: "--no-cache",
    first: { text: "FROM b⏎RUN x⏎COPY f /" },
    second: { options: { noCache: true } },
    runs: ["RUN x", "COPY f /"],
  },
  {
    name: "a script's body",
    first: { text: "FROM b⏎RUN <<E⏎#!/bin/sh⏎1⏎E" },
    second: { text: "FROM b⏎RUN <<E⏎#!/bin/sh⏎2⏎E" },
    runs: ["RUN <<E"],
  },
  { name: "a heredoc's name", first: { text: "FROM b⏎RUN <<E⏎x⏎E" }, second: { text: "FROM b⏎RUN <<F⏎x⏎F" }, runs: [] },
  // Mounts.
  {
    name: "another file beside a bind's source",
    first: { text: "FROM b⏎RUN --mount=source=s,target=/m x" },
    change: (d) => writeFileSync(join(d, "new"), ""),
    runs: [],
  },
  {
    name: "a file in a bind's source",
    first: { text: "FROM b⏎RUN --mount=source=s,target=/m x" },
    change: (d) => writeFileSync(join(d, "s/new"), ""),
    runs: ["RUN --mount=source=s,target=/m x"],
  },
  {
    name: "another path of an equal bind source",
    first: { text: "FROM b⏎RUN --mount=source=a/x,target=/m x" },
    second: { text: "FROM b⏎RUN --mount=source=b/y,target=/m x" },
    runs: [],
  },
  {
    name: "cache sharing shared to locked",
    first: { text: "FROM b⏎RUN --mount=type=cache,target=/c x" },
    second: { text: "FROM b⏎RUN --mount=type=cache,target=/c,sharing=locked x" },
    runs: ["RUN --mount=type=cache,target=/c,sharing=locked x"],
  },
  {
    name: "cache sharing private to locked",
    first: { text: "FROM b⏎RUN --mount=type=cache,target=/c,sharing=private x" },
    second: { text: "FROM b⏎RUN --mount=type=cache,target=/c,sharing=locked x" },
    runs: [],
  },
  {
    name: "a cache's default id spelled out",
    first: { text: "FROM b⏎RUN --mount=type=cache,target=/c x" },
    second: { text: "FROM b⏎RUN --mount=type=cache,target=/c,id=/c x" },
    runs: [],
  },
  {
    name: "one cache id to another",
    first: { text: "FROM b⏎RUN --mount=type=cache,target=/c,id=one x" },
    second: { text: "FROM b⏎RUN --mount=type=cache,target=/c,id=two x" },
    runs: [],
  },
  {
    name: "the order of mounts",
    first: { text: "FROM b⏎RUN --mount=type=tmpfs,target=/a --mount=type=tmpfs,target=/c x" },
    second: { text: "FROM b⏎RUN --mount=type=tmpfs,target=/c --mount=type=tmpfs,target=/a x" },
    runs: [],
  },
  {
    name: "a secret's value",
    first: {
      text: "FROM b⏎RUN --mount=type=secret,id=n x",
      options: { secrets: new Map([["n", { kind: "environment", value: "1" }]]) },
    },
    second: { options: { secrets: new Map([["n", { kind: "environment", value: "2" }]]) } },
    runs: [],
  },
  {
    name: "a secret's id",
    first: { text: "FROM b⏎RUN --mount=type=secret,id=n,target=/s x" },
    second: { text: "FROM b⏎RUN --mount=type=secret,id=m,target=/s x" },
    runs: ["RUN --mount=type=secret,id=m,target=/s x"],
  },
  // Stages.
  {
    name: "a stage's name",
    first: { text: "FROM b AS p⏎RUN x⏎FROM b⏎COPY --from=p / /⏎RUN y" },
    second: { text: "FROM b AS q⏎RUN x⏎FROM b⏎COPY --from=q / /⏎RUN y" },
    runs: [],
  },
  {
    name: "an unneeded stage",
    first: { text: "FROM b AS p⏎RUN x⏎FROM b⏎RUN y" },
    second: { text: "FROM b AS p⏎RUN z⏎FROM b⏎RUN y" },
    runs: [],
  },
])("$name changes: what runs again", async ({ first, second = {}, change, runs }) => {
  using context = temporaryContext({ "a/x": "eq", "b/x": "eq", "b/y": "eq", f: "ffff", "s/x": "1", "s/y": "2" });
  using own = temporaryStore();
  const request = ({ text: _, ...side }: Side): BuildRequest => ({ folder: context.folder, ...side });
  await build(own.store, first.text, request(first));
  change?.(context.folder);
  const again = { ...first, ...second };
  expect(await build(own.store, again.text, request(again))).toEqual(runs);
});

const output =
  (files: string) =>
  (step: Step): string =>
    step.text === "RUN x" ? files : step.text;

test("a RUN that made the same files again does not make what stands on it run again", async () => {
  using own = temporaryStore();
  const text = "FROM b AS p⏎ARG N⏎RUN x⏎FROM p⏎RUN y⏎FROM b⏎COPY --from=1 / /";
  // RUN y sees N too: it is inherited. So it stands on the same files, but is another step.
  await build(own.store, text, { args: { N: "1" }, output: output("same") });
  expect(await build(own.store, text, { args: { N: "2" }, output: output("same") })).toEqual(["RUN x", "RUN y"]);
  const plain = "FROM b AS p⏎RUN x⏎RUN y⏎FROM b⏎COPY --from=p / /";
  await build(own.store, plain, { output: output("1") });
  const filtered = { options: { noCacheFilter: ["p"] } };
  expect(await build(own.store, plain, { ...filtered, output: output("1") })).toEqual(["RUN x", "RUN y"]);
  expect(await build(own.store, plain, { ...filtered, output: output("2") })).toEqual([
    "RUN x",
    "RUN y",
    "COPY --from=p / /",
  ]);
});

test("another base of the same name is a miss, the old one hits again", async () => {
  using own = temporaryStore();
  await build(own.store, "FROM b⏎RUN x", { bases: { "b:latest": "1" } });
  expect(await build(own.store, "FROM b⏎RUN x", { bases: { "b:latest": "2" } })).toEqual(["RUN x"]);
  expect(await build(own.store, "FROM b⏎RUN x", { bases: { "b:latest": "1" } })).toEqual([]);
});

test("--link does not depend on what it lies on; with --chmod it does", async () => {
  using context = temporaryContext({ f: "1" });
  using own = temporaryStore();
  const on = async (base: string, line: string): Promise<readonly string[]> =>
    build(own.store, `FROM b⏎${line}`, { folder: context.folder, bases: { "b:latest": base } });
  await on("1", "COPY --link f /");
  expect(await on("2", "COPY --link f /")).toEqual([]);
  await on("1", "COPY --link --chmod=644 f /");
  expect(await on("2", "COPY --link --chmod=644 f /")).toEqual(["COPY --link --chmod=644 f /"]);
});

test("COPY --from counts by content: other steps that made equal files hit", async () => {
  using own = temporaryStore();
  const made = (): string => "equal";
  const text = (line: string): string => `FROM scratch AS p⏎${line}⏎FROM b⏎COPY --from=p /made-by-* /d/`;
  await build(own.store, text("WORKDIR /x"), { output: made });
  // The file's own name differs with the step's text: that counts.
  expect(await build(own.store, text("WORKDIR /y"), { output: made })).toHaveLength(2);
  const root = (line: string): string => `FROM scratch AS p⏎${line}⏎FROM b⏎COPY --from=p /made-by-* /d/f`;
  await build(own.store, root("WORKDIR /x"), { output: made });
  expect(await build(own.store, root("WORKDIR /x"), { output: made })).toEqual([]);
});

test.for([
  { from: "p", title: "the stage p" },
  { from: "0", title: "the stage p" },
  { from: "b", title: "the image b:latest" },
  { from: "scratch", title: "an empty tree" },
])("what is not in --from=$from is said to be missing there", async ({ from, title }) => {
  using own = temporaryStore();
  await expect(build(own.store, `FROM b AS p⏎RUN x⏎FROM b⏎COPY --from=${from} /nope /`)).rejects.toMatchObject({
    code: "SOURCE_NOT_FOUND",
    message: `"/nope" not found in ${title}`,
    where: { line: 4 },
  });
});

test("a context may be named by a link", async () => {
  using context = temporaryContext({ "real/f": "1", link: { link: "real" } });
  using own = temporaryStore();
  await build(own.store, "FROM b⏎COPY f /⏎RUN --mount=target=/m x", { folder: join(context.folder, "link") });
  expect(await build(own.store, "FROM b⏎COPY f /", { folder: join(context.folder, "real") })).toEqual([]);
});

test("a context file that vanished is an error, not a stale hit", async () => {
  using context = temporaryContext({ f: "1" });
  using own = temporaryStore();
  await build(own.store, "FROM b⏎COPY f /", { folder: context.folder });
  rmSync(join(context.folder, "f"));
  await expect(build(own.store, "FROM b⏎COPY f /", { folder: context.folder })).rejects.toMatchObject({
    code: "SOURCE_NOT_FOUND",
    where: { line: 2 },
  });
});
