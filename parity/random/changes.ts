/** What commands do to a tree, step after step: replaced, moved, linked and removed entries of every type, over each other. */
import fc from "fast-check";
import type { Draft } from "./draft.ts";

const place = fc.constantFrom(
  "/a",
  "/a/f",
  "/a/g",
  "/a/d",
  "/a/d/f",
  "/a/d/e",
  "/a/d/e/f",
  "/a/l",
  "/a/p",
  "/b",
  "/b/f",
  "/b/d",
  "/b/d/f",
  "/b/l",
  "/f",
  "/l",
  "/etc/x",
  "/tmp/f",
  "/home/bob",
  "/home/bob/f",
  "/home",
  "/mnt/f",
  "/a/.wh",
  "/a/-",
  "/a/ü",
  "/a/*",
);
const target = fc.constantFrom("f", "d", "/a", "/a/d", "../b", "nowhere", ".", "..", "/", "/a/l", "l", "e");
const mode = fc.constantFrom("700", "755", "4755", "1777", "444", "2755", "2770", "0", "u+s", "a+X");
const owner = fc.constantFrom("7:8", "1000", ":5", "0:0", "65534:65534");
const time = fc.constantFrom("1", "1000", "1500000000", "1580608922");

/** Files of equal size and second are one file to the reference, so few have the same size. */
const content = fc.integer({ min: 1, max: 900 }).map((length) => `printf %0${length}d 0`);

/** One in single quotes. */
const q = (path: string): string => `'${path}'`;

/** A pipe would wait for who reads it. */
const write = (how: string, path: string): string => `{ [ -p ${q(path)} ] || ${how} ${q(path)}; }`;

/** Overlay file systems, below either builder, copy folders of lower layers that are moved; plain folders move them. */
const movable = place.map((path) => `$([ -h ${q(path)} ] || [ ! -d ${q(path)} ] || echo -n /no/such)${q(path)}`);

/** The reference takes a copy that lost its nanoseconds for the same file. */
const places = fc.tuple(place, place).filter(([from, to]) => from !== to);

const change = fc.oneof(
  { weight: 3, arbitrary: place.map((path) => `mkdir -p ${q(path)}`) },
  { weight: 4, arbitrary: fc.tuple(content, place).map(([print, path]) => write(`${print} >`, path)) },
  fc.tuple(content, place).map(([print, path]) => `mkdir -p ${q(path)} && ${write(`${print} >`, `${path}/f`)}`),
  fc.tuple(content, place).map(([print, path]) => write(`${print} >>`, path)),
  { weight: 2, arbitrary: place.map((path) => `rm -rf ${q(path)}`) },
  place.map((path) => `rm -rf ${q(path)} && mkdir ${q(path)}`),
  place.map((path) => `rm -rf ${q(path)} && touch ${q(path)}`),
  fc
    .tuple(content, place)
    .map(([print, path]) => `rm -rf ${q(path)} && mkdir ${q(path)} && ${print} > ${q(`${path}/new`)}`),
  fc.tuple(place, target).map(([path, to]) => `rm -rf ${q(path)} && ln -s ${to} ${q(path)}`),
  fc.tuple(place, target).map(([path, to]) => `ln -sfn ${to} ${q(path)}`),
  { weight: 2, arbitrary: fc.tuple(movable, place).map(([from, to]) => `mv ${from} ${q(to)}`) },
  fc.tuple(movable, place).map(([from, to]) => `mv -T ${from} ${q(to)}`),
  places.map(([from, to]) => `cp -a ${q(from)} ${q(to)}`),
  places.map(([from, to]) => `cp -a ${q(from)} /again && rm -rf ${q(to)} && mv /again ${q(to)}`),
  fc.tuple(mode, place).map(([bits, path]) => `chmod ${bits} ${q(path)}`),
  fc.tuple(owner, place).map(([who, path]) => `chown -h ${who} ${q(path)}`),
  fc.tuple(owner, place).map(([who, path]) => `chown -R ${who} ${q(path)}`),
  { weight: 2, arbitrary: fc.tuple(time, place).map(([when, path]) => `touch -h -d @${when} ${q(path)}`) },
  place.map((path) => write("truncate -s 5000", path)),
  place.map((path) => `setfattr -n user.x -v 1 ${q(path)}`),
);

/** Overlay file systems, below either builder, break up the hard links of lower layers; the reference's plain folders do not. */
const linkChange = fc.oneof(
  { weight: 2, arbitrary: change },
  fc.tuple(place, place).map(([from, to]) => `ln ${q(from)} ${q(to)}`),
  fc.tuple(place, place).map(([from, to]) => `ln -f ${q(from)} ${q(to)}`),
  place.map((path) => `for n in 1 2 3; do ln ${q(path)} ${q(path)}$n; done`),
);

/** The reference's age: it copies no pipes. */
const nodeChange = fc.oneof(
  { weight: 2, arbitrary: change },
  fc.tuple(fc.constantFrom("c 1 3", "b 7 0", "c 5 1", "p"), place).map(([node, path]) => `mknod ${q(path)} ${node}`),
  place.map((path) => `rm -rf ${q(path)} && mknod ${q(path)} p`),
  place.map((path) => `timeout -s KILL 0.1 nc -lU ${q(path)}`),
);

const run = (all: readonly string[]): string => `RUN (${all.join("; ")}) 2>/dev/null; true`;
const runOf = (each: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.array(each, { minLength: 1, maxLength: 7 }).map(run);

const copyLine = fc
  .tuple(
    fc.constantFrom("c", "c/d", "c/f", "c/l", "c/*", "c/d/", "z"),
    fc.constantFrom("/a", "/a/", "/a/d", "/a/d/", "/b", "/b/f", "/l", "/a/l", "/", "/a/new/deep/"),
    fc.constantFrom("", "", "--chown=7:8 ", "--chown=bob "),
  )
  .map(([from, to, flags]) => `COPY ${flags}${from} ${to}`);

const fromLine = fc
  .tuple(
    fc.constantFrom("/a", "/a/", "/a/f", "/a/l", "/b", "/b/d", "/a/*", "/a/d/e", "/home", "/etc", "/l"),
    fc.constantFrom("/b", "/b/", "/a/d", "/new/x", "/new/y/", "/f", "/l", "/"),
  )
  .map(([from, to]) => `COPY --from=one ${from} ${to}`);

const first =
  "RUN mkdir -p /a/d/e /b && printf 1 > /a/f && printf 22 > /a/d/f && cp /a/f /a/g && ln -s d /a/l && printf 333 > /b/f";

const context = fc.constant({
  "c/f": "f",
  "c/d/f": "f",
  "c/d/e/g": { text: "g", mode: 0o4755 },
  "c/l": { link: "d" },
  "c/d/l": { link: "/a/f" },
  "c/d/h": "h",
  "c/x": { kind: "folder", mode: 0o2770 },
  z: "z",
} as const);

const lines = fc.array(fc.oneof({ weight: 4, arbitrary: runOf(change) }, { weight: 1, arbitrary: copyLine }), {
  maxLength: 3,
});

const oneStage = fc
  .tuple(fc.constantFrom([first], []), lines, fc.oneof(runOf(linkChange), runOf(nodeChange)))
  .map(([start, rest, last]) => ["FROM b", ...start, ...rest, last]);
const twoStages = fc
  .tuple(
    lines,
    runOf(linkChange),
    fc.constantFrom("FROM b", "FROM one", "FROM scratch"),
    fc.array(fromLine, { minLength: 1, maxLength: 3 }),
  )
  .map(([rest, last, base, copies]) => ["FROM b AS one", first, ...rest, last, base, ...copies]);

export const changes: fc.Arbitrary<Draft> = fc
  .tuple(fc.oneof({ weight: 2, arbitrary: oneStage }, { weight: 1, arbitrary: twoStages }), context)
  .map(([all, tree]) => ({ dockerfile: all.join("\n"), context: tree }));
