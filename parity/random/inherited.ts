/** What an image hands on: configuration and triggers of a parent, of its parent, and of stages, kept or overridden. */
import fc from "fast-check";
import type { Draft } from "./draft.ts";

const words = fc.constantFrom(
  '["a","b c"]',
  '["$v"]',
  "[]",
  "a  b",
  "a && b",
  '["a" , "b"]',
  "['a']",

  '[ "a\\"b" ]',
  "",
);
const shell = fc.constantFrom('["/bin/sh","-ec"]', '["/bin/sh", "-c"]', '["x"]', '["/bin/sh","-c","$0 $1","y"]');
const duration = fc.constantFrom("30s", "1m30s", "1h", "500ms", "1.5s", "1h0m0.25s", "1ms");
const port = fc.constantFrom("80", "81/udp", "80/TCP", "443/tcp", "90-92", "90-91/udp", "$p", "080");
const path = fc.constantFrom("/v", "v", "/v/", "/a b", "$v", "/v/../w", "//x");
const pair = fc
  .tuple(
    fc.constantFrom("a", "v", "p", "PATH", "HOME", "e"),
    fc.constantFrom("1", "", '"x y"', "$v", "${e:-d}", "a=b", "/x:$PATH", "82/udp", "x\\ y"),
  )
  .map(([name, value]) => `${name}=${value}`);
const label = fc
  .tuple(fc.constantFrom("a", "b.c", '"d e"', "v"), fc.constantFrom("1", "", '"x y"', "$v", "'$v'", "<&>"))
  .map(([name, value]) => `${name}=${value}`);

const config = fc.oneof(
  { weight: 3, arbitrary: words.map((each) => `CMD ${each}`) },
  { weight: 3, arbitrary: words.map((each) => `ENTRYPOINT ${each}`) },
  shell.map((each) => `SHELL ${each}`),
  { weight: 2, arbitrary: fc.array(pair, { minLength: 1, maxLength: 3 }).map((all) => `ENV ${all.join(" ")}`) },
  fc.array(label, { minLength: 1, maxLength: 3 }).map((all) => `LABEL ${all.join(" ")}`),
  fc.array(port, { minLength: 1, maxLength: 3 }).map((all) => `EXPOSE ${all.join(" ")}`),
  fc.array(path, { minLength: 1, maxLength: 2 }).map((all) => `VOLUME ${all.join(" ")}`),
  fc.array(path, { minLength: 1, maxLength: 2 }).map((all) => `VOLUME ${JSON.stringify(all)}`),
  fc.constantFrom("7", "bob", "bob:staff", "7:8", "$v", "0", "root").map((user) => `USER ${user}`),
  fc.constantFrom("/w", "w", "..", "/", "$v", "/a/../b", "x y", "/w/", ".").map((folder) => `WORKDIR ${folder}`),
  fc.constantFrom("9", "SIGTERM", "term", "$v", "SIGRTMIN+3", "15").map((signal) => `STOPSIGNAL ${signal}`),
  fc.constantFrom("me", "a <b@c> $v", "ü").map((name) => `MAINTAINER ${name}`),
  fc
    .tuple(
      fc.array(
        fc.oneof(
          fc
            .tuple(fc.constantFrom("--interval", "--timeout", "--start-period"), duration)
            .map(([flag, value]) => `${flag}=${value}`),
          fc.constantFrom("--retries=3", "--retries=1"),
        ),
        { maxLength: 3 },
      ),
      fc.constantFrom("CMD x  y", 'CMD ["x","$v"]', "NONE", "cmd x", "CMD"),
    )
    .map(([flags, test]) => ["HEALTHCHECK", ...flags, test].join(" ")),
  fc
    .tuple(fc.constantFrom("a", "v", "b"), fc.constantFrom("", "=1", "=$v", "="))
    .map(([name, value]) => `ARG ${name}${value}`),
  fc.constantFrom(
    "RUN echo $a $v > /f",
    "RUN true",
    "RUN pwd > /cwd; id -u > /id; id -g >> /id",
    "RUN env | grep -v HOSTNAME | sort > /env",
  ),
);

const trigger = fc
  .oneof(
    config,
    fc.constantFrom(
      "COPY f /f",
      "ADD f /g",
      "COPY --from=one /etc/passwd /p",
      "COPY nope /",
      "RUN echo triggered >> /t",
      "copy f /",
      "FOO x",
      "WORKDIR onbuild",
    ),
  )
  .map((line) => `ONBUILD ${line}`);

const parentLines = fc.array(fc.oneof({ weight: 3, arbitrary: config }, { weight: 1, arbitrary: trigger }), {
  minLength: 1,
  maxLength: 6,
});
const childLines = fc.array(fc.oneof({ weight: 8, arbitrary: config }, { weight: 1, arbitrary: trigger }), {
  maxLength: 5,
});

/** `b` is the image of all cases; names of the images between are the case's own. */
export const inherited: fc.Arbitrary<Draft> = fc
  .record({
    base: fc.constantFrom("b", "b", "b", "scratch"),
    parent: parentLines,
    child: childLines,
    grandchild: fc.option(childLines, { nil: undefined }),
    byStages: fc.boolean(),
    mark: fc.nat(0xffff_ffff),
    args: fc.constantFrom<readonly string[]>(
      [],
      [],
      ["--build-arg", "a=given"],
      ["--build-arg", "v=/given", "--build-arg", "unknown=1"],
    ),
  })
  .map(({ base, parent, child, grandchild, byStages, mark, args }) => {
    const name = `tsbuild-random-${mark}`;
    const context = { f: "f" };
    const last = grandchild === undefined ? [] : [`FROM two`, ...grandchild];
    if (byStages)
      return {
        dockerfile: [`FROM ${base} AS one`, ...parent, "FROM one AS two", ...child, ...last].join("\n"),
        context,
        flags: args,
      };
    return {
      before: [{ dockerfile: [`FROM ${base}`, ...parent].join("\n"), context, tag: name, flags: [] }],
      dockerfile: [`FROM ${name} AS two`, ...child, ...last].join("\n"),
      context,
      flags: args,
    };
  });
