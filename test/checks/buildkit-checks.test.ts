// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of a Dockerfile
// The checks that BuildKit has: when each fires, on which line, in which words, and when it does not.
import { expect, test } from "vitest";
import { checkText, type FindingsRequest, findingsOf, namesOf } from "./findings.ts";

interface Row extends FindingsRequest {
  readonly text: string;
  readonly found: readonly string[];
}

test.for<Row>([
  {
    text: "FROM scratch⏎copy a /⏎COPY b /",
    found: ["2 ConsistentInstructionCasing: Command 'copy' should match the case of the command majority (uppercase)"],
  },
  {
    text: "from scratch⏎COPY a /⏎copy b /",
    found: ["2 ConsistentInstructionCasing: Command 'COPY' should match the case of the command majority (lowercase)"],
  },
  {
    text: "From scratch⏎FROM scratch",
    found: ["1 ConsistentInstructionCasing: Command 'From' should match the case of the command majority (uppercase)"],
  },
  { text: "arg A⏎FROM scratch⏎COPY a /", found: [] },
  { text: "from scratch⏎copy a /", found: [] },
  {
    text: "FROM scratch AS Build",
    found: ["1 StageNameCasing: Stage name 'Build' should be lowercase"],
  },
  {
    text: "FROM scratch as base",
    found: ["1 FromAsCasing: 'as' and 'FROM' keywords' casing do not match"],
  },
  { text: "from scratch AS base", found: ["1 FromAsCasing: 'AS' and 'from' keywords' casing do not match"] },
  {
    text: "FROM scratch AS b⏎FROM scratch AS B",
    found: [
      '2 DuplicateStageName: Duplicate stage name "b", stage names should be unique',
      "2 StageNameCasing: Stage name 'B' should be lowercase",
    ],
  },
  {
    text: "FROM scratch AS scratch⏎FROM scratch AS context",
    found: [
      '1 ReservedStageName: Stage name should not use the same name as reserved stage "scratch"',
      '2 ReservedStageName: Stage name should not use the same name as reserved stage "context"',
    ],
  },
  { text: "FROM scratch⏎COPY a \\⏎⏎/⏎COPY b \\⏎/", found: ["4 NoEmptyContinuation: Empty continuation line"] },
  {
    text: "FROM scratch⏎CMD mycommand⏎ENTRYPOINT x",
    found: [
      "2 JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
      "3 JSONArgsRecommended: JSON arguments recommended for ENTRYPOINT to prevent unintended behavior related to OS signals",
    ],
  },
  { text: 'FROM scratch⏎SHELL ["/x"]⏎CMD mycommand', found: [] },
  { text: 'FROM scratch AS a⏎SHELL ["/x"]⏎FROM a⏎ENTRYPOINT mycommand', found: [] },
  { text: "FROM b⏎CMD x", images: { b: { Shell: ["/x"] } }, found: [] },
  {
    text: "FROM scratch⏎MAINTAINER me@example.org",
    found: ["2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label"],
  },
  {
    text: "FROM --platform=$BULIDPLATFORM scratch",
    found: ["1 UndefinedArgInFrom: FROM argument 'BULIDPLATFORM' is not declared (did you mean BUILDPLATFORM?)"],
  },
  {
    text: "ARG tag=latest⏎FROM busybox:${tag}${version} AS b",
    found: ["2 UndefinedArgInFrom: FROM argument 'version' is not declared"],
  },
  { text: "ARG DEBUG⏎FROM scratch${DEBUG}", found: [] },
  { text: "FROM --platform=$BUILDPLATFORM scratch", found: [] },
  {
    text: "FROM scratch⏎WORKDIR app/",
    found: ['2 WorkdirRelativePath: Relative workdir "app/" can have unexpected results if the base image changes'],
  },
  { text: "FROM scratch AS a⏎WORKDIR /app⏎FROM a AS b⏎WORKDIR subdir/", found: [] },
  { text: "FROM scratch⏎WORKDIR /a⏎WORKDIR b", found: [] },
  {
    text: "FROM b⏎WORKDIR a",
    images: { b: { WorkingDir: "/x" } },
    found: ['2 WorkdirRelativePath: Relative workdir "a" can have unexpected results if the base image changes'],
  },
  { text: "FROM scratch⏎ARG foo⏎COPY Dockerfile${foo} .", found: [] },
  { text: "FROM b AS base⏎ARG foo=x⏎FROM base⏎COPY $foo .", images: { b: {} }, found: [] },
  {
    text: "FROM scratch⏎COPY $foo .⏎ARG foo=bar⏎RUN echo $foo",
    found: ["2 UndefinedVar: Usage of undefined variable '$foo'"],
  },
  {
    text: "FROM scratch⏎ARG DIR_ASSETS=assets/⏎COPY $DIR_ASSET .",
    found: ["3 UndefinedVar: Usage of undefined variable '$DIR_ASSET' (did you mean $DIR_ASSETS?)"],
  },
  {
    text: "FROM scratch⏎ENV PATH=$PAHT:/tmp/bin",
    found: ["2 UndefinedVar: Usage of undefined variable '$PAHT' (did you mean $PATH?)"],
  },
  { text: "FROM scratch⏎ENV a=${x:-1}", found: ["2 UndefinedVar: Usage of undefined variable '$x'"] },
  { text: "FROM scratch⏎COPY <<E /f⏎$x⏎E", found: ["2 UndefinedVar: Usage of undefined variable '$x'"] },
  { text: "FROM scratch⏎COPY <<'E' /f⏎$x⏎E", found: [] },
  { text: "FROM scratch⏎ARG a=1 b=$a", found: [] },
  { text: "FROM scratch⏎ARG a=$x", args: { a: "1" }, found: [] },
  { text: "FROM b⏎ENV a=$JAVA_HOME", images: { b: { Env: ["JAVA_HOME=/j"] } }, found: [] },
  { text: "FROM b⏎ENV a=$q", images: { b: { OnBuild: ["ENV q=1"] } }, found: [] },
  {
    text: 'FROM scratch⏎ENTRYPOINT ["a"]⏎ENTRYPOINT ["b"]⏎CMD ["a"]⏎CMD ["b"]⏎HEALTHCHECK CMD a⏎HEALTHCHECK NONE',
    found: [
      "2 MultipleInstructionsDisallowed: Multiple ENTRYPOINT instructions should not be used in the same stage because only the last one will be used",
      "4 MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the last one will be used",
      "6 MultipleInstructionsDisallowed: Multiple HEALTHCHECK instructions should not be used in the same stage because only the last one will be used",
    ],
  },
  { text: 'FROM scratch AS a⏎CMD ["a"]⏎FROM a⏎CMD ["b"]', found: [] },
  {
    text: "FROM scratch⏎ENV testkey value⏎LABEL key value",
    found: [
      '2 LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value" format',
      '3 LegacyKeyValueFormat: "LABEL key=value" should be used instead of legacy "LABEL key value" format',
    ],
  },
  {
    text: "FROM b",
    images: { b: {} },
    architecture: "arm64",
    found: [
      '1 InvalidBaseImagePlatform: Base image b was pulled with platform "linux/arm64", expected "linux/amd64" for current build',
    ],
  },
  { text: "FROM --platform=linux/arm64 b AS on-arm64", images: { b: {} }, architecture: "arm64", found: [] },
  {
    text: "FROM --platform=${TARGETPLATFORM} scratch",
    found: [
      "1 RedundantTargetPlatform: Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is the default behavior",
    ],
  },
  {
    text: "ARG VERSION⏎FROM busybox:$VERSION",
    args: { VERSION: "latest" },
    found: [
      "2 InvalidDefaultArgInFrom: Default value for ARG busybox:$VERSION results in empty or invalid base image name",
    ],
  },
  {
    text: "ARG IMAGE⏎FROM $IMAGE",
    args: { IMAGE: "busybox" },
    found: ["2 InvalidDefaultArgInFrom: Default value for ARG $IMAGE results in empty or invalid base image name"],
  },
  { text: "ARG V⏎FROM busybox:stable${V}", args: { V: "-musl" }, found: [] },
  {
    text: "FROM --platform=linux/amd64 scratch",
    found: ['1 FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value "linux/amd64"'],
  },
  { text: "FROM --platform=linux/amd64 scratch AS my_amd64_stage", found: [] },
  { text: "FROM --platform=linux/amd64 scratch AS linux", found: [] },
  {
    text: "FROM scratch⏎COPY notes.md .⏎ADD a/b.md /x⏎COPY *.md /",
    ignore: "*.md⏎a",
    found: [
      '2 CopyIgnoredFile: Attempting to Copy file "notes.md" that is excluded by .dockerignore',
      '3 CopyIgnoredFile: Attempting to Add file "a/b.md" that is excluded by .dockerignore',
      '4 CopyIgnoredFile: Attempting to Copy file "*.md" that is excluded by .dockerignore',
    ],
  },
  { text: "FROM scratch⏎COPY . /", ignore: "*.md", found: [] },
  {
    text: "FROM scratch⏎COPY . /",
    ignore: "**",
    found: ['2 CopyIgnoredFile: Attempting to Copy file "." that is excluded by .dockerignore'],
  },
  { text: "FROM scratch⏎COPY a.md /", ignore: "*⏎!b", found: [] },
  { text: "FROM scratch AS a⏎FROM scratch⏎COPY --from=a a.md /⏎ADD http://h/a.md /", ignore: "*.md", found: [] },
  {
    text: "FROM scratch⏎EXPOSE 8080:80 127.0.0.1:1:1",
    found: [
      "2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '8080:80'",
      "2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:1:1'",
    ],
  },
  {
    text: "FROM scratch⏎EXPOSE 53/UDP 80/tcp",
    found: ["2 ExposeProtoCasing: Defined protocol '53/UDP' in EXPOSE instruction should be lowercase"],
  },
  {
    text: "# check=experimental=InvalidDefinitionDescription⏎# bar is it⏎ARG foo=bar⏎# foo is it⏎FROM scratch AS base⏎# no⏎ARG a=1 b=2",
    found: [
      "3 InvalidDefinitionDescription: Comment for ARG should follow the format: `# foo <description>`",
      "5 InvalidDefinitionDescription: Comment for FROM should follow the format: `# base <description>`",
      "7 InvalidDefinitionDescription: Comment for ARG should follow the format: `# <arg_key> <description>`",
    ],
  },
  { text: "# bar is it⏎ARG foo=bar⏎FROM scratch", found: [] },
])("$text", async ({ text, found, ...request }) => {
  expect(await findingsOf(text, request)).toEqual(found);
});

test.for([
  { name: "SECRET_PASSPHRASE", secret: true },
  { name: "SUPER_Secret", secret: true },
  { name: "password", secret: true },
  { name: "git_key", secret: true },
  { name: "apikey", secret: true },
  { name: "PUBLIC_KEY", secret: false },
  { name: "TOKEN_FILE", secret: false },
  { name: "KEYS", secret: false },
  { name: "MONKEY", secret: false },
])("ARG and ENV $name: a secret = $secret", async ({ name, secret }) => {
  const found = await findingsOf(`FROM scratch⏎ARG ${name}⏎ENV ${name}=x`);
  const message = (keyword: string) =>
    `SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (${keyword} "${name}")`;
  expect(found).toEqual(secret ? [`2 ${message("ARG")}`, `3 ${message("ENV")}`] : []);
});

test.for([
  { settings: "skip=all", found: [] },
  { settings: "skip=FromAsCasing, ConsistentInstructionCasing", found: [] },
  { settings: "skip=ConsistentInstructionCasing;error=true", found: ["2 FromAsCasing"] },
  { settings: "skip=NoSuchCheck", found: ["2 FromAsCasing", "3 ConsistentInstructionCasing"] },
])("# check=$settings", async ({ settings, found }) => {
  expect(await namesOf(`#check=${settings}⏎FROM scratch as base⏎copy Dockerfile .`)).toEqual(found);
});

test("the build argument replaces the directive", async () => {
  const args = { BUILDKIT_DOCKERFILE_CHECK: "skip=ConsistentInstructionCasing" };
  expect(await namesOf("#check=skip=all⏎FROM scratch as base⏎copy a /", { args })).toEqual(["2 FromAsCasing"]);
});

test("a build argument that cannot be read is an error", async () => {
  const args = { BUILDKIT_DOCKERFILE_CHECK: "skip" };
  await expect(findingsOf("FROM scratch", { args })).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
    message: "BUILDKIT_DOCKERFILE_CHECK: skip in check has no =",
  });
});

test("skip has no say in experimental checks", async () => {
  const text = "# check=skip=all;experimental=all⏎# bar is it⏎ARG foo=bar⏎FROM scratch as x";
  expect(await namesOf(text)).toEqual(["3 InvalidDefinitionDescription"]);
});

test("a comment above an instruction configures it alone", async () => {
  const text = "FROM scratch⏎# check=skip=JSONArgsRecommended⏎CMD a⏎ENTRYPOINT b";
  expect(await namesOf(text)).toEqual(["4 JSONArgsRecommended"]);
});

test("stages that the target does not need are left out of a build's checks", async () => {
  const text = "FROM scratch AS a⏎COPY $x /⏎FROM scratch AS b⏎COPY $y /⏎FROM scratch⏎COPY --from=b / /";
  expect(await namesOf(text)).toEqual(["2 UndefinedVar", "4 UndefinedVar"]);
  expect(await namesOf(text, { needed: true })).toEqual(["4 UndefinedVar"]);
  expect(await namesOf(text, { needed: true, options: { target: "a" } })).toEqual(["2 UndefinedVar"]);
});

test("a stage that is replaced by a context is not looked at", async () => {
  const namedContexts = new Map([["a", { kind: "directory", path: "/x" } as const]]);
  expect(await namesOf("FROM scratch AS a⏎COPY $x /", { options: { namedContexts } })).toEqual([]);
});

test("of a variable that nobody set the range is its own", async () => {
  const { dockerfile, warnings } = await checkText("FROM scratch⏎COPY a \\⏎  b$x-c /");
  expect(warnings.map(({ range }) => dockerfile.text.slice(range.start, range.end))).toEqual(["$x"]);
});

test("a broken line is left out and the others are checked", async () => {
  expect(await namesOf("FROM scratch AS BadStageName⏎BADCMD⏎MAINTAINER x")).toEqual([
    "1 StageNameCasing",
    "3 MaintainerDeprecated",
  ]);
});

test("for several platforms each finding is told once, and those of one of them too", async () => {
  const platforms = [
    { os: "linux", architecture: "amd64" },
    { os: "linux", architecture: "arm64" },
  ];
  const found = await namesOf("FROM b⏎CMD x", { images: { b: {} }, options: { platforms } });
  expect(found).toEqual(["1 InvalidBaseImagePlatform", "2 JSONArgsRecommended"]);
});
