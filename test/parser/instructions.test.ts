// Forms, arity and what must be rejected, instruction by instruction.
import { expect, test } from "vitest";
import { parseGoDuration } from "../../src/parser/instructions/go-duration.ts";
import { nodeOf, problemsOf, rejected, show, warningsOf } from "./parsed.ts";

// FROM -------------------------------------------------------------------------------------------------------------

test.for([
  ["FROM a", { image: { raw: "a" } }],
  ["FROM a AS b", { stageName: "b", stageNameText: "b", asText: "AS" }],
  ["FROM a aS Build-1_x.y", { stageName: "build-1_x.y", stageNameText: "Build-1_x.y", asText: "aS" }],
  ["FROM as as as", { image: { raw: "as" }, stageName: "as" }],
  ["FROM --platform=$BUILDPLATFORM a:${V:-1}", { platform: { raw: "$BUILDPLATFORM" } }],
] as const)("%s", ([line, node]) => {
  expect(rejected(line)).toEqual([]);
  expect(nodeOf(line)).toMatchObject({ kind: "from", ...node });
});

test.for([
  ["FROM", "from-arguments: FROM"],
  ["FROM a b", "from-arguments: b"],
  ["FROM a AS", "from-arguments: AS"],
  ["FROM a AS b c", "from-arguments: c"],
  ["FROM a IS b", "from-arguments: IS b"],
  ["FROM a AS 1b", "bad-stage-name: 1b"],
  ["FROM a AS b/c", "bad-stage-name: b/c"],
  ["FROM a AS $b", "bad-stage-name: $b"],
  [`FROM ""`, `empty-name: ""`],
  ["FROM a:${V", "bad-substitution: ${V"],
] as const)("%s is rejected", ([line, problem]) => {
  expect(rejected(line)).toEqual([problem]);
});

// RUN --mount --------------------------------------------------------------------------------------------------------

const mountOf = (value: string) => {
  const node = nodeOf(`RUN --mount=${value} x`);
  return node.kind === "run" ? node.mounts[0] : undefined;
};

test.for([
  ["target=/m", { type: "bind" }],
  ["TYPE=Cache,Target=/m", { type: "cache" }],
  ["type=cache,dst=/m,sharing=LOCKED,id=$x,mode=0700,uid=1,gid=2", { type: "cache", sharing: "locked" }],
  ["type=bind,destination=/m,src=a,from=stage,rw", { type: "bind", from: "stage", readonly: false }],
  ["target=/m,ro=false", { readonly: false }],
  ["target=/m,readwrite=1", { readonly: false }],
  ["target=/m,readonly", { readonly: true }],
  ["type=tmpfs,target=/m,size=64m", { type: "tmpfs" }],
  ["type=tmpfs,target=/m,size=$s", { type: "tmpfs" }],
  ["type=secret,id=a,required", { type: "secret", required: true }],
  ["type=secret,src=a,env=T,mode=0440", { type: "secret" }],
  ["type=secret,target=/run/a", { type: "secret" }],
  ["type=ssh,required=false", { type: "ssh", required: false }],
  ["type=ssh", { type: "ssh" }],
] as const)("--mount=%s", ([value, mount]) => {
  expect(rejected(`RUN --mount=${value} x`)).toEqual([]);
  expect(mountOf(value)).toMatchObject(mount);
});

test("quotes of CSV keep a comma, and variables stay", () => {
  const mount = mountOf(`\\"target=/a,$b\\",type=cache`);
  expect([mount?.type, show(mount?.target)]).toEqual(["cache", "/a,${b}"]);
});

test.for([
  ["targt=/m", "targt=/m", "did you mean target?"],
  ["type=volume,target=/m", "type=volume", undefined],
  ["target", "target", undefined],
  ["type=cache,sharing=none,target=/m", "sharing=none", undefined],
  ["sharing=locked,target=/m", "sharing=locked", undefined],
  ["target=/m,mode=0700", "mode=0700", undefined],
  ["target=/m,uid=0", "uid=0", undefined],
  ["type=cache,target=/m,mode=9", "mode=9", undefined],
  ["type=cache,target=/m,uid=-1", "uid=-1", undefined],
  ["type=cache,target=/m,gid=4294967296", "gid=4294967296", undefined],
  ["target=/m,size=1m", "size=1m", undefined],
  ["size=1m,type=tmpfs,target=/m", "size=1m", undefined],
  ["type=tmpfs,target=/m,size=many", "size=many", undefined],
  ["required,type=secret,id=a", "required", undefined],
  ["target=/m,required", "required", undefined],
  ["target=/m,ro=yes", "ro=yes", undefined],
  ["target=/m,from=$x", "from=$x", undefined],
  ["type=secret", "--mount=type=secret", undefined],
  ["type=secret,id=a,source=b", "--mount=type=secret,id=a,source=b", undefined],
  ["type=secret,id=a,from=b", "from=b", undefined],
  ["type=ssh,source=a", "source=a", undefined],
  ["target=/m,env=X", "env=X", undefined],
  [`\\"target=/m`, `--mount=\\"target=/m`, undefined],
  [`target=/\\"m`, `--mount=target=/\\"m`, undefined],
] as const)("--mount=%s is rejected", ([value, at, hint]) => {
  expect(problemsOf(`FROM a\nRUN --mount=${value} x`)).toEqual([{ code: "bad-mount", at, hint }]);
});

test("a variable in type, sharing, readonly or required leaves the rest for later", () => {
  for (const value of ["size=1,type=$t", "sharing=$s,target=/m", "ro=$r,mode=0700", "type=secret,required=$q,id=a"])
    expect(mountOf(value)?.late?.map(({ key }) => key)).toEqual(value.split(",").map((field) => field.split("=")[0]));
  expect(problemsOf("FROM a\nRUN --mount=type=$t,targt=/m x").map(({ hint }) => hint)).toEqual([
    "did you mean target?",
  ]);
});

test("options without effect are a warning", () => {
  expect(
    warningsOf("FROM a\nRUN --mount=type=tmpfs,target=/m,from=b,source=c x").map(({ code, at }) => [code, at]),
  ).toEqual([
    ["idle-mount-option", "from=b"],
    ["idle-mount-option", "source=c"],
  ]);
});

test("several mounts keep their order", () => {
  expect(nodeOf("RUN --mount=target=/a --mount=type=tmpfs,target=/b x")).toMatchObject({
    mounts: [{ type: "bind" }, { type: "tmpfs" }],
  });
});

test("RUN with nothing is an empty shell command", () => {
  expect(rejected("RUN")).toEqual([]);
  expect(nodeOf("RUN")).toMatchObject({ kind: "run", command: { form: "shell", text: "" } });
});

// COPY and ADD -------------------------------------------------------------------------------------------------------

test("COPY and ADD with all their flags", () => {
  const copy = "COPY --from=b --chown=u --chmod=0644 --link --parents --exclude=*.md a c /d/";
  expect(rejected(copy)).toEqual([]);
  expect(nodeOf(copy)).toMatchObject({
    kind: "copy",
    from: { value: "b" },
    link: true,
    parents: true,
    exclude: ["*.md"],
    sources: [{ raw: "a" }, { raw: "c" }],
  });
  const add = "ADD --keep-git-dir --checksum=sha256:0 --unpack=false --chown=u https://example.org/x /d/";
  expect(rejected(add)).toEqual([]);
  expect(nodeOf(add)).toMatchObject({ kind: "add", keepGitDir: true, unpack: false, checksum: { raw: "sha256:0" } });
  expect(nodeOf("ADD a b")).not.toHaveProperty("unpack");
});

test.for([
  ["COPY", "missing-argument: COPY"],
  ["ADD a", "missing-argument: a"],
  ["COPY --link a", "missing-argument: a"],
  [`COPY ["a"]`, `missing-argument: ["a"]`],
  ["COPY []", "missing-argument: []"],
  ["COPY --from=$x a b", "variable-in-from: --from=$x"],
  ["COPY http://h/x /d", "url-in-copy: http://h/x"],
  ["COPY a git@github.com:x/y /d", "url-in-copy: git@github.com:x/y"],
  ["ADD --checksum=sha256:0 a /d", "checksum-of-local: sha256:0"],
  ["ADD --checksum=sha256:0 http://h/a http://h/b /d", "checksum-of-local: sha256:0"],
  ["COPY --chmod=999 a b", "bad-chmod: 999"],
  ["COPY --chmod=0o644 a b", "bad-chmod: 0o644"],
  ["COPY --chmod=17777 a b", "bad-chmod: 17777"],
  ["COPY --chmod=u+y a b", "bad-chmod: u+y"],
  ["COPY --chmod=, a b", "bad-chmod: ,"],
] as const)("%s is rejected", ([line, problem]) => {
  expect(rejected(line)).toEqual([problem]);
});

test.for(["0", "7777", "000644", "u+x", "go=u", "a+X", "=rw", "u+x,g-w,o=", "u=rwx+s", "$m"])(
  "--chmod=%s is fine",
  (mode) => {
    expect(rejected(`COPY --chmod=${mode} a b`)).toEqual([]);
  },
);

test("--checksum of a variable source waits for the planner", () => {
  expect(rejected("ADD --checksum=sha256:0 $u /d")).toEqual([]);
});

// CMD, ENTRYPOINT, SHELL ---------------------------------------------------------------------------------------------

test("CMD and ENTRYPOINT may be empty, SHELL may not", () => {
  expect(nodeOf("CMD")).toMatchObject({ kind: "cmd", command: { form: "shell", text: "" } });
  expect(nodeOf("ENTRYPOINT []")).toMatchObject({ kind: "entrypoint", command: { form: "exec", argv: [] } });
  expect(nodeOf(`SHELL ["a", "-c"]`)).toMatchObject({ kind: "shell", argv: ["a", "-c"] });
});

test.for([
  ["SHELL", "needs-json: SHELL"],
  ["SHELL []", "needs-json: []"],
  ["SHELL /bin/bash -c", "needs-json: /bin/bash -c"],
] as const)("%s is rejected", ([line, problem]) => {
  expect(rejected(line)).toEqual([problem]);
});

// EXPOSE ---------------------------------------------------------------------------------------------------------------

test.for([
  "80",
  "80 443/udp",
  "80/TCP",
  "+80",
  "080",
  "80-82",
  "8080:80",
  "127.0.0.1:80:80",
  "[::1]:80:80",
  "0",
  "65535",
  "$p",
  "80/$proto",
  `"80 81"`,
])("EXPOSE %s is fine", (ports) => {
  expect(rejected(`EXPOSE ${ports}`)).toEqual(ports.startsWith('"') ? expect.anything() : []);
});

test.for([
  ["EXPOSE", "missing-argument: EXPOSE"],
  ["EXPOSE 80/foo", "bad-port: 80/foo"],
  ["EXPOSE 82-80", "bad-port: 82-80"],
  ["EXPOSE 70000", "bad-port: 70000"],
  ["EXPOSE 80,81", "bad-port: 80,81"],
  ["EXPOSE /tcp", "bad-port: /tcp"],
  ["EXPOSE http", "bad-port: http"],
] as const)("%s is rejected", ([line, problem]) => {
  expect(rejected(line)).toEqual([problem]);
});

// HEALTHCHECK ------------------------------------------------------------------------------------------------------------

test("HEALTHCHECK keeps times in nanoseconds", () => {
  const line =
    "HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=1h --start-interval=0 --retries=3 CMD curl -f localhost";
  expect(rejected(line)).toEqual([]);
  expect(nodeOf(line)).toMatchObject({
    kind: "healthcheck",
    command: { form: "shell", text: "curl -f localhost" },
    interval: 90e9,
    timeout: 5e8,
    startPeriod: 3600e9,
    startInterval: 0,
    retries: 3,
  });
});

test("flags behind CMD are the command's, NONE has no command", () => {
  expect(nodeOf("HEALTHCHECK CMD --interval=5s x")).toMatchObject({ command: { text: "--interval=5s x" } });
  expect(nodeOf("HEALTHCHECK none")).not.toHaveProperty("command");
});

test.for([
  ["HEALTHCHECK", "missing-argument: HEALTHCHECK"],
  ["HEALTHCHECK --interval=5s", "missing-argument: HEALTHCHECK"],
  ["HEALTHCHECK CMD", "missing-argument: CMD"],
  ["HEALTHCHECK CMD []", "missing-argument: CMD"],
  ["HEALTHCHECK curl x", "healthcheck-type: curl"],
  ["HEALTHCHECK NONE x", "healthcheck-none: x"],
  [`HEALTHCHECK NONE ["x"]`, `healthcheck-none: ["x"]`],
  ["HEALTHCHECK --interval=5 CMD x", "bad-flag-value: --interval=5"],
  ["HEALTHCHECK --interval=-1s CMD x", "bad-flag-value: --interval=-1s"],
  ["HEALTHCHECK --timeout=999us CMD x", "bad-flag-value: --timeout=999us"],
  ["HEALTHCHECK --retries=-1 CMD x", "bad-flag-value: --retries=-1"],
  ["HEALTHCHECK --retries=x CMD x", "bad-flag-value: --retries=x"],
] as const)("%s is rejected", ([line, problem]) => {
  expect(rejected(line)).toEqual([problem]);
});

test.for([
  ["0", 0],
  ["1s", 1e9],
  ["1h2m3.5s", 3723.5e9],
  [".5s", 5e8],
  ["1.s", 1e9],
  ["-1ms", -1e6],
  ["+1us", 1e3],
  ["1µs", 1e3],
  ["1", undefined],
  ["", undefined],
  ["s", undefined],
  ["1d", undefined],
  ["1 s", undefined],
  ["9999999999h", undefined],
] as const)("the duration %s is %s", ([text, nanoseconds]) => {
  expect(parseGoDuration(text)).toBe(nanoseconds);
});

// The rest -----------------------------------------------------------------------------------------------------------------

test.for([
  ["USER", "missing-argument: USER"],
  ["WORKDIR", "missing-argument: WORKDIR"],
  ["MAINTAINER", "missing-argument: MAINTAINER"],
  ["STOPSIGNAL", "missing-argument: STOPSIGNAL"],
  ["VOLUME", "missing-argument: VOLUME"],
  ["VOLUME []", "missing-argument: VOLUME"],
  [`VOLUME ["/a", ""]`, "empty-volume: "],
  [`VOLUME ""`, `empty-volume: ""`],
  ["STOPSIGNAL 0", "bad-signal: 0"],
  ["STOPSIGNAL SIGFOO", "bad-signal: SIGFOO"],
  ["STOPSIGNAL RTMIN+99", "bad-signal: RTMIN+99"],
  ["USER 'a", "unclosed-quote: 'a"],
] as const)("%s is rejected", ([line, problem]) => {
  expect(rejected(line)).toEqual([problem]);
});

test.for(["9", "99", "-1", "SIGTERM", "term", "sigKill", "RTMIN", "SIGRTMIN+3", "RTMAX-1", "$S"])(
  "STOPSIGNAL %s is fine",
  (signal) => {
    expect(rejected(`STOPSIGNAL ${signal}`)).toEqual([]);
  },
);

test("MAINTAINER is verbatim", () => {
  expect(nodeOf(`MAINTAINER "a  $b" <c@d> `)).toMatchObject({ kind: "maintainer", name: `"a  $b" <c@d>` });
});
