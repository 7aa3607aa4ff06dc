/** What people do between two builds: to files of the context, to the Dockerfile, to arguments and secrets, to the base. */
import {
  appendFileSync,
  chmodSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { errnoOf } from "../../src/errors.ts";

/** All that a build depends on but for the files, which lie in the context's folder. */
export interface Project {
  readonly lines: readonly string[];
  readonly ignore: readonly string[];
  /** `--build-arg`, by name. */
  readonly args: Readonly<Record<string, string>>;
  readonly secret: string;
  /** Which of two images the name of the base stands for. */
  readonly base: 0 | 1;
}

export interface Edit {
  /** In words, for who reads the failure. */
  readonly text: string;
  /** Nothing that a step sees is another: all of them must come from the cache. */
  readonly harmless: boolean;
  apply(project: Project, context: string): Project;
}

const name = fc.constantFrom("f", "g", "d", "d/f", "d/g", "d/e", "d/e/f", "l", "d/l", "s", "s/f");
const content = fc.constantFrom("1", "2", "22", "3 3", "");

/** A change of files, which happens or not as they come. */
function files(text: string, harmless: boolean, change: (context: string) => void): Edit {
  return {
    text,
    harmless,
    apply(project, context) {
      try {
        change(context);
      } catch (error) {
        if (errnoOf(error) === undefined) throw error;
      }
      return project;
    },
  };
}

function project(text: string, harmless: boolean, change: (project: Project) => Partial<Project>): Edit {
  return { text, harmless, apply: (before) => ({ ...before, ...change(before) }) };
}

/** As an editor saves that writes in place, and as one that makes a new file; with a time of its own, or the same. */
const write = fc
  .tuple(name, content, fc.constantFrom("in place", "anew", "in place, at the same time", "anew, at the same time"))
  .map(([path, bytes, how]) =>
    files(`write ${JSON.stringify(bytes)} to ${path} ${how}`, false, (context) => {
      const at = join(context, path);
      mkdirSync(dirname(at), { recursive: true });
      const before = lstatSync(at, { throwIfNoEntry: false });
      if (how.startsWith("anew")) {
        writeFileSync(`${at}.new`, bytes);
        renameSync(`${at}.new`, at);
      } else writeFileSync(at, bytes);
      if (how.endsWith("time") && before !== undefined) lutimesSync(at, before.atimeMs / 1000, before.mtimeMs / 1000);
    }),
  );

const fileEdit: fc.Arbitrary<Edit> = fc.oneof(
  { weight: 4, arbitrary: write },
  fc
    .tuple(name, content)
    .map(([path, bytes]) =>
      files(`append ${JSON.stringify(bytes)} to ${path}`, false, (context) =>
        appendFileSync(join(context, path), bytes),
      ),
    ),
  fc.tuple(name, fc.constantFrom(0o644, 0o755, 0o600, 0o4755, 0o1777)).map(([path, mode]) =>
    files(`chmod ${mode.toString(8)} ${path}`, false, (context) => {
      if (!lstatSync(join(context, path)).isSymbolicLink()) chmodSync(join(context, path), mode);
    }),
  ),
  fc.tuple(name, fc.integer({ min: 1, max: 2_000_000_000 })).map(([path, time]) =>
    files(`touch ${path}`, true, (context) => {
      lstatSync(join(context, path));
      lutimesSync(join(context, path), time, time);
    }),
  ),
  fc
    .tuple(name, name)
    .map(([from, to]) =>
      files(`mv ${from} ${to}`, false, (context) => renameSync(join(context, from), join(context, to))),
    ),
  name.map((path) =>
    files(`rm -rf ${path}`, false, (context) => rmSync(join(context, path), { recursive: true, force: true })),
  ),
  name.map((path) =>
    files(`mkdir -p ${path}`, false, (context) => mkdirSync(join(context, path), { recursive: true })),
  ),
  fc.tuple(fc.constantFrom("f", "d", "../f", "nowhere", "e", "/d/f"), name).map(([target, path]) =>
    files(`ln -sfn ${target} ${path}`, false, (context) => {
      if (lstatSync(join(context, path), { throwIfNoEntry: false })?.isDirectory() === true) return;
      rmSync(join(context, path), { force: true });
      symlinkSync(target, join(context, path));
    }),
  ),
  fc
    .tuple(name, name)
    .map(([from, to]) =>
      files(`ln ${from} ${to}`, false, (context) => linkSync(join(context, from), join(context, to))),
    ),
  fc.tuple(name, name).map(([a, b]) =>
    files(`swap ${a} and ${b}`, false, (context) => {
      const swap = join(context, "..", "swap");
      renameSync(join(context, a), swap);
      try {
        renameSync(join(context, b), join(context, a));
      } catch (error) {
        renameSync(swap, join(context, a));
        throw error;
      }
      renameSync(swap, join(context, b));
    }),
  ),
  name.map((path) =>
    files(`copy ${path} over itself`, true, (context) => {
      const at = join(context, path);
      if (!lstatSync(at).isFile()) return;
      const { mode, nlink } = lstatSync(at);
      // Of two names of one file this makes two files.
      if (nlink > 1) return;
      writeFileSync(`${at}.new`, readFileSync(at));
      chmodSync(`${at}.new`, mode);
      renameSync(`${at}.new`, at);
    }),
  ),
);

const source = fc.constantFrom("f", "d", "d/", "d/*", ".", "*", "g", "l", "s", "d/l", "?");
const destination = fc.constantFrom("/x/", "/x", "/y/z/", "/x/d/", ".");

/** What each command prints is made of all that it sees and must not depend on anything else, such as a time. */
const seen =
  "find . -type f -exec sha256sum {} + 2>/dev/null | sort; find . | sort | xargs stat -c '%n %a %u %g %F %N' | grep -v /proc";

const runLine = fc.constantFrom(
  `RUN cd /x 2>/dev/null && (${seen}) > /seen; true`,
  "RUN env | grep -v HOSTNAME | sort > /env",
  "RUN echo $A $B > /values; mkdir -p /x && echo $E >> /x/e",
  "RUN pwd > /cwd; id -u >> /cwd",
  "RUN cat /base* > /from-base; rm -f /x/f",
  `RUN --mount=type=bind,target=/m,source=d cd /m && (${seen}) > /mounted`,
  `RUN --mount=type=bind,target=/m cd /m && (${seen}) > /all`,
  "RUN --mount=type=cache,target=/c date +%N >> /c/log; test -s /c/log && echo there > /cached",
  "RUN --mount=type=secret,id=s test -s /run/secrets/s && echo secret > /was",
  "RUN --mount=type=bind,from=one,target=/o,source=/ cd /o && (find . -path ./proc -prune -o -path ./sys -prune -o -name seen -print -exec cat {} +) > /one-seen; true",
  "RUN echo $X > /x-value",
);

const line: fc.Arbitrary<string> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .tuple(source, destination)
      .map(([from, to]) => `COPY ${from} ${/[*?]/.test(from) ? to.replace(/[^/.]$/, "$&/") : to}`),
  },
  fc
    .tuple(source, destination)
    .map(([from, to]) => `COPY --chown=7:8 ${from} ${/[*?]/.test(from) ? to.replace(/[^/.]$/, "$&/") : to}`),
  fc
    .tuple(fc.constantFrom("/x", "/x/", "/seen", "/env", "/", "/values"), destination)
    .map(([from, to]) => `COPY --from=one ${from} ${to}`),
  fc
    .tuple(
      fc.constantFrom("COPY --link", "COPY --exclude=f", "COPY --chmod=700", "COPY --parents"),
      fc.constantFrom("f", "d", "d/f"),
    )
    .map(([how, from]) => `${how} ${from} /x/`),
  { weight: 5, arbitrary: runLine },
  fc.constantFrom("ENV E=1", "ENV E=2", "ENV E=1 F=2", "ENV F=2 E=1", "ENV E=$A"),
  fc.constantFrom("ARG A", "ARG A=1", "ARG A=2", "ARG B=$A", "ARG X"),
  fc.constantFrom("WORKDIR /x", "WORKDIR /w", "WORKDIR w", "USER 7", "USER 0"),
  fc.constantFrom('SHELL ["/bin/sh", "-ec"]', "LABEL a=$A", "CMD a", "EXPOSE 80"),
);

const lineEdit: fc.Arbitrary<Edit> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .tuple(line, fc.nat(20))
      .map(([added, at]) =>
        project(`add ${added} (${at})`, false, ({ lines }) => ({ lines: lines.toSpliced(place(lines, at), 0, added) })),
      ),
  },
  fc.nat(20).map((at) =>
    project(`remove a line (${at})`, false, ({ lines }) => ({
      lines: removable(lines, at) ? lines.toSpliced(place(lines, at), 1) : lines,
    })),
  ),
  fc
    .nat(20)
    .map((at) =>
      project(`exchange two lines (${at})`, false, ({ lines }) => ({ lines: exchanged(lines, place(lines, at)) })),
    ),
  fc
    .nat(20)
    .map((at) =>
      project(`a comment (${at})`, true, ({ lines }) => ({ lines: lines.toSpliced(place(lines, at), 0, "# why") })),
    ),
  fc.constant(
    project("an unneeded stage", true, ({ lines }) => ({
      lines: lines.toSpliced(
        lines.lastIndexOf("FROM base AS two"),
        0,
        `FROM b AS unneeded${lines.length}`,
        "COPY . /",
        "RUN false",
      ),
    })),
  ),
);

/** Behind the first FROM. */
function place(lines: readonly string[], at: number): number {
  return 1 + (at % lines.length);
}

function removable(lines: readonly string[], at: number): boolean {
  return lines[place(lines, at)]?.startsWith("FROM") === false;
}

function exchanged(lines: readonly string[], at: number): readonly string[] {
  const [a, b] = [lines[at], lines[at + 1]];
  if (a === undefined || b === undefined || a.startsWith("FROM") || b.startsWith("FROM")) return lines;
  return lines.toSpliced(at, 2, b, a);
}

const otherEdit: fc.Arbitrary<Edit> = fc.oneof(
  fc
    .tuple(fc.constantFrom("A", "B", "X"), fc.constantFrom("1", "2", ""))
    .map(([key, value]) =>
      project(`--build-arg ${key}=${value}`, false, ({ args }) => ({ args: { ...args, [key]: value } })),
    ),
  fc.constantFrom("A", "B", "X").map((key) =>
    project(`no --build-arg ${key}`, false, ({ args }) => ({
      args: Object.fromEntries(Object.entries(args).filter(([each]) => each !== key)),
    })),
  ),
  fc.constantFrom("one", "two").map((secret) => project(`the secret is ${secret}`, true, () => ({ secret }))),
  fc.constant(
    project("a build-arg that nobody declares", true, ({ args }) => ({
      args: { ...args, UNKNOWN: String(Object.keys(args).length) },
    })),
  ),
  fc.constant(project("the base's name stands for another image", false, ({ base }) => ({ base: base === 0 ? 1 : 0 }))),
  fc
    .array(fc.constantFrom("d", "*.md", "d/f", "**/f", "!d/f", "s", "l", "*", "!d", "d/e"), { maxLength: 3 })
    .map((ignore) => project(`.dockerignore ${ignore.join(" ")}`, false, () => ({ ignore }))),
);

export const edit: fc.Arbitrary<Edit> = fc.oneof(
  { weight: 6, arbitrary: fileEdit },
  { weight: 3, arbitrary: lineEdit },
  { weight: 2, arbitrary: otherEdit },
);

export const firstProject: fc.Arbitrary<Project> = fc
  .tuple(fc.array(line, { minLength: 1, maxLength: 4 }), fc.array(line, { minLength: 1, maxLength: 4 }))
  .map(([one, two]) => ({
    lines: ["FROM base AS one", ...one.filter((each) => !each.includes("one")), "FROM base AS two", ...two],
    ignore: [],
    args: {},
    secret: "one",
    base: 0,
  }));
