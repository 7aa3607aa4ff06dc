/**
 * What implementers of the language get wrong: a fragment and the right result, through the program. `B` is an image with a
 * shell. The order follows the language: words, ARG and ENV, heredocs, COPY, stages, config, RUN, ignore files, cache.
 */
import { afterAll, beforeAll, describe, expect } from "vitest";
import { needs } from "../support/needs.ts";
import { type Built, type Files, Workshop } from "./build-support.ts";

interface Trap {
  readonly name: string;
  readonly file: string;
  readonly files?: Files;
  readonly args?: readonly string[];
  /** Values that the image's environment has. */
  readonly env?: readonly string[];
  /** What some RUN prints, as a line of the plain progress. */
  readonly prints?: string;
  /** The last layer. */
  readonly tree?: readonly string[];
  /** Content of a file of the image. */
  readonly holds?: Readonly<Record<string, string>>;
  /** `mode uid:gid` of a path of the last layer. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** The build fails, and stderr has this. */
  readonly fails?: string | RegExp;
  readonly says?: string;
  /** The config holds this text, as it is written. */
  readonly bytes?: string;
  readonly config?: Readonly<Record<string, unknown>>;
}

const traps: readonly Trap[] = [
  { name: "ENV sees the environment before it", file: "FROM scratch⏎ENV a=1⏎ENV a=2 b=$a", env: ["a=2", "b=1"] },
  { name: "ARG goes one by one", file: "FROM scratch⏎ARG a=1 b=$a⏎ENV r=$b", env: ["r=1"] },
  {
    name: "of ENV and ARG the later line wins",
    file: "FROM B⏎ENV X=1⏎ARG X=2⏎RUN echo X is $X",
    prints: "X is 2",
    env: ["X=1"],
  },
  { name: "globals need an ARG in the stage", file: "ARG v=1⏎FROM scratch⏎ENV a=[$v]", env: ["a=[]"] },
  {
    name: "a stage's default does not see the globals",
    file: "ARG b=g⏎FROM scratch⏎ARG b=$b-s⏎ENV r=$b",
    env: ["r=-s"],
  },
  { name: "a default beats an automatic value", file: "FROM scratch⏎ARG TARGETARCH=x⏎ENV r=$TARGETARCH", env: ["r=x"] },
  { name: "ARGs of a parent stage are inherited", file: "FROM scratch AS s⏎ARG a=1⏎FROM s⏎ENV r=[$a]", env: ["r=[1]"] },
  { name: "a blank ends an unquoted default", file: "FROM scratch⏎ENV a=${u:-x y}", fails: "=" },
  { name: "ENV with a blank takes the rest", file: "FROM scratch⏎ENV a b=c", env: ["a=b=c"] },
  { name: "patterns have no anchors", file: "FROM scratch⏎ENV v=foo⏎ENV r=${v/#f/X}", env: ["r=foo"] },
  { name: "$$ and $1 are empty", file: "FROM scratch⏎ENV p=$$ q=$1x", env: ["p=", "q=x"] },
  {
    name: "blank lines and comments inside a continuation",
    file: "FROM scratch⏎ENV a=1 \\⏎⏎# note⏎  b=2",
    env: ["a=1", "b=2"],
  },
  { name: "two backslashes are no continuation", file: "FROM scratch⏎ENV a=1\\\\⏎ENV b=2", env: ["a=1\\", "b=2"] },
  { name: "a directive after a blank line is a comment", file: "⏎# escape=`⏎FROM scratch⏎ENV a=x`", env: ["a=x`"] },
  {
    name: "heredoc bodies escape with backslash always",
    file: "# escape=`⏎FROM scratch⏎COPY <<E /f⏎\\$x⏎E",
    holds: { "/f": "$x\n" },
  },
  { name: "a backslash in a heredoc", file: "FROM scratch⏎COPY <<E /f⏎a\\nb⏎E", holds: { "/f": "anb\n" } },
  { name: "an escaped marker is not quoted", file: "FROM scratch⏎COPY <<\\E /f⏎$x⏎E", holds: { "/f": "\n" } },
  { name: "a semicolon belongs to the terminator", file: "FROM B⏎RUN cat <<E; echo x⏎hi⏎E", fails: "E;" },
  { name: "an apostrophe hides a heredoc", file: "FROM B⏎RUN echo it's <<E⏎hi⏎E", fails: "hi" },
  { name: "a heredoc without -e goes on after a failure", file: "FROM B⏎RUN <<E⏎false⏎echo on⏎E", prints: "on" },
  {
    name: "a heredoc with an interpreter is a file of its own",
    file: "FROM B⏎RUN <<E⏎#!/bin/sh⏎echo $0⏎E",
    prints: "/dev/pipes/E",
    tree: [],
  },
  {
    name: "two heredocs of one name: the last",
    file: "FROM scratch⏎COPY <<a <<a /d/⏎1⏎a⏎2⏎a",
    holds: { "/d/a": "2\n" },
  },
  { name: "single quotes make no JSON", file: "FROM B⏎RUN ['echo','x']", fails: "exit code: 127" },
  {
    name: "a comment makes no JSON",
    file: 'FROM scratch⏎CMD ["a"] # c',
    config: { Cmd: ["/bin/sh", "-c", '["a"] # c'] },
  },
  { name: "exec form expands nothing", file: 'FROM B⏎ENV X=y⏎RUN ["echo","$X"]', prints: "$X" },
  { name: "quote rules apply to JSON elements", file: 'FROM scratch⏎COPY ["it\'s","/d/"]', fails: "'" },
  { name: "quotes in COPY do not join", file: 'FROM scratch⏎COPY "a b" /d/', fails: /./ },
  { name: "a source cannot climb out", file: "FROM scratch⏎COPY ../../f /d/", files: { f: "x" }, tree: ["d/", "d/f"] },
  { name: "a wildcard without match is no error", file: "FROM scratch⏎COPY nope* /d/", tree: [] },
  { name: "two files to one name", file: "FROM scratch⏎COPY a b /d", files: { a: "a", b: "b" }, holds: { "/d": "b" } },
  {
    name: "a matched folder is its contents",
    file: "FROM scratch⏎COPY dir/* /d/",
    files: { "dir/x": "", "dir/sub/y": "" },
    tree: ["d/", "d/x", "d/y"],
  },
  {
    name: "the top folder is 0755",
    file: "FROM scratch⏎COPY dir /d",
    files: { "dir/x@600": "", "dir/@700": "" },
    metadata: { d: "755 0:0", "d/x": "600 0:0" },
  },
  {
    name: "an octal --chmod reaches created parents",
    file: "FROM scratch⏎COPY --chmod=640 f /a/",
    files: { f: "" },
    metadata: { a: "640 0:0", "a/f": "640 0:0" },
  },
  {
    name: "--chown=7 is group 7 too, parents included",
    file: "FROM scratch⏎COPY --chown=7 f /a/b/",
    files: { f: "" },
    metadata: { a: "755 7:7", "a/b": "755 7:7", "a/b/f": "644 7:7" },
  },
  {
    name: "an unknown name in --chown is 0, and said",
    file: "FROM B⏎COPY --chown=nobody2 f /a",
    files: { f: "" },
    metadata: { a: "644 0:0" },
    says: "nobody2",
  },
  {
    name: "--chown of a name that is known",
    file: "FROM B⏎COPY --chown=bob:staff f /a",
    files: { f: "" },
    metadata: { a: "644 1000:50" },
  },
  {
    name: "--link with a name in --chown",
    file: "FROM B⏎COPY --link --chown=bob f /a",
    files: { f: "" },
    fails: "--chown=bob",
  },
  {
    name: "--link with numbers in --chown",
    file: "FROM B⏎COPY --link --chown=5:6 f /a",
    files: { f: "" },
    metadata: { a: "644 5:6" },
  },
  { name: "USER does not own copies", file: "FROM B⏎USER 5⏎COPY f /a", files: { f: "" }, metadata: { a: "644 0:0" } },
  {
    name: "COPY through a link of the image",
    file: "FROM B⏎RUN mkdir /r && ln -s r /l⏎COPY f /l/",
    files: { f: "" },
    tree: ["r/", "r/f"],
  },
  {
    name: "--link replaces a link",
    file: "FROM B⏎RUN mkdir /r && ln -s r /l⏎COPY --link f /l/",
    files: { f: "" },
    tree: ["l/", "l/f"],
  },
  {
    name: "--link replaces a folder",
    file: "FROM B⏎RUN mkdir /d⏎COPY --link f /d",
    files: { f: "x" },
    tree: ["d"],
    holds: { "/d": "x" },
  },
  {
    name: "a link is not merged into",
    file: "FROM B⏎RUN mkdir /d /r && ln -s /r /d/sub⏎COPY t /d/",
    files: { "t/sub/x": "" },
    fails: "/d/sub",
  },
  {
    name: "a link inside the destination is replaced",
    file: "FROM B⏎RUN echo 1 >/r && mkdir /d && ln -s /r /d/f⏎COPY f /d/",
    files: { f: "new" },
    tree: ["d/", "d/f"],
    holds: { "/r": "1\n", "/d/f": "new" },
  },
  {
    name: "a link as the destination is followed",
    file: "FROM B⏎RUN echo 1 >/r && ln -s /r /f⏎COPY f /f",
    files: { f: "new" },
    tree: ["r"],
    holds: { "/r": "new" },
  },
  {
    name: "--exclude is relative to the source",
    file: "FROM scratch⏎COPY --exclude=p/a p /d/",
    files: { "p/a": "" },
    tree: ["d/", "d/a"],
  },
  {
    name: "--exclude of an entry",
    file: "FROM scratch⏎COPY --exclude=a p /d/",
    files: { "p/a": "", "p/b": "" },
    tree: ["d/", "d/b"],
  },
  {
    name: "--exclude does not hide what is named",
    file: "FROM scratch⏎COPY --exclude=*.md p/* /d/",
    files: { "p/x.md": "" },
    tree: ["d/", "d/x.md"],
  },
  {
    name: "--parents keeps what follows the pivot",
    file: "FROM scratch⏎COPY --parents x/./a/f /d/",
    files: { "x/a/f": "" },
    tree: ["d/", "d/a/", "d/a/f"],
  },
  {
    name: "the first stage cannot copy from itself",
    file: "FROM scratch⏎COPY --from=0 /f /",
    fails: /circular|itself/,
  },
  { name: "stage names are lower case in FROM", file: "FROM scratch AS Foo⏎FROM Foo", fails: /./ },
  {
    name: "stage names are any case in --from",
    file: "FROM scratch AS Foo⏎COPY f /⏎FROM scratch⏎COPY --from=FOO /f /g",
    files: { f: "" },
    tree: ["g"],
  },
  { name: "what is not needed is not resolved", file: "FROM no/such AS x⏎RUN y⏎FROM scratch⏎ENV a=1", env: ["a=1"] },
  {
    name: "a circle is rejected though unneeded",
    file: "FROM scratch AS a⏎COPY --from=b / /⏎FROM scratch AS b⏎COPY --from=a / /⏎FROM scratch",
    fails: /./,
  },
  {
    name: "ENTRYPOINT drops an inherited CMD",
    file: 'FROM scratch AS a⏎CMD ["x"]⏎FROM a⏎ENTRYPOINT ["e"]',
    config: { Cmd: undefined, Entrypoint: ["e"] },
  },
  {
    name: "ENTRYPOINT keeps a CMD of its own stage",
    file: 'FROM scratch⏎CMD ["x"]⏎ENTRYPOINT ["e"]',
    config: { Cmd: ["x"], Entrypoint: ["e"] },
  },
  {
    name: "WORKDIR is stored as written",
    file: "FROM scratch⏎WORKDIR /a/../b/",
    tree: ["b/"],
    config: { WorkingDir: "/a/../b/" },
  },
  {
    name: "WORKDIR belongs to the USER, parents too",
    file: "FROM B⏎USER bob⏎WORKDIR /x/y",
    metadata: { x: "755 1000:1000", "x/y": "755 1000:1000" },
  },
  { name: "WORKDIR of an existing folder is an empty layer", file: "FROM B⏎WORKDIR /tmp", tree: [] },
  {
    name: "what is written into a VOLUME stays",
    file: "FROM B⏎RUN mkdir /v⏎VOLUME /v⏎RUN echo 1 >/v/f",
    tree: ["v/", "v/f"],
  },
  {
    name: "EXPOSE splits a value",
    file: 'FROM scratch⏎ARG p="80 81/udp"⏎EXPOSE $p',
    config: { ExposedPorts: { "80/tcp": {}, "81/udp": {} } },
  },
  {
    name: "EXPOSE drops the host port",
    file: "FROM scratch⏎EXPOSE 8080:80",
    config: { ExposedPorts: { "80/tcp": {} } },
    says: "warning",
  },
  {
    name: "HEALTHCHECK flags stand before CMD",
    file: "FROM scratch⏎HEALTHCHECK CMD --interval=5s x",
    config: { Healthcheck: { Test: ["CMD-SHELL", "--interval=5s x"] } },
  },
  {
    name: "triggers run once",
    file: "FROM B AS a⏎ONBUILD RUN echo triggered >> /t⏎FROM a AS b⏎FROM b",
    holds: { "/t": "triggered\n" },
  },
  { name: "a background process does not outlive its step", file: "FROM B⏎RUN (sleep 1; touch /late) &", tree: [] },
  { name: "/etc/hosts is read-only", file: "FROM B⏎RUN echo 1.1.1.1 h >> /etc/hosts", fails: "ead-only" },
  {
    name: "the runtime's folders appear on a bare root",
    file: 'FROM scratch⏎COPY --from=B /bin/busybox /⏎RUN ["/busybox","true"]',
    tree: ["dev/", "proc/", "sys/"],
  },
  { name: "a missing secret is set and empty", file: 'FROM B⏎RUN --mount=type=secret,id=n,env=T [ -n "${T+x}" ]' },
  { name: "type comes before required", file: "FROM B⏎RUN --mount=required,type=secret,id=a x", fails: "required" },
  {
    name: "another owner is another cache",
    file: "FROM B⏎RUN --mount=type=cache,target=/c1 touch /c1/a⏎RUN --mount=type=cache,target=/c1,uid=5 echo has $(ls /c1)",
    prints: "has",
  },
  {
    name: "a relative cache is one for two workdirs",
    file: "FROM B⏎WORKDIR /p⏎RUN --mount=type=cache,target=k touch k/a⏎WORKDIR /q⏎RUN --mount=type=cache,target=k ls k",
    prints: "a",
  },
  {
    name: "writes to an rw bind are dropped",
    file: "FROM B⏎RUN --mount=target=/m,rw touch /m/f⏎RUN --mount=target=/m ls /m/f",
    fails: "exit code: 1",
  },
  {
    name: "an unknown uid has group 0",
    file: "FROM B⏎USER 2000⏎RUN id",
    prints: "uid=2000 gid=0(root) groups=0(root)",
  },
  { name: "a numeric pair has no further groups", file: "FROM B⏎USER 33:33⏎RUN id -G", prints: "33" },
  {
    name: "ignore patterns are no basename patterns",
    file: "FROM scratch⏎COPY . /",
    files: { ".dockerignore": "*.md\n.dockerignore", "a.md": "", "d/b.md": "" },
    tree: ["d/", "d/b.md"],
  },
  {
    name: "ignore patterns with two stars",
    file: "FROM scratch⏎COPY . /",
    files: { ".dockerignore": "**/*.md\n.dockerignore", "a.md": "", "d/b.md": "", "d/c": "" },
    tree: ["d/", "d/c"],
  },
  {
    name: "a negation brings back a part",
    file: "FROM scratch⏎COPY . /",
    files: { ".dockerignore": "*\n!d/e", "d/e/f": "", "d/g": "" },
    tree: ["d/", "d/e/", "d/e/f"],
  },
  {
    name: "a negation above does not bring back below",
    file: "FROM scratch⏎COPY . /",
    files: { ".dockerignore": "x/y\n!x\n.dockerignore", "x/y": "", "x/z": "" },
    tree: ["x/", "x/z"],
  },
  {
    name: "MAINTAINER is escaped for HTML",
    file: "FROM scratch⏎MAINTAINER a <b@c>",
    bytes: '"author":"a \\u003cb@c\\u003e"',
  },
  {
    name: "of two stages of one name the last counts, and may stand too low",
    file: "FROM scratch AS a⏎COPY x /⏎FROM scratch AS b⏎COPY --from=a / /⏎FROM scratch AS a",
    files: { x: "" },
    args: ["--target", "b"],
    fails: /./,
  },
  { name: "a trigger is not looked at before it runs", file: "FROM scratch⏎ONBUILD COPY a" },
  {
    name: "a replaced folder lists what is gone",
    file: "FROM B⏎RUN mkdir /q && touch /q/a⏎RUN rm -rf /q && mkdir /q && touch /q/n",
    tree: ["q/", "q/.wh.a", "q/n"],
  },
  {
    name: "a cache mount's target is the workdir",
    file: "FROM B⏎WORKDIR /w⏎RUN --mount=type=cache pwd; touch x",
    prints: "/w",
    tree: [],
  },
];

describe("the language, as people get it wrong", () => {
  let workshop: Workshop;

  beforeAll(async () => {
    workshop = new Workshop();
    await workshop.importBase();
  });
  afterAll(() => workshop?.[Symbol.dispose]());

  needs("root", "busybox-static").for(traps)("$name", async (trap) => {
    const file = trap.file.replaceAll("FROM B", "FROM b").replaceAll("--from=B", "--from=b");
    check(trap, await workshop.build(file, trap.files, trap.args));
  });
});

function check(trap: Trap, built: Built): void {
  if (trap.says !== undefined) expect(built.stderr).toContain(trap.says);
  if (trap.fails !== undefined) {
    expect(built.code).toBe(1);
    expect(built.stderr).toMatch(trap.fails);
    expect(built.stderr).not.toMatch(/defect of tsbuild|\n {4}at /);
    return;
  }
  expect({ code: built.code, stderr: built.code === 0 ? "" : built.stderr }).toEqual({ code: 0, stderr: "" });
  const { image } = built;
  if (trap.prints !== undefined) expect(built.stderr).toMatch(line(trap.prints));
  if (trap.bytes !== undefined) expect(image.configText).toContain(trap.bytes);
  if (trap.env !== undefined) expect(image.config.config.Env).toEqual(expect.arrayContaining([...trap.env]));
  if (trap.tree !== undefined) expect(image.layers.at(-1) ?? []).toEqual(trap.tree);
  for (const [path, content] of Object.entries(trap.holds ?? {})) expect(image.read(path)).toBe(content);
  for (const [path, metadata] of Object.entries(trap.metadata ?? {})) expect(image.metadata(path)).toBe(metadata);
  for (const [key, value] of Object.entries(trap.config ?? {}))
    expect(image.config.config[key as keyof typeof image.config.config]).toEqual(value);
}

/** A line of output in the plain progress: prefix, seconds, text. */
function line(text: string): RegExp {
  return new RegExp(`^#\\d+ \\[[^\\]]+\\] \\d+\\.\\d+ ${text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`, "m");
}
