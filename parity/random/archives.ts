/** Local archives with whatever tar can say, unpacked onto trees where it matters what was there. */
import { posix } from "node:path";
import fc from "fast-check";
import { contextTime, type Tree } from "../../fixtures/parity/case.ts";
import type { RawEntry } from "../../test/support/raw-tar.ts";
import type { Draft } from "./draft.ts";

/**
 * Not here: kinds of entries that the reference refuses and every tar takes (`7`, `S`), and removal marks, which the
 * reference's own next step does not see.
 */
const name = fc.constantFrom(
  "f",
  "g",
  "d",
  "d/f",
  "d/g",
  "d/e",
  "d/e/f",
  "./f",
  "./d/f",
  "l",
  "l/f",
  "k",
  "up/f",
  "d/../f",
  "../out",
  "/abs",
  "d//g",
  "\xc3\xa4",
  "sp ace",
  "new\nline",
  `${"long/".repeat(25)}f`,
  "n".repeat(120),
  "back\\slash",
);
const target = fc.constantFrom(
  "f",
  "d",
  "d/f",
  "../f",
  "/f",
  "/etc/passwd",
  "nowhere",
  ".",
  "..",
  "/",
  "l",
  "../../x",
  "./f",
  "k",
);
const mode = fc.constantFrom(0o644, 0o755, 0o600, 0o4755, 0o2755, 0o1777, 0o700, 0, 0o7777);
const owner = fc.constantFrom(0, 0, 7, 1000, 65_534, 100_000);
const time = fc.constantFrom(0, 1, 1000, 1_500_000_000, contextTime);

const metadata = fc.record({ mode, uid: owner, gid: owner, mtime: time });

const pax: fc.Arbitrary<Record<string, string>> = fc.oneof(
  { weight: 8, arbitrary: fc.constant({}) },
  fc.constantFrom<Record<string, string>>(
    { mtime: "1500000000.123456789" },
    { mtime: "1500000000.9" },
    { mtime: "-5" },
    { mtime: "-5.5" },
    { atime: "3", ctime: "4" },
    { uid: "70000", gid: "3000000" },
    { uname: "bob", gname: "staff" },
    { path: "pax/name" },
    { path: "d/pax" },
    { linkpath: "d/f" },
    { size: "3" },
    { comment: "x" },
    { "SCHILY.xattr.user.a": "1" },
    { "SCHILY.xattr.security.capability": "\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0" },
    { "SCHILY.xattr.trusted.overlay.opaque": "y" },
    { "LIBARCHIVE.xattr.user.b": "MQ==" },
    { path: "" },
  ),
);

const member: fc.Arbitrary<RawEntry> = fc
  .tuple(
    name,
    fc.constantFrom("0", "0", "0", "0", "5", "5", "5", "1", "1", "2", "2", "3", "4", "6", "\0", "g"),
    target,
    metadata,
    pax,
    fc.constantFrom("", "1", "22", "333", "x".repeat(600)),
  )
  .map(([path, type, linkName, data, extended, content]): RawEntry => {
    // A capability of what is no program means nothing, and we do not keep it.
    const isSenseless = "SCHILY.xattr.security.capability" in extended && type !== "0";
    const base = { ...data, ...(Object.keys(extended).length > 0 && !isSenseless && { pax: extended }) };
    switch (type) {
      case "0":
      case "\0":
        return { ...base, name: path, type, content };
      case "5":
        return { ...base, name: `${path}/`, type };
      case "1":
      case "2":
        return { ...base, name: path, type, linkName };
      case "3":
      case "4":
        return { ...base, name: path, type, major: 1, minor: 3 };
      case "g":
        return { name: "pax_global_header", type, content: "17 comment=hello\n" };
      default:
        return { ...base, name: path, type };
    }
  });

const plainMember: fc.Arbitrary<RawEntry> = fc
  .tuple(fc.constantFrom("f", "g", "d/f", "d/g", "d/e/f", "k"), metadata, fc.constantFrom("", "1", "22"))
  .map(([path, data, content]) => ({ ...data, name: path, type: "0", content }));

/** A hole, four bytes, a hole: PAX formats 1.0 and 0.1 of GNU tar. */
const sparseMember: fc.Arbitrary<RawEntry> = fc
  .tuple(fc.constantFrom("f", "d/f", "sparse"), metadata, fc.constantFrom("1.0", "0.1"))
  .map(([path, data, format]): RawEntry => {
    const file = { ...data, name: `GNUSparseFile.0/${path}`, type: "0" };
    if (format === "0.1")
      return {
        ...file,
        content: "data",
        pax: {
          "GNU.sparse.size": "4096",
          "GNU.sparse.numblocks": "1",
          "GNU.sparse.name": path,
          "GNU.sparse.map": "1024,4",
        },
      };
    return {
      ...file,
      content: `${"1\n1024\n4\n".padEnd(512, "\0")}data`,
      pax: { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": path, "GNU.sparse.realsize": "4096" },
    };
  });

const folderMember: fc.Arbitrary<RawEntry> = fc
  .tuple(fc.constantFrom("d/", "d/e/", "./", "new/", "l/"), metadata)
  .map(([path, data]) => ({ ...data, name: path, type: "5" }));

const members = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: member },
      { weight: 2, arbitrary: plainMember },
      { weight: 1, arbitrary: sparseMember },
      { weight: 1, arbitrary: folderMember },
    ),
    { minLength: 1, maxLength: 7 },
  )
  .map(withoutReplacedFolders);

/** The reference sets the times of folders at the end, by name, whatever stands there by then: it fails, or it is odd. */
function withoutReplacedFolders(all: readonly RawEntry[]): readonly RawEntry[] {
  const placeOf = (entry: RawEntry): string =>
    posix.resolve("/", entry.pax?.["GNU.sparse.name"] || entry.pax?.["path"] || entry.name);
  return all.filter(
    (entry, index) =>
      entry.type === "5" ||
      !all
        .slice(0, index)
        .some((earlier) => earlier.type === "5" && `${placeOf(earlier)}/`.startsWith(`${placeOf(entry)}/`)),
  );
}

const archive = fc.tuple(members, fc.constantFrom(undefined, undefined, undefined, "gzip", "bzip2", "xz"));

const before = fc.constantFrom(
  "RUN true",
  "RUN mkdir -p /o/d && echo old > /o/d/f && echo old > /o/f && chmod 700 /o/d",
  "RUN mkdir -p /o /r && ln -s /r /o/d && ln -s ../r /o/l",
  "RUN mkdir -p /o && echo r > /r && ln -s /r /o/f && ln -s /o /k",
  "RUN mkdir -p /o/f /o/k/sub && ln /etc/group /o/g",
  "RUN mkdir -p /r && ln -s r /o && chmod 1777 /r && chown 5:6 /r",
  "RUN mkdir -p /o/d/e && mknod /o/f p && touch /o/d/g /o/d/e/f && chown -R 9:9 /o",
  "COPY t /o/",
  "WORKDIR /o",
);

const addLine = fc.constantFrom(
  "ADD a /o",
  "ADD a /o/",
  "ADD a b /o/",
  "ADD a /",
  "ADD a /k/",
  "ADD ab* /o/",
  "ADD a /new/deep",
  "ADD a .",
  "ADD a b t /o/",
  "ADD l /o/",
  "COPY a /o/",
);

const after = fc.constantFrom(
  "RUN true",
  "RUN rm -rf /o/d",
  "RUN ls -1 /o > /listed; true",
  "COPY --from=0 /o /copied",
  "ADD a /o",
);

const context = fc.tuple(archive, archive).map(
  ([[first, how], [second, otherHow]]): Tree => ({
    a: { tar: first, ...(how !== undefined && { compression: how }) },
    b: { tar: second, ...(otherHow !== undefined && { compression: otherHow }) },
    l: { link: "b" },
    "t/d/f": "from the context",
    "t/l": { link: "d" },
  }),
);

export const archives: fc.Arbitrary<Draft> = fc
  .tuple(
    fc.constantFrom("FROM b", "FROM b", "FROM b", "FROM scratch"),
    before,
    addLine,
    fc.option(after, { nil: "" }),
    context,
  )
  .map(([from, first, add, last, tree]) => ({
    dockerfile: [from, ...(from === "FROM b" ? [first] : []), add, ...(from === "FROM b" ? [last] : [])].join("\n"),
    context: tree,
  }));
