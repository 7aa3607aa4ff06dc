// What a person and a program see of build checks: check, --check, --call, --fix, and the end of a build.
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startDockerRegistry } from "../support/docker-registry.ts";
import { needs } from "../support/needs.ts";
import { temporaryTestFolder } from "../support/temporary-folder.ts";
import { type TsbuildResult, tsbuild } from "../support/tsbuild.ts";

interface Project extends Disposable {
  readonly path: string;
  run(...args: string[]): Promise<TsbuildResult>;
}

/** A folder with a Dockerfile, in which commands run; its store is the folder `store` in it, once something makes it. */
function project(dockerfile: string, files: Readonly<Record<string, string>> = {}): Project {
  const folder = temporaryTestFolder("check");
  for (const [name, content] of Object.entries({ Dockerfile: dockerfile, ...files })) {
    const path = join(folder.path, name);
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, content);
  }
  return {
    path: folder.path,
    run: (...args) => tsbuild(["--root", join(folder.path, "store"), ...args], { cwd: folder.path }),
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

const tenMistakes = `FROM scratch as Base
WORKDIRR /app
ENV mode value
COPY --form=x a b
EXPOSE 80:80
STOPSIGNAL SIGTREM
run echo $X
COPY $src /
CMD start
COPY --from=bace / /
`;

test("a file with ten mistakes has them all named, each at its place", async () => {
  using folder = project(tenMistakes);
  const { code, stdout, stderr } = await folder.run("build", "--check", ".");
  expect(code).toBe(1);
  expect(stderr).toBe("");
  expect(stdout.split("\n")[0]).toBe("Check complete, 4 errors and 7 warnings have been found!");
  const places = [...stdout.matchAll(/^Dockerfile:(\d+:\d+)/gm)].map(([, place]) => place);
  expect(places).toEqual(["1:14", "1:17", "2:1", "3:5", "4:6", "5:8", "6:12", "7:1", "8:6", "9:1", "10:13"]);
  expect(stdout).toContain("hint: did you mean WORKDIR?");
  expect(stdout).toContain("hint: did you mean --from?");
});

test("the report as text", async () => {
  using folder = project("FROM scratch\nCOPY a \\\n  $b /\nCMD x\n");
  const { code, stdout } = await folder.run("check");
  expect(code).toBe(1);
  expect(stdout).toMatchInlineSnapshot(`
    "Check complete, 2 warnings have been found!

    WARNING: UndefinedVar - https://docs.docker.com/go/dockerfile/rule/undefined-var/
    Usage of undefined variable '$b'
    Dockerfile:3:3
        3 |   $b /
          |   ^^
       page: docs/checks/UndefinedVar.md

    WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/
    JSON arguments recommended for CMD to prevent unintended behavior related to OS signals
    Dockerfile:4:1
        4 | CMD x
          | ^^^^^
       page: docs/checks/JSONArgsRecommended.md
    "
  `);
});

test("nothing found is said and is 0, and no store is made for the question", async () => {
  using folder = project("FROM somewhere/else:1\nRUN make\n");
  expect(await folder.run("check")).toMatchObject({
    code: 0,
    stdout: "Check complete, no warnings found.\n",
    stderr: "",
  });
  expect(existsSync(join(folder.path, "store"))).toBe(false);
});

test("JSON has BuildKit's shape, with lines of whole instructions", async () => {
  using folder = project("FROM scratch\nENV a=1 \\\n    token=2\nWORKDIRR x\n");
  const { code, stdout } = await folder.run("build", "--call=check,format=json", ".");
  expect(code).toBe(1);
  const report = JSON.parse(stdout);
  expect(report.warnings).toMatchObject([
    {
      ruleName: "SecretsUsedInArgOrEnv",
      description: "Sensitive data should not be used in the ARG or ENV commands",
      url: "https://docs.docker.com/go/dockerfile/rule/secrets-used-in-arg-or-env/",
      detail: 'Do not use ARG or ENV instructions for sensitive data (ENV "token")',
      location: { ranges: [{ start: { line: 2 }, end: { line: 3 } }] },
      range: { start: { line: 3, column: 5 }, end: { line: 3, column: 12 } },
    },
  ]);
  expect(report.sources).toEqual([
    { filename: "Dockerfile", language: "Dockerfile", data: readFileSync(join(folder.path, "Dockerfile"), "base64") },
  ]);
  expect(report.buildError).toEqual({
    message: "unknown instruction WORKDIRR",
    location: { ranges: [{ start: { line: 4 }, end: { line: 4 } }] },
  });
  expect(report.errors).toHaveLength(1);
});

test("SARIF has what its schema requires, and the places of the text", async () => {
  using folder = project("", { "sub dir/Dockerfile": tenMistakes });
  const { code, stdout } = await folder.run("check", "--format=sarif", "sub dir");
  expect(code).toBe(1);
  const log = JSON.parse(stdout);
  expect(log).toMatchObject({ version: "2.1.0", $schema: "https://json.schemastore.org/sarif-2.1.0.json" });
  const [run] = log.runs;
  const { rules } = run.tool.driver;
  expect(run.tool.driver.name).toBe("tsbuild");
  expect(run.results).toHaveLength(11);
  for (const { ruleId, ruleIndex, level, message, locations } of run.results) {
    expect(rules[ruleIndex].id).toBe(ruleId);
    expect(["error", "warning"]).toContain(level);
    expect(message.text).not.toBe("");
    const { artifactLocation, region } = locations[0].physicalLocation;
    expect(artifactLocation.uri).toBe("sub%20dir/Dockerfile");
    expect(region.startLine).toBeGreaterThan(0);
    expect(region.endLine > region.startLine || region.endColumn >= region.startColumn).toBe(true);
  }
  const casing = rules.find(({ id }: { readonly id: string }) => id === "StageNameCasing");
  expect(casing.helpUri).toBe("https://docs.docker.com/go/dockerfile/rule/stage-name-casing/");
  expect(casing.help.markdown).toContain("## Bad");
});

test("build and plan name the same errors as check, at the same places", async () => {
  using folder = project(tenMistakes);
  const placesIn = (text: string): readonly string[] =>
    [...text.matchAll(/^Dockerfile:(\d+:\d+): error/gm)].map(([, place]) => place ?? "");
  const places = placesIn((await folder.run("check")).stdout);
  expect(places).toEqual(["2:1", "4:6", "6:12", "10:13"]);
  for (const command of ["build", "plan"]) expect(placesIn((await folder.run(command, ".")).stderr)).toEqual(places);
});

test("what is below a FROM that cannot be read belongs to no stage above it", async () => {
  using folder = project("FROM scratch AS a\nFROM debian:12 as\nENV A=$B\nEXPOSE $C/tcp\nUSER x\n");
  const { stdout } = await folder.run("check");
  expect([...stdout.matchAll(/^Dockerfile:(\d+:\d+)/gm)].map(([, place]) => place)).toEqual(["2:16"]);
});

needs("root")("every source that is not in the context is named", async () => {
  using folder = project(
    "FROM scratch\nCOPY a b /\nCOPY nope* /\nFROM scratch\nCOPY src/mian.c /\nCOPY --from=0 / /\n",
    {
      "src/main.c": "",
      b: "",
      "unneeded/x": "",
    },
  );
  for (const command of ["build", "plan"]) {
    const { code, stderr } = await folder.run(command, ".");
    expect(code).toBe(1);
    expect(stderr.match(/^Dockerfile:\d+:\d+: error: .*not found/gm)).toEqual([
      expect.stringMatching(/^Dockerfile:2:1: error: "\/a" not found/),
      expect.stringMatching(/^Dockerfile:5:1: error: "\/src\/mian.c" not found/),
    ]);
    expect(stderr).toContain("src/main.c");
  }
});

const doubtful = `# check=skip=JSONArgRecommended,braces-in-path
FROM scratch
CMD ["x",]
COPY a, {b,c} /
# check=skip=comma-behind-path
COPY a, b /
`;

test("what the parser wonders about is in every report, unless the file skips it", async () => {
  using folder = project(doubtful);
  const wanted = ["unknown-check", "near-json", "JSONArgsRecommended", "comma-behind-path"];
  const json = JSON.parse((await folder.run("check", "--format=json")).stdout);
  const codes: readonly string[] = json.warnings.map(({ ruleName }: { readonly ruleName: string }) => ruleName);
  expect(codes.toSorted()).toEqual(wanted.toSorted());
  expect(json.warnings[0]).not.toHaveProperty("page");
  const { stdout } = await folder.run("check");
  expect(stdout).toContain("Dockerfile:1:1: warning: there is no check JSONArgRecommended");
  expect(stdout).toContain("hint: did you mean JSONArgsRecommended?");
  expect(stdout).toContain("hint: no comma stands in front of ]");
  expect((await folder.run("check", "--severity=error")).code).toBe(0);
});

test("SARIF has the edits of --fix, which applied by their regions make the same file", async () => {
  const text = `from scratch AS Build\nENV greeting "hello  world" again\nRUN a \\\n\n  && b\nEXPOSE 53/UDP\nCOPY --from=BUILD x /\nCOPY a b /\nWORKDIR x\nCMD x\n`;
  using folder = project(text);
  const [run] = JSON.parse((await folder.run("check", "--format=sarif")).stdout).runs;
  const fixed = run.results.filter((result: { readonly fixes?: unknown }) => result.fixes !== undefined);
  expect(new Set(fixed.map(({ ruleId }: { readonly ruleId: string }) => ruleId))).toEqual(
    new Set([
      "ConsistentInstructionCasing",
      "FromAsCasing",
      "StageNameCasing",
      "LegacyKeyValueFormat",
      "NoEmptyContinuation",
      "ExposeProtoCasing",
    ]),
  );
  expect(run.results.length).toBeGreaterThan(fixed.length);
  const edits = new Map<string, { readonly start: number; readonly end: number; readonly text: string }>();
  const lines = text.split("\n");
  const offset = (line: number, column: number): number =>
    lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0) + column - 1;
  for (const { fixes, locations } of fixed) {
    expect(fixes).toHaveLength(1);
    const [{ description, artifactChanges }] = fixes;
    expect(description.text).not.toBe("");
    expect(artifactChanges).toHaveLength(1);
    const [{ artifactLocation, replacements }] = artifactChanges;
    expect(artifactLocation).toEqual(locations[0].physicalLocation.artifactLocation);
    expect(replacements.length).toBeGreaterThan(0);
    for (const { deletedRegion: region, insertedContent } of replacements) {
      const start = offset(region.startLine, region.startColumn);
      const end = offset(region.endLine, region.endColumn);
      expect(end).toBeGreaterThan(start);
      edits.set(`${start}-${end}`, { start, end, text: insertedContent.text });
    }
  }
  const applied = [...edits.values()]
    .sort((a, b) => b.start - a.start)
    .reduce((before, edit) => before.slice(0, edit.start) + edit.text + before.slice(edit.end), text);
  await folder.run("check", "--fix");
  expect(readFileSync(join(folder.path, "Dockerfile"), "utf8")).toBe(applied);
  expect(applied).toContain('ENV greeting="hello  world again"');
});

test("text, JSON, SARIF and annotations say the same sentences", async () => {
  using folder = project(tenMistakes);
  const json = JSON.parse((await folder.run("check", "--format=json")).stdout);
  const messages = [
    ...json.warnings.map(({ detail }: { readonly detail: string }) => detail),
    ...json.errors.map(({ message }: { readonly message: string }) => message),
  ];
  expect(messages).toHaveLength(11);
  const text = (await folder.run("check")).stdout;
  for (const message of messages) expect(text).toContain(message);
  const [run] = JSON.parse((await folder.run("check", "--format=sarif")).stdout).runs;
  const sarif = run.results.map(
    ({ message }: { readonly message: { readonly text: string } }) => message.text.split("\n")[0],
  );
  expect(sarif.sort()).toEqual(messages.sort());
  const annotations = (await folder.run("check", "--format=gha")).stdout;
  for (const message of messages) expect(annotations).toContain(`::${message}`);
});

test("annotations of a workflow", async () => {
  using folder = project("FROM scratch as a\n");
  const { stdout } = await folder.run("check", "--format", "gha");
  expect(stdout).toBe(
    "::warning file=Dockerfile,line=1,endLine=1,col=14,endColumn=16,title=FromAsCasing::'as' and 'FROM' keywords' casing do not match%0Ahttps://docs.docker.com/go/dockerfile/rule/from-as-casing/\n",
  );
});

test("--call=check,ignorestatus=true finds the same and is 0", async () => {
  using folder = project("FROM scratch\nCMD x\n");
  const { code, stdout } = await folder.run("build", "--call", "check,ignorestatus=true", ".");
  expect(code).toBe(0);
  expect(stdout).toContain("1 warning has been found!");
});

test("--severity=error leaves warnings out", async () => {
  using folder = project("FROM scratch\nCMD x\n");
  expect((await folder.run("check", "--severity", "error")).code).toBe(0);
  expect((await folder.run("check")).code).toBe(1);
});

test("a Dockerfile on standard input", async () => {
  const { code, stdout } = await tsbuild(["check", "-"], { input: "FROM scratch\nCMD x\n" });
  expect(code).toBe(1);
  expect(stdout).toContain("Dockerfile:2:1");
});

needs("root")("what images of the store set is known, and what they are for", async () => {
  using folder = project("FROM scratch\nCOPY x /\nENV JAVA_HOME=/j\n", {
    x: "",
    "a/Dockerfile": "FROM mine:1\nENV PATH=$JAVA_HOME/bin:$JAVA_HOM\n",
    "b/Dockerfile": "FROM arm:1\n",
  });
  await folder.run("build", "-q", "-t", "mine:1", ".");
  await folder.run("build", "-q", "-t", "arm:1", "--platform=linux/arm64", ".");
  const known = await folder.run("check", "a");
  expect(known.stdout).toContain("'$JAVA_HOM' (did you mean $JAVA_HOME?)");
  expect(known.stdout).toContain("1 warning has been found!");
  expect((await folder.run("check", "b", "--platform=linux/amd64")).stdout).toContain(
    'Base image arm:1 was pulled with platform "linux/arm64", expected "linux/amd64" for current build',
  );
});

test.for([
  { args: ["--call=chekc"], says: "--call knows build, check, outline and targets, not chekc" },
  { args: ["--call=check,format=yaml"], says: "--format is yaml, but must be one of text, json, sarif, gha" },
  { args: ["--call=outline,format=sarif"], says: "--format is sarif, but must be one of text, json" },
  { args: ["--format=json"], says: "--format needs --check or --call" },
  { args: ["--fix"], says: "--fix needs --check" },
  { args: ["--severity=error"], says: "--severity needs --check" },
  { args: ["--check", "--severity=high"], says: "--severity is high, but must be one of warning, error" },
])("$args is wrong usage", async ({ args, says }) => {
  using folder = project("FROM scratch\n");
  const { code, stderr } = await folder.run("build", ...args, ".");
  expect(code).toBe(2);
  expect(stderr).toContain(says);
});

test("--call=targets and --call=outline", async () => {
  using folder = project(`# build compiles
FROM scratch AS build
# VERSION of the compiler
ARG VERSION=12
RUN --mount=type=secret,id=key,required --mount=type=ssh x
FROM scratch AS app
COPY --from=build / /
`);
  expect((await folder.run("build", "--call=targets", ".")).stdout).toBe(
    "TARGET          DESCRIPTION\nbuild           compiles\napp (default)\n",
  );
  expect((await folder.run("build", "--call=outline", "--build-arg", "VERSION=13", ".")).stdout).toBe(
    "TARGET: app\n\nBUILD ARG   VALUE   DESCRIPTION\nVERSION     13      of the compiler\n\n" +
      "SECRET   REQUIRED\nkey      true\n\nSSH       REQUIRED\ndefault\n\n",
  );
  const outline = JSON.parse((await folder.run("build", "--call=outline,format=json", "--target=build", ".")).stdout);
  expect(outline).toMatchObject({
    name: "build",
    description: "compiles",
    args: [
      { name: "VERSION", value: "12", description: "of the compiler", location: { ranges: [{ start: { line: 4 } }] } },
    ],
    secrets: [{ name: "key", required: true }],
    ssh: [{ name: "default" }],
  });
});

test("--fix rewrites the file behind a link, keeps its mode, and tells what is left", async () => {
  using folder = project("from scratch as A\nENV a b\nCOPY x /\nCOPY y /\nCMD x\n");
  const path = join(folder.path, "Dockerfile");
  chmodSync(path, 0o640);
  symlinkSync("Dockerfile", join(folder.path, "Linked"));
  const { code, stdout, stderr } = await folder.run("check", "--fix", "-f", "Linked", ".");
  expect(stderr).toBe("fixed 3 warnings in Linked\n");
  expect(code).toBe(1);
  expect(stdout).toContain("1 warning has been found!");
  expect(readFileSync(path, "utf8")).toBe("FROM scratch AS a\nENV a=b\nCOPY x /\nCOPY y /\nCMD x\n");
  expect(statSync(path).mode & 0o777).toBe(0o640);
});

test("--fix does not write what came from standard input", async () => {
  const { code, stderr } = await tsbuild(["check", "--fix", "-"], { input: "FROM scratch as a\n" });
  expect(code).toBe(2);
  expect(stderr).toContain("--fix needs a Dockerfile in a folder here");
});

test("check --explain prints a check's page, and knows the nearest", async () => {
  expect((await tsbuild(["check", "--explain", "UndefinedVar"])).stdout).toMatch(/^# UndefinedVar\n/);
  const { code, stderr } = await tsbuild(["check", "--explain", "UndefindVar"]);
  expect(code).toBe(2);
  expect(stderr).toContain("did you mean UndefinedVar?");
});

needs("root")("a build tells its warnings when its steps are done, and not tsbuild's own", async () => {
  using folder = project("FROM scratch AS unneeded\nCMD y\nFROM scratch\nCOPY x /\nCMD x\n", { x: "" });
  const { code, stderr } = await folder.run("build", "--progress=plain", ".");
  expect(code).toBe(0);
  const lines = stderr.split("\n");
  const at = lines.indexOf("1 warning found:");
  expect(at).toBeGreaterThan(lines.findIndex((line) => line.endsWith(" DONE 0.00s")));
  expect(lines[at + 2]).toMatch(/^WARNING: JSONArgsRecommended - /);
  expect(lines[at + 4]).toBe("Dockerfile:5:1");
  expect(lines.findIndex((line) => line.startsWith("built "))).toBeGreaterThan(at);
  // The second time all is cached, and the warning is told again.
  expect((await folder.run("build", "--progress=plain", ".")).stderr).toContain("1 warning found:");
  expect((await folder.run("build", "-q", ".")).stderr).toBe("");
  const json = (await folder.run("build", "--progress=json", ".")).stderr.trim().split("\n");
  const events = json.map((line) => JSON.parse(line));
  expect(events.find(({ kind }) => kind === "checks")).toMatchObject({ warnings: [{ code: "JSONArgsRecommended" }] });
});

needs("root")("a build that fails tells its warnings before the failure", async () => {
  using folder = project("FROM scratch\nCOPY $dir/x /\n");
  const { code, stderr } = await folder.run("build", "--progress=plain", ".");
  expect(code).toBe(1);
  expect(stderr.indexOf("WARNING: UndefinedVar")).toBeGreaterThan(0);
  expect(stderr.indexOf("error: ")).toBeGreaterThan(stderr.indexOf("WARNING: UndefinedVar"));
});

needs("root")("error=true rejects a build with a warning before its first step", async () => {
  using folder = project("# check=error=true\nFROM scratch\nCOPY x /\nCMD x\n", { x: "" });
  const { code, stderr } = await folder.run("build", "--progress=plain", ".");
  expect(code).toBe(1);
  expect(stderr).toContain("Dockerfile:1:1: error: lint violation found for rules: JSONArgsRecommended");
  expect(stderr).not.toContain("COPY");
  const args = ["--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all"];
  expect(await folder.run("build", "-q", ...args, ".")).toMatchObject({ code: 0, stderr: "" });
});

needs("root", "docker-registry")("--pull reads a base's config and pulls nothing", async () => {
  await using registry = await startDockerRegistry();
  const base = `${registry.host}/base:1`;
  using folder = project("FROM scratch\nCOPY x /\nENV JAVA_HOME=/j\n", {
    x: "",
    "a/Dockerfile": `FROM ${base}\nENV PATH=$JAVA_HOME/bin:$JAVA_HOM\n`,
    "b/Dockerfile": `FROM ${registry.host}/nothing:1\nENV a=$x\n`,
  });
  await folder.run("build", "-q", "-t", base, ".");
  await folder.run("push", base);
  await folder.run("rmi", "-f", base);
  const asked = await folder.run("check", "--pull", "a");
  expect(asked.stdout).toContain("Check complete, 1 warning has been found!");
  expect(asked.stdout).toContain("'$JAVA_HOM' (did you mean $JAVA_HOME?)");
  expect((await folder.run("images", "-q")).stdout).toBe("");
  expect((await folder.run("check", "a")).stdout).toContain("2 warnings have been found!");
  const absent = await folder.run("check", "--pull", "b");
  expect(absent.stderr).toMatch(/^warning: .*nothing:1/);
  expect(absent.stderr.trim().split("\n")).toHaveLength(1);
});
