// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of a Dockerfile
import { describe, expect, test } from "vitest";
import type { NamedContext } from "../../src/planner/build-options.ts";
import { configOf, envOf, failureOf, type GraphRequest, graphOf, historyOf, runOf, targetOf } from "./support/graph.ts";

interface EnvRow {
  readonly text: string;
  readonly env: readonly string[];
  readonly args?: Record<string, string>;
}

test.for<EnvRow>([
  { text: "FROM scratch⏎ENV a=1⏎ENV a=2 b=$a", env: ["a=2", "b=1"] },
  { text: "FROM scratch⏎ARG a=1 b=$a⏎ENV r=$b", env: ["r=1"] },
  { text: "ARG v=1⏎FROM scratch⏎ENV a=[$v]", env: ["a=[]"] },
  { text: "ARG v=1⏎FROM scratch⏎ARG v⏎ENV a=[$v]", env: ["a=[1]"] },
  { text: "ARG b=g⏎FROM scratch⏎ARG b=$b-s⏎ENV r=$b", env: ["r=-s"] },
  { text: "ARG a=1 b=$a⏎FROM scratch⏎ARG b⏎ENV r=$b", env: ["r=1"] },
  { text: "FROM scratch⏎ARG TARGETARCH=x⏎ENV r=$TARGETARCH", env: ["r=x"] },
  { text: "FROM scratch⏎ARG TARGETARCH⏎ENV r=$TARGETARCH", env: ["r=amd64"] },
  { text: "FROM scratch⏎ARG TARGETVARIANT⏎ENV r=[${TARGETVARIANT-unset}]", env: ["r=[]"] },
  { text: "FROM scratch⏎ARG TARGETSTAGE⏎ENV r=$TARGETSTAGE", env: ["r=default"] },
  { text: "FROM scratch AS s⏎ARG TARGETSTAGE⏎ENV r=$TARGETSTAGE", env: ["r=s"] },
  { text: "FROM scratch⏎ARG TARGETOS⏎ENV r=$TARGETOS", args: { TARGETOS: "plan9" }, env: ["r=plan9"] },
  { text: "FROM scratch⏎ENV r=[$TARGETARCH]", env: ["r=[]"] },
  { text: "FROM scratch AS s⏎ARG a=1⏎FROM s⏎ENV r=[$a]", env: ["r=[1]"] },
  { text: "FROM scratch AS s⏎ENV a=1⏎FROM s⏎ENV r=[$a]", env: ["a=1", "r=[1]"] },
  { text: "FROM scratch⏎ENV a b=c", env: ["a=b=c"] },
  { text: "FROM scratch⏎ENV a b  c", env: ["a=b  c"] },
  { text: "FROM scratch⏎ENV v=foo⏎ENV r=${v/#f/X}", env: ["v=foo", "r=foo"] },
  { text: "FROM scratch⏎ENV p=$$ q=$1x", env: ["p=", "q=x"] },
  { text: "FROM scratch⏎ENV a=1 \\⏎⏎# note⏎  b=2", env: ["a=1", "b=2"] },
  { text: "FROM scratch⏎ENV a=1\\\\⏎ENV b=2", env: ["a=1\\", "b=2"] },
  { text: "FROM scratch⏎ENV X=1⏎ARG X=2", env: ["X=1"] },
  { text: "FROM scratch⏎ENV X=1⏎ARG X=2⏎ENV r=$X", env: ["X=1", "r=2"] },
  { text: "FROM scratch⏎ARG X=1⏎ENV X=2⏎ENV r=$X", env: ["X=2", "r=2"] },
  { text: "FROM scratch⏎ENV X=1⏎ARG X⏎ENV r=$X", env: ["X=1", "r=1"] },
  { text: "FROM scratch⏎ARG X=1⏎ENV r=$X", args: { X: "2" }, env: ["r=2"] },
  { text: "FROM scratch⏎ARG X=1⏎ENV r=[$X]", args: { X: "" }, env: ["r=[]"] },
  { text: "FROM scratch⏎ENV r=[$X]", args: { X: "2" }, env: ["r=[]"] },
  { text: "FROM scratch⏎ENV a=1 b=2⏎ENV a=3", env: ["a=3", "b=2"] },
  { text: 'FROM scratch⏎ENV k=x⏎ENV "$k"=1', env: ["k=x", "x=1"] },
  { text: "FROM scratch⏎ARG BUILDKIT_SBOM_SCAN_STAGE=x⏎ENV r=[$BUILDKIT_SBOM_SCAN_STAGE]", env: ["r=[]"] },
])("environment of $text", async ({ text, env, args }) => {
  expect(await envOf(text, args === undefined ? {} : { args })).toEqual(env);
});

test.for([
  { text: 'FROM scratch AS a⏎CMD ["x"]⏎FROM a⏎ENTRYPOINT ["e"]', config: { Entrypoint: ["e"], Cmd: undefined } },
  { text: 'FROM scratch⏎CMD ["x"]⏎ENTRYPOINT ["e"]', config: { Entrypoint: ["e"], Cmd: ["x"] } },
  { text: "FROM scratch⏎CMD a  b", config: { Cmd: ["/bin/sh", "-c", "a  b"], ArgsEscaped: true } },
  { text: 'FROM scratch⏎CMD ["a"] # c', config: { Cmd: ["/bin/sh", "-c", '["a"] # c'] } },
  { text: "FROM scratch⏎CMD []", config: { Cmd: undefined, ArgsEscaped: true } },
  { text: "FROM scratch⏎CMD", config: { Cmd: ["/bin/sh", "-c", ""] } },
  { text: 'FROM scratch⏎ENTRYPOINT ["a"]⏎ENTRYPOINT []', config: { Entrypoint: undefined } },
  { text: 'FROM scratch⏎SHELL ["/b", "-c"]⏎CMD x⏎SHELL ["/z"]', config: { Cmd: ["/b", "-c", "x"], Shell: ["/z"] } },
  { text: "FROM scratch⏎WORKDIR /a/../b/", config: { WorkingDir: "/a/../b/" } },
  { text: "FROM scratch⏎WORKDIR /a⏎WORKDIR b/../c", config: { WorkingDir: "/a/c" } },
  { text: "FROM scratch⏎WORKDIR /a⏎WORKDIR $x", config: { WorkingDir: "/a" } },
  { text: "FROM scratch⏎WORKDIR /a b", config: { WorkingDir: "/a b" } },
  { text: 'FROM scratch⏎USER a⏎USER ""', config: { User: undefined } },
  {
    text: "FROM scratch⏎EXPOSE 443/UDP 080 +81",
    config: { ExposedPorts: { "443/udp": {}, "80/tcp": {}, "81/tcp": {} } },
  },
  { text: 'FROM scratch⏎ARG p="80 81/udp"⏎EXPOSE $p', config: { ExposedPorts: { "80/tcp": {}, "81/udp": {} } } },
  { text: "FROM scratch⏎EXPOSE 8080:80", config: { ExposedPorts: { "80/tcp": {} } } },
  { text: "FROM scratch⏎EXPOSE 7-9", config: { ExposedPorts: { "7/tcp": {}, "8/tcp": {}, "9/tcp": {} } } },
  { text: 'FROM scratch⏎VOLUME /a b/⏎VOLUME ["/c d"]', config: { Volumes: { "/a": {}, "b/": {}, "/c d": {} } } },
  { text: "FROM scratch⏎LABEL a=1 b=⏎LABEL a=2", config: { Labels: { a: "2", b: "" } } },
  { text: "FROM scratch⏎STOPSIGNAL RTMIN+3", config: { StopSignal: "RTMIN+3" } },
  {
    text: "FROM scratch⏎HEALTHCHECK CMD --interval=5s x",
    config: { Healthcheck: { Test: ["CMD-SHELL", "--interval=5s x"] } },
  },
  {
    text: 'FROM scratch⏎HEALTHCHECK --interval=30s --retries=2 CMD ["a"]',
    config: { Healthcheck: { Test: ["CMD", "a"], Interval: 30e9, Retries: 2 } },
  },
  { text: "FROM scratch⏎HEALTHCHECK NONE", config: { Healthcheck: { Test: ["NONE"] } } },
  { text: "FROM scratch⏎ONBUILD COPY a", config: { OnBuild: ["COPY a"] } },
  { text: "FROM scratch", config: { WorkingDir: "/" } },
])("config of $text", async ({ text, config }) => {
  const actual: Record<string, unknown> = { ...(await configOf(text)) };
  for (const [key, value] of Object.entries(config)) expect(actual[key], key).toEqual(value);
});

test("the image's config is taken over, PATH is added, OnBuild is not inherited", async () => {
  const images = { "x:1": { Env: ["A=1"], Cmd: ["c"], User: "u", OnBuild: ["ENV T=1"], StopSignal: "9" } };
  const graph = await graphOf("FROM x:1⏎ENV A=2", { images });
  expect(targetOf(graph).image.config).toEqual({
    Env: ["A=2", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "T=1"],
    Cmd: ["c"],
    User: "u",
    StopSignal: "9",
  });
  expect(targetOf(graph).image.baseHistory).toEqual([{ created_by: "base x:1" }]);
});

test.for([
  { text: "FROM b⏎RUN a  b", history: ["RUN /bin/sh -c a  b # buildkit"] },
  { text: 'FROM b⏎RUN ["a", "b c"]', history: ["RUN a b c # buildkit"] },
  {
    text: "FROM b⏎ARG A=1 B⏎ARG A=2⏎ENV B=3⏎RUN x",
    history: ["ARG A=1 B", "ARG A=2", "ENV B=3", "RUN |2 A=2 B=3 /bin/sh -c x # buildkit"],
  },
  { text: "FROM scratch⏎ENV a=1 b='x y'", history: ["ENV a=1 b=x y"] },
  { text: "FROM scratch⏎LABEL k=v", history: ["LABEL k=v"] },
  {
    text: "FROM scratch⏎COPY --chmod=07 --chown=1 --link --exclude=z a b $x/d/",
    history: ["COPY --chown=1 --chmod=07 a b /d/ # buildkit"],
  },
  { text: "FROM scratch⏎COPY a <<E b /d/⏎x⏎E", history: ["COPY a b <<E /d/ # buildkit"] },
  { text: "FROM scratch⏎ADD a /", history: ["ADD a / # buildkit"] },
  { text: "FROM scratch⏎WORKDIR /w⏎WORKDIR x⏎WORKDIR /", history: ["WORKDIR /w", "WORKDIR /w/x", "WORKDIR /"] },
  { text: 'FROM scratch⏎CMD ["a","b"]⏎CMD x', history: ['CMD ["a" "b"]', 'CMD ["/bin/sh" "-c" "x"]'] },
  { text: "FROM scratch⏎CMD []", history: ["CMD []"] },
  { text: 'FROM scratch⏎ENTRYPOINT ["b"]', history: ['ENTRYPOINT ["b"]'] },
  { text: 'FROM scratch⏎SHELL ["/bin/bash", "-c"]', history: ["SHELL [/bin/bash -c]"] },
  { text: "FROM scratch⏎EXPOSE 80 443/udp", history: ["EXPOSE [443/udp 80/tcp]"] },
  { text: "FROM scratch⏎USER x", history: ["USER x"] },
  { text: "FROM scratch⏎VOLUME /a /b", history: ["VOLUME [/a /b]"] },
  { text: "FROM scratch⏎STOPSIGNAL 9", history: ["STOPSIGNAL 9"] },
  { text: "FROM scratch⏎MAINTAINER a <b@c>", history: ["MAINTAINER a <b@c>"] },
  { text: "FROM scratch⏎ONBUILD RUN x", history: [] },
  {
    text: "FROM scratch⏎HEALTHCHECK --interval=30s CMD x",
    history: ["HEALTHCHECK {Test:[CMD-SHELL x] Interval:30s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}"],
  },
])("history of $text", async ({ text, history }) => {
  expect(await historyOf(text)).toEqual(history);
});

test("every layer's history names its step, the base stage's too", async () => {
  const graph = await graphOf("FROM scratch AS a⏎COPY x /⏎ENV y=1⏎FROM a⏎WORKDIR /w");
  expect(targetOf(graph).image.history.map((entry) => entry.step)).toEqual(["0.0", undefined, "1.0"]);
  expect(targetOf(graph).base).toEqual({ kind: "step", step: "0.0" });
  expect(graph.steps.map((step) => step.parent)).toEqual([{ kind: "scratch" }, { kind: "step", step: "0.0" }]);
});

describe("what RUN gets", () => {
  test.for([
    { text: "FROM b⏎RUN a \\⏎  b", argv: ["/bin/sh", "-c", "a   b"] },
    { text: "FROM b⏎RUN", argv: ["/bin/sh", "-c", ""] },
    { text: "FROM b⏎RUN ['echo','x']", argv: ["/bin/sh", "-c", "['echo','x']"] },
    { text: 'FROM b⏎ENV X=y⏎RUN ["echo","$X"]', argv: ["echo", "$X"] },
    { text: 'FROM b⏎SHELL ["/s"]⏎RUN x', argv: ["/s", "x"] },
    { text: "FROM b⏎RUN <<E⏎false⏎echo on⏎E", argv: ["/bin/sh", "-c", "false\necho on\n"] },
    { text: "FROM b⏎RUN <<-E⏎\tx⏎\tE", argv: ["/bin/sh", "-c", "x\n"] },
    { text: "FROM b⏎RUN cat <<A && x <<'B'⏎1⏎A⏎2⏎B", argv: ["/bin/sh", "-c", "cat <<A && x <<'B'\n1\nA\n2\nB"] },
  ])("argv of $text", async ({ text, argv }) => {
    expect(await runOf(text)).toMatchObject({ argv, scripts: [] });
  });

  test("a heredoc with #! is a file that the shell is given", async () => {
    expect(await runOf("FROM b⏎RUN <<E⏎#!/bin/sh⏎echo $0⏎E")).toMatchObject({
      argv: ["/bin/sh", "-c", "/dev/pipes/E"],
      scripts: [{ name: "E", content: "#!/bin/sh\necho $0\n" }],
    });
  });

  test("env is in order of last assignment, declared ARGs included", async () => {
    const images = { "x:latest": { Env: ["A=1", "PATH=/p"] } };
    const { env } = await runOf("FROM x⏎ENV B=2⏎ARG C=3⏎ENV A=4⏎ARG D⏎RUN x", { images });
    expect(env).toEqual(["PATH=/p", "B=2", "C=3", "A=4"]);
  });

  test("FROM --platform leaves TARGETARCH alone", async () => {
    const { env } = await runOf("FROM --platform=linux/arm64 b⏎ARG TARGETARCH⏎RUN x");
    expect(env).toContain("TARGETARCH=amd64");
  });

  test("proxies stand outside the keyed value", async () => {
    const graph = await graphOf("FROM b⏎RUN x", { args: { http_proxy: "http://p" } });
    expect(graph.steps[0]?.unkeyed.proxies).toEqual(["HTTP_PROXY=http://p", "http_proxy=http://p"]);
    expect(JSON.stringify(graph.steps[0]?.input)).not.toContain("http://p");
    expect(graph.warnings).toEqual([]);
  });

  test.for([
    { flags: "type=cache,target=/c", mount: { type: "cache", target: "/c", id: "/c", sharing: "shared", mode: 0o755 } },
    { flags: "type=cache,target=k", mount: { type: "cache", target: "/w/k", id: "k" } },
    { flags: "type=cache", mount: { type: "cache", target: "/w", id: "/w", from: { kind: "scratch" } } },
    {
      flags: "target=/m",
      mount: { type: "bind", target: "/m", source: "/", readonly: true, from: { kind: "context" } },
    },
    { flags: "target=m,source=../s/,rw", mount: { target: "/w/m", source: "/s", readonly: false } },
    { flags: "from=st,target=/m", mount: { from: { kind: "step", step: "0.0" } } },
    { flags: "from=scratch,target=/m", mount: { from: { kind: "scratch" } } },
    { flags: "type=tmpfs,target=/t,size=1m", mount: { type: "tmpfs", sizeBytes: 1048576, readonly: false } },
    { flags: "type=secret,id=a/n", mount: { type: "secret", target: "/run/secrets/n", id: "a/n", mode: 0o400 } },
    { flags: "type=secret,target=/x/n", mount: { type: "secret", target: "/x/n", id: "n" } },
    { flags: "type=secret,id=n,env=T", mount: { type: "secret", env: "T", id: "n" } },
    { flags: "type=secret,id=n,env=T,target=f", mount: { target: "/w/f", env: "T" } },
    { flags: "type=bind,target=/$X", mount: { target: "/y" } },
  ])("--mount=$flags", async ({ flags, mount }) => {
    const { mounts } = await runOf(`FROM scratch AS st⏎COPY a /⏎FROM b⏎ENV X=y⏎WORKDIR /w⏎RUN --mount=${flags} x`);
    expect(mounts).toHaveLength(1);
    if (flags === "type=secret,id=n,env=T") expect(mounts[0]).not.toHaveProperty("target");
    expect(mounts[0]).toMatchObject(mount);
  });

  test("mounts are sorted by target", async () => {
    const { mounts } = await runOf(
      "FROM b⏎RUN --mount=type=tmpfs,target=/z --mount=type=tmpfs,target=/a/b --mount=type=tmpfs,target=/a x",
    );
    expect(mounts.map((mount) => mount.target)).toEqual(["/a", "/a/b", "/z"]);
  });

  test("--network of the command line is for those without their own", async () => {
    const options = { network: "none" } as const;
    expect(await runOf("FROM b⏎RUN x", { options })).toMatchObject({ network: "none" });
    expect(await runOf("FROM b⏎RUN --network=none x", { options: { network: "host" } })).toMatchObject({
      network: "none",
    });
    expect(await runOf("FROM b⏎RUN --network=host x", { options: { allow: ["network.host"] } })).toMatchObject({
      network: "host",
    });
  });
});

describe("what COPY gets", () => {
  const copyOf = async (line: string, before = ""): Promise<unknown> =>
    (await graphOf(`FROM scratch⏎${before}${line}`)).steps.at(-1)?.input;

  test.for([
    { line: "COPY ../../f ./a/ /x/ /d/", sources: ["/f", "/a", "/x"], destination: "/d/" },
    { line: "COPY . .", sources: ["/"], destination: "/w/" },
    { line: "COPY a b", sources: ["/a"], destination: "/w/b" },
    { line: "COPY a /x/../y", sources: ["/a"], destination: "/y" },
    { line: "COPY a /x/.", sources: ["/a"], destination: "/x/" },
    { line: "COPY a /", sources: ["/a"], destination: "/" },
    { line: "COPY a ../..", sources: ["/a"], destination: "/" },
    { line: "COPY --parents x/./a/f y /d/", sources: ["/x/./a/f", "/y"], destination: "/d/" },
    { line: 'COPY ["a b", "/c d"]', sources: ["/a b"], destination: "/c d" },
  ])("$line", async ({ line, sources, destination }) => {
    expect(await copyOf(line, "WORKDIR /w⏎")).toMatchObject({
      from: { kind: "context" },
      sources: sources.map((path) => ({ kind: "path", path })),
      destination,
    });
  });

  test.for([
    { line: "COPY <<E /f⏎a\\nb⏎E", content: "anb\n" },
    { line: "COPY <<\\E /f⏎[$x]⏎E", content: "[]\n" },
    { line: "COPY <<'E' /f⏎$x\\n⏎E", content: "$x\\n\n" },
    { line: "COPY <<-E /f⏎\t\ta⏎\tE", content: "a\n" },
    { line: "COPY <<E /f⏎${y}'⏎E", content: "1'\n" },
  ])("heredoc $line", async ({ line, content }) => {
    expect(await copyOf(line, "ENV y=1⏎")).toMatchObject({ sources: [{ kind: "heredoc", name: "E", content }] });
  });

  test("a heredoc's escape is the backslash, whatever the file's is", async () => {
    const graph = await graphOf("# escape=`⏎FROM scratch⏎COPY <<E /f⏎\\$x`⏎E");
    expect(graph.steps[0]?.input).toMatchObject({ sources: [{ content: "$x`\n" }] });
  });

  test("two heredocs of one name are both the last", async () => {
    expect(await copyOf("COPY <<a <<a /d/⏎1⏎a⏎2⏎a")).toMatchObject({
      sources: [
        { name: "a", content: "2\n" },
        { name: "a", content: "2\n" },
      ],
    });
  });

  test.for([
    { chmod: "644", mode: { kind: "octal", mode: 0o644 } },
    { chmod: "0007", mode: { kind: "octal", mode: 7 } },
    { chmod: "u+x,go=u", mode: { kind: "symbolic", text: "u+x,go=u" } },
  ])("--chmod=$chmod", async ({ chmod, mode }) => {
    expect(await copyOf(`COPY --chmod=${chmod} a /`)).toMatchObject({ chmod: mode });
  });

  test("--from names a stage by number or name in any case, a context or an image", async () => {
    const graph = await graphOf(
      "FROM scratch AS Foo⏎COPY a /⏎FROM scratch⏎COPY --from=0 a /⏎COPY --from=FOO a /⏎COPY --from=b a /",
      {
        options: { namedContexts: new Map([["c", { kind: "directory", path: "/somewhere" }]]) },
      },
    );
    expect(graph.steps.map((step) => (step.input.kind === "copy" ? step.input.from.kind : ""))).toEqual([
      "context",
      "step",
      "step",
      "image",
    ]);
  });
});

describe("the graph", () => {
  test("holds what the target needs and asks for no other image", async () => {
    const asked: string[] = [];
    const graph = await graphOf(
      "FROM no/such AS x⏎RUN y⏎FROM b AS base⏎FROM scratch AS other⏎COPY a /⏎FROM base⏎COPY --from=b / /",
      { asked },
    );
    expect(graph.stages.map((stage) => stage.index)).toEqual([1, 3]);
    expect(asked).toEqual(["b:latest"]);
  });

  test("--target takes the last stage of a name", async () => {
    const graph = await graphOf("FROM scratch AS a⏎ENV x=1⏎FROM scratch AS A⏎ENV x=2⏎FROM scratch", {
      options: { target: "a" },
    });
    expect(graph.stages.map((stage) => stage.index)).toEqual([1]);
  });

  test("FROM takes the latest stage above of a repeated name", async () => {
    expect(await envOf("FROM scratch AS a⏎ENV x=1⏎FROM scratch AS a⏎ENV x=2⏎FROM a⏎FROM a AS a")).toEqual(["x=2"]);
  });

  test("triggers run once, in the child, and not in the grandchild", async () => {
    const graph = await graphOf("FROM b AS a⏎ONBUILD RUN t⏎FROM a AS c⏎FROM c⏎RUN u");
    expect(graph.steps.map((step) => [step.id, step.text])).toEqual([
      ["1.0", "RUN t"],
      ["2.0", "RUN u"],
    ]);
    expect(graph.steps[0]?.range).toEqual({ start: 26, end: 37 });
  });

  test("a trigger's --from is resolved in the child's file", async () => {
    const images = { "x:latest": { OnBuild: ["COPY --from=src /f /"] } };
    const graph = await graphOf("FROM scratch AS src⏎COPY f /⏎FROM x", { images });
    expect(graph.steps.map((step) => step.id)).toEqual(["0.0", "1.0"]);
  });

  test("labels: stage, place, and the base image as the first", async () => {
    const label = async (text: string): Promise<readonly string[]> =>
      (await graphOf(text)).steps.map((step) => step.label);
    expect(await label("FROM b⏎ENV a=1⏎RUN x⏎WORKDIR /w⏎WORKDIR /")).toEqual(["2/3", "3/3"]);
    expect(await label("FROM scratch AS Build⏎COPY a /⏎COPY b /⏎FROM scratch⏎COPY --from=Build / /")).toEqual([
      "Build 1/2",
      "Build 2/2",
      "stage-1 1/1",
    ]);
  });

  test("--label goes over LABEL, on the target only, without history", async () => {
    const graph = await graphOf("FROM scratch AS a⏎LABEL k=1 j=1⏎FROM a", {
      options: { labels: new Map([["k", "2"]]) },
    });
    expect(targetOf(graph).image.config.Labels).toEqual({ k: "2", j: "1" });
    expect(graph.stages[0]?.image.config.Labels).toEqual({ k: "1", j: "1" });
    expect(targetOf(graph).image.history).toHaveLength(1);
  });

  test("--no-cache-filter names stages", async () => {
    const graph = await graphOf("FROM b AS X⏎RUN a⏎FROM x⏎RUN b", { options: { noCacheFilter: ["x"] } });
    expect(graph.steps.map((step) => step.noCache)).toEqual([true, false]);
  });

  test("an image without layers is an empty tree with a config", async () => {
    const graph = await graphOf("FROM b⏎COPY --from=scratch / /");
    expect(graph.steps[0]?.input).toMatchObject({ from: { kind: "scratch" } });
  });

  test.for([
    { name: "no --platform: the base's", text: "FROM b", options: { platforms: [] }, arch: "amd64" },
    {
      name: "explicit: the target's",
      text: "FROM b",
      options: { platforms: [{ os: "linux", architecture: "arm64" }] },
      arch: "arm64",
    },
  ])("architecture, $name", async ({ text, options, arch }) => {
    expect(targetOf(await graphOf(text, { options })).image.architecture).toBe(arch);
  });

  test("unused build args are a warning, declared and predefined ones are not", async () => {
    const graph = await graphOf("ARG A⏎FROM scratch⏎ARG B", {
      args: { A: "1", B: "1", C: "1", TARGETARCH: "x", BUILDKIT_INLINE_CACHE: "1", HTTPS_PROXY: "p" },
    });
    expect(graph.warnings.map((warning) => warning.message)).toEqual(["One or more build-args [C] were not consumed"]);
  });
});

test("a build arg that only a trigger declares is used", async () => {
  const images = { "x:latest": { OnBuild: ["ARG V", "ENV r=$V"] } };
  const graph = await graphOf("FROM x", { images, args: { V: "1" } });
  expect(graph.warnings).toEqual([]);
  expect(targetOf(graph).image.config.Env).toContain("r=1");
});

test.for([
  { text: "FROM b⏎WORKDIR /w", epoch: undefined },
  { text: "ARG SOURCE_DATE_EPOCH=7⏎FROM b⏎WORKDIR /w", epoch: 7 },
  { text: "FROM b⏎WORKDIR /w", args: { SOURCE_DATE_EPOCH: "8" }, epoch: 8 },
])("SOURCE_DATE_EPOCH of WORKDIR: $text with $args", async ({ text, args, epoch }) => {
  const [step] = (await graphOf(text, args === undefined ? {} : { args })).steps;
  expect(step?.input.kind === "workdir" ? step.input.sourceDateEpoch : "none").toBe(epoch);
});

describe("SOURCE_DATE_EPOCH that names a source", () => {
  const added =
    "FROM scratch AS Src⏎ARG V=1⏎ADD https://h/$V.tar /⏎FROM b⏎ARG SOURCE_DATE_EPOCH⏎ENV e=$SOURCE_DATE_EPOCH";
  const asked = async (text: string, value: string, options: GraphRequest["options"] = {}): Promise<unknown[]> => {
    const sources: unknown[] = [];
    const timeOf = async (source: unknown): Promise<number> => sources.push(source) + 8;
    const graph = await graphOf(text, { args: { SOURCE_DATE_EPOCH: value, V: "2" }, options, timeOf });
    return [graph.sourceDateEpoch, ...sources, ...(targetOf(graph).image.config.Env ?? [])];
  };
  const platforms = ["amd64", "arm64"].map((architecture) => ({ os: "linux", architecture }));

  test("is the time of what a stage fetches, and ARG sees the seconds", async () => {
    const url = { kind: "url", url: "https://h/2.tar", checksum: undefined };
    const env = [expect.stringContaining("PATH="), "e=9"];
    expect(await asked(added, "src")).toEqual([9, url, ...env]);
    expect(await asked(added, "SRC", { platforms })).toEqual([9, url, ...env]);
    const git = added.replace("https://h/$V.tar", "--checksum=ab12 https://h/$V.git#main");
    expect((await asked(git, "src"))[1]).toMatchObject({
      kind: "git",
      source: { remote: "https://h/2.git", ref: "main", checksum: "ab12" },
    });
  });

  test("is that of a context of this name, which goes before a stage; a folder and an image have none", async () => {
    const withContext = (context: NamedContext): GraphRequest["options"] => ({
      namedContexts: new Map([["src", context]]),
    });
    const git = await asked(added, "src", withContext({ kind: "git", url: "https://h/x.git" }));
    expect(git.slice(0, 2)).toMatchObject([9, { kind: "git", source: { remote: "https://h/x.git" } }]);
    const url = await asked(added, "src", withContext({ kind: "url", url: "https://h/x" }));
    expect(url.slice(0, 2)).toMatchObject([9, { kind: "url", url: "https://h/x" }]);
    for (const context of [
      { kind: "directory", path: "/d" },
      { kind: "image", reference: "b" },
    ] as const)
      expect(await asked(added, "src", withContext(context))).toEqual([
        undefined,
        expect.stringContaining("PATH="),
        "e=",
      ]);
  });

  test.for([
    { stage: "FROM b AS src⏎ADD https://h/a /", line: 1, why: "must use FROM scratch" },
    { stage: "FROM scratch AS src⏎ARG A", line: 1, why: "must hold one ADD" },
    { stage: "FROM scratch AS src⏎ADD https://h/a /⏎ADD https://h/b /", line: 3, why: "must hold exactly one ADD" },
    { stage: "FROM scratch AS src⏎ADD https://h/a https://h/b /", line: 2, why: "must ADD exactly one source" },
    { stage: "FROM scratch AS src⏎ADD a /", line: 2, why: "must ADD a URL or a git repository" },
    { stage: "FROM scratch AS src⏎ADD https://h/a /⏎COPY a /", line: 3, why: "ARG and ADD only, not COPY" },
  ])("$stage is no such stage: $why", async ({ stage, line, why }) => {
    const error = await asked(`${stage}⏎FROM b`, "src").catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: "INSTRUCTION_INVALID",
      message: expect.stringContaining(why),
      where: { line },
    });
  });
});

describe("named contexts", () => {
  const directory = (name: string): GraphRequest => ({
    options: { namedContexts: new Map([[name, { kind: "directory", path: "/dir" }]]) },
  });

  test("replace a stage of their name, which is then not built", async () => {
    const graph = await graphOf("FROM scratch AS s⏎COPY f /⏎FROM scratch⏎COPY --from=s / /", directory("s"));
    expect(graph.steps.map((step) => step.input)).toMatchObject([{ from: { kind: "context", name: "s" } }]);
  });

  test("replace an image, compared as references are", async () => {
    const asked: string[] = [];
    const graph = await graphOf("FROM alpine:latest", { ...directory("docker.io/library/alpine"), asked });
    expect(asked).toEqual([]);
    expect(graph.steps).toHaveLength(1);
    expect(targetOf(graph).image.history).toEqual([{ createdBy: "FROM docker.io/library/alpine", step: "0.0" }]);
    expect((await graphOf("FROM alpine:3⏎", { ...directory("alpine"), images: { "alpine:3": {} } })).steps).toEqual([]);
  });

  test("can be images, with their config", async () => {
    const graph = await graphOf("FROM golang", {
      options: { namedContexts: new Map([["golang", { kind: "image", reference: "b" }]]) },
      images: { "b:latest": { User: "u" } },
    });
    expect(targetOf(graph).image.config.User).toBe("u");
  });

  test("are never looked at when nothing uses them", async () => {
    const namedContexts = new Map([["x", { kind: "unknown", value: "target:app" } as const]]);
    expect(await failureOf("FROM scratch", { options: { namedContexts } })).toBeUndefined();
    expect(await failureOf("FROM x", { options: { namedContexts } })).toMatchObject({
      code: "UNSUPPORTED",
      message: expect.stringMatching(/target:app is for docker buildx bake/),
    });
  });
});

interface FailureRow extends GraphRequest {
  readonly text: string;
  readonly code: string;
  readonly what: RegExp;
  readonly hint?: RegExp;
  readonly at?: readonly [number, number];
}

test.for<FailureRow>([
  { text: "FROM scratch AS Foo⏎FROM Foo", code: "INVALID_REFERENCE", what: /lowercase/, hint: /FROM foo/, at: [2, 6] },
  {
    text: "FROM scratch⏎COPY --from=0 /f /",
    code: "INSTRUCTION_INVALID",
    what: /circular.*0 uses itself/,
    at: [2, 13],
  },
  { text: "FROM scratch⏎COPY --from=1 /f /", code: "STAGE_NOT_FOUND", what: /stage 1 does not exist/, at: [2, 13] },
  {
    text: "FROM scratch AS a⏎COPY --from=c / /⏎FROM scratch AS c⏎COPY --from=a / /⏎FROM scratch",
    code: "INSTRUCTION_INVALID",
    what: /circular dependency: a → c → a/,
  },
  {
    text: "FROM scratch AS a⏎COPY x /⏎FROM scratch AS c⏎COPY --from=a / /⏎FROM scratch AS a",
    options: { target: "c" },
    code: "INSTRUCTION_INVALID",
    what: /stage a must be defined before/,
    at: [4, 13],
  },
  {
    text: "FROM scratch AS a⏎FROM scratch",
    options: { target: "nope" },
    code: "STAGE_NOT_FOUND",
    what: /target stage "nope" could not be found/,
    hint: /stages are a/,
  },
  {
    text: "FROM scratch AS build",
    options: { target: "biuld" },
    code: "STAGE_NOT_FOUND",
    what: /"biuld"/,
    hint: /mean build\?/,
  },
  { text: "FROM scratch", options: { target: "0" }, code: "STAGE_NOT_FOUND", what: /"0"/ },
  { text: "FROM ${x:?none}⏎FROM scratch", code: "EXPANSION_FAILED", what: /x: none/, at: [1, 6] },
  { text: "FROM $x", code: "INSTRUCTION_INVALID", what: /base name is empty: \$x/, at: [1, 6] },
  { text: "FROM --platform=$x scratch", code: "INSTRUCTION_INVALID", what: /--platform is empty/ },
  { text: "FROM --platform=a/b/c/d scratch", code: "INVALID_PLATFORM", what: /invalid platform/ },
  { text: "FROM nope", code: "BASE_IMAGE_NOT_FOUND", what: /no image nope/, at: [1, 6] },
  { text: "FROM 0", code: "BASE_IMAGE_NOT_FOUND", what: /no image 0:latest/ },
  {
    text: "FROM b AS a⏎FROM b⏎RUN --mount=from=0,target=/m ls",
    code: "BASE_IMAGE_NOT_FOUND",
    what: /no stage "0", and as an image: no image 0/,
  },
  {
    text: "FROM scratch AS build⏎FROM scratch⏎COPY --from=biuld x y",
    code: "BASE_IMAGE_NOT_FOUND",
    what: /no stage "biuld"/,
    hint: /build/,
    at: [3, 13],
  },
  { text: "FROM scratch⏎ENV a=${b:?}", code: "EXPANSION_FAILED", what: /b: must be set and not empty/ },
  { text: "FROM scratch⏎ENV p='\\x'⏎ENV a=${b#$p}", code: "EXPANSION_FAILED", what: /invalid escape \\x/ },
  { text: "FROM scratch⏎VOLUME $x", code: "INSTRUCTION_INVALID", what: /VOLUME/ },
  { text: "FROM scratch⏎ARG p=80/foo⏎EXPOSE $p", code: "INSTRUCTION_INVALID", what: /protocol "foo"/ },
  { text: "FROM scratch⏎ARG p=82-80⏎EXPOSE $p", code: "INSTRUCTION_INVALID", what: /ends before/ },
  { text: "FROM scratch⏎ARG p=70000⏎EXPOSE $p", code: "INSTRUCTION_INVALID", what: /0 to 65535/ },
  { text: "FROM scratch⏎ARG p=/tcp⏎EXPOSE $p", code: "INSTRUCTION_INVALID", what: /no port/ },
  { text: "FROM scratch⏎ARG p=1.2.3.999:1:80⏎EXPOSE $p", code: "INSTRUCTION_INVALID", what: /no address/ },
  { text: "FROM scratch⏎ARG p=1-2:8-10⏎EXPOSE $p", code: "INSTRUCTION_INVALID", what: /different lengths/ },
  { text: "FROM scratch⏎ARG p=0⏎STOPSIGNAL $p", code: "INSTRUCTION_INVALID", what: /signal "0"/ },
  { text: "FROM scratch⏎ARG p=SIGFOO⏎STOPSIGNAL $p", code: "INSTRUCTION_INVALID", what: /signal "SIGFOO"/ },
  { text: "FROM scratch⏎ARG m=999⏎COPY --chmod=$m a /", code: "INSTRUCTION_INVALID", what: /mode "999"/ },
  { text: "FROM scratch⏎ARG m=0o7⏎COPY --chmod=$m a /", code: "INSTRUCTION_INVALID", what: /mode "0o7"/ },
  { text: "FROM scratch⏎ARG u=http://h/x⏎COPY $u /", code: "INSTRUCTION_INVALID", what: /COPY takes no URL/ },
  { text: "FROM scratch⏎ADD https://h/x.git?a=b /", code: "INSTRUCTION_INVALID", what: /unexpected query key "a"/ },
  { text: "FROM scratch⏎COPY --parents . /", code: "INSTRUCTION_INVALID", what: /names nothing to keep/ },
  { text: "FROM b⏎RUN []", code: "INSTRUCTION_INVALID", what: /no command/ },
  {
    text: "FROM b⏎RUN --security=insecure x",
    code: "INSTRUCTION_INVALID",
    what: /security.insecure/,
    hint: /--allow security.insecure/,
  },
  {
    text: "FROM b⏎RUN --network=host x",
    code: "INSTRUCTION_INVALID",
    what: /entitlement/,
    hint: /--allow network.host/,
  },
  {
    text: "FROM b⏎ARG T=volume⏎RUN --mount=type=$T,target=/m x",
    code: "INSTRUCTION_INVALID",
    what: /volume is no type/,
  },
  { text: "FROM b⏎ARG T=bind⏎RUN --mount=type=$T,size=1m x", code: "INSTRUCTION_INVALID", what: /bind has no size/ },
  { text: "FROM b⏎ARG R=maybe⏎RUN --mount=ro=$R,target=/m x", code: "INSTRUCTION_INVALID", what: /true or false/ },
  { text: "FROM b⏎RUN --mount=target=/$x x", code: "INSTRUCTION_INVALID", what: /target is the root/ },
  {
    text: "FROM x",
    images: { "x:latest": { OnBuild: ["COPY a"] } },
    code: "INSTRUCTION_INVALID",
    what: /trigger "COPY a"/,
    at: [1, 1],
  },
  {
    text: "FROM scratch AS a⏎ONBUILD FOO x⏎FROM a",
    code: "INSTRUCTION_INVALID",
    what: /trigger "FOO x"/,
    at: [3, 1],
  },
])("rejected: $text", async ({ text, code, what, hint, at, ...request }) => {
  const error = await failureOf(text, request);
  expect(error).toMatchObject({ code, message: expect.stringMatching(what) });
  if (hint !== undefined) expect(error).toMatchObject({ hint: expect.stringMatching(hint) });
  if (at !== undefined) expect(error).toMatchObject({ where: { line: at[0], column: at[1] } });
});
