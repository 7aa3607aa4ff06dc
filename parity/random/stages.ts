/** Stages that stand on each other, take from each other and from images, by names, numbers and mistakes; mounts too. */
import fc from "fast-check";
import type { Draft } from "./draft.ts";

const stageName = fc.constantFrom("one", "two", "Three", "four", "one", "b", "s.1", "x_y-z");
const base = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom("scratch", "b", "b", "one", "one", "b:latest", "$base", "${base:-b}") },
  { weight: 2, arbitrary: fc.constantFrom("two", "three", "four", "s.1") },
  { weight: 1, arbitrary: fc.constantFrom("Three", "0", "1", "nope", "b:other") },
);
const origin = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom("one", "one", "0", "b", "b:latest", '"one"') },
  { weight: 2, arbitrary: fc.constantFrom("two", "three", "four", "s.1") },
  { weight: 1, arbitrary: fc.constantFrom("THREE", "9", "nope", "$base") },
);
const place = fc.constantFrom("/f", "/d", "/f", "/d/f", "/", "/d/*", "/no*", "/etc/passwd");

const flag = fc.constantFrom(
  "--mount=target=/mnt",
  "--mount=type=bind,target=/mnt,source=d",
  "--mount=type=bind,target=/mnt,source=d,rw",
  "--mount=type=bind,target=/mnt,source=/f",
  "--mount=type=bind,from=one,target=/mnt",
  "--mount=type=bind,from=b,source=/etc,target=/mnt",
  "--mount=type=tmpfs,target=/mnt",
  "--mount=type=cache,target=/mnt,uid=7,mode=0700",
  "--mount=type=secret,id=s,target=/mnt/s",
  "--mount=type=secret,id=none,target=/mnt/s",
  "--mount=type=nope,target=/mnt",
  "--mount=type=bind,target=/mnt,nope=1",
  '--mount=type=bind,"target=/mnt"',
  "--mount=type=bind,dst=/mnt,readonly=false",
  "--mount=type=bind,src=d,destination=mnt",
);

const line = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(origin, place, fc.constantFrom("/x", "/x/", "/d/", "/"))
      .map(([from, what, to]) => `COPY --from=${from} ${what} ${what.includes("*") ? to.replace(/\/?$/, "/") : to}`),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      "COPY f /f",
      "COPY d /d/",
      "COPY . /",
      "ENV base=two",
      "WORKDIR /d",
      "ARG base",
      "ARG base=scratch",
    ),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(
        fc.array(flag, { minLength: 1, maxLength: 1 }),
        fc.constantFrom(
          "(cd /mnt && find . | sort && cat f g s) > /seen 2>/dev/null; true",
          "stat -c '%n %a %u %g' /mnt /mnt/* > /seen 2>/dev/null; true",
          "touch /mnt/new > /dev/null 2>&1; echo $? > /made",
          "ls / > /list",
        ),
      )
      .map(([flags, command]) => `RUN ${flags.join(" ")} ${command}`),
  },
  fc.constantFrom(
    "ONBUILD COPY --from=one / /x",
    "ONBUILD RUN --mount=from=one,target=/mnt ls /mnt > /triggered",
    "LABEL a=b",
    "RUN true",
  ),
);

const from = fc
  .tuple(base, fc.option(stageName, { nil: undefined }), fc.constantFrom("AS", "as", "As"))
  .map(([image, name, as]) => `FROM ${image}${name === undefined ? "" : ` ${as} ${name}`}`);

const stage = fc.tuple(from, fc.array(line, { maxLength: 3 })).map(([first, rest]) => [first, ...rest].join("\n"));
/** So that much of what follows is right. */
const firstStage = fc.constantFrom(
  "FROM b AS one\nCOPY f /f\nCOPY d /d/",
  "FROM scratch AS one\nCOPY . /",
  "FROM b AS one\nRUN mkdir /d && echo 1 > /d/f && echo 2 > /f",
);

export const stages: fc.Arbitrary<Draft> = fc
  .record({
    globals: fc.constantFrom("", "ARG base=b\n", "ARG base\n"),
    first: firstStage,
    rest: fc.array(stage, { minLength: 1, maxLength: 3 }),
    target: fc.constantFrom<readonly string[]>(
      [],
      [],
      [],
      ["--target", "two"],
      ["--target", "ONE"],
      ["--target", "nope"],
      ["--target", "three"],
    ),
    args: fc.constantFrom<readonly string[]>([], [], ["--build-arg", "base=two"], ["--build-arg", "base="]),
  })
  .map(({ globals, first, rest, target, args }) => ({
    dockerfile: globals + [first, ...rest].join("\n"),
    context: { f: "f", "d/g": "g", "d/f": { text: "f", mode: 0o755 } },
    beside: { secret: "secret" },
    flags: ["--secret", "id=s,src=secret", ...target, ...args],
  }));
