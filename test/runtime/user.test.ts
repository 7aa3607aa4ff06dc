import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TsbuildError } from "../../src/errors.ts";
import { lookupOwner, type ReadRootFile, resolveUser } from "../../src/runtime/user.ts";

const passwd = `root:x:0:0:root:/root:/bin/sh
# a comment
broken line
bob:x:1001:100:Bob:/home/bob:/bin/sh
nohome:x:1002:1002:::/bin/sh
bob:x:7:7:again:/:/bin/sh
1000:x:0:0:hostile:/root:/bin/sh
evil:x:zero:0::/:/bin/sh
huge:x:4294967296:0::/:/bin/sh
`;
const group = `root:x:0:
users:x:100:
staff:x:70:bob
wheel:x:10:root,bob
50:x:0:bob
`;
const reader =
  (files: { readonly passwd?: string; readonly group?: string }): ReadRootFile =>
  (path) => {
    const text = path === "/etc/passwd" ? files.passwd : files.group;
    return text === undefined ? undefined : Buffer.from(text);
  };
const read = reader({ passwd, group });
const nothing = reader({});

describe("resolveUser", () => {
  test.for([
    { user: "", uid: 0, gid: 0, groups: [0, 10], home: "/root" },
    { user: "root", uid: 0, gid: 0, groups: [0, 10], home: "/root" },
    { user: "0", uid: 0, gid: 0, groups: [0, 10], home: "/root" },
    { user: "bob", uid: 1001, gid: 100, groups: [100, 70, 10, 0], home: "/home/bob" },
    { user: "1001", uid: 1001, gid: 100, groups: [100, 70, 10, 0], home: "/home/bob" },
    { user: "2000", uid: 2000, gid: 0, groups: [0], home: "/" },
    { user: "1000", uid: 1000, gid: 0, groups: [0], home: "/" },
    { user: "1001:50", uid: 1001, gid: 50, groups: [50], home: "/home/bob" },
    { user: "bob:staff", uid: 1001, gid: 70, groups: [70], home: "/home/bob" },
    { user: "bob:71", uid: 1001, gid: 71, groups: [71], home: "/home/bob" },
    { user: ":50", uid: 0, gid: 50, groups: [50], home: "/root" },
    { user: "nohome", uid: 1002, gid: 1002, groups: [1002], home: "" },
    { user: "bob:", uid: 1001, gid: 100, groups: [100, 70, 10, 0], home: "/home/bob" },
    { user: "2147483647", uid: 2147483647, gid: 0, groups: [0], home: "/" },
  ])("$user is $uid:$gid with groups $groups", ({ user, uid, gid, groups, home }) => {
    expect(resolveUser(user, read)).toEqual({ uid, gid, additionalGids: groups, home });
  });

  test.for(["", "root", "0", "5", "5:6"])("%j needs no files", (user) => {
    expect(resolveUser(user, nothing).home).toBe("/");
  });

  test("--group-add takes names and numbers, once each", () => {
    expect(resolveUser("bob", read, ["wheel", "4000", "users"]).additionalGids).toEqual([100, 70, 10, 0, 4000]);
  });

  test.for([
    { user: "eve", what: "unable to find user eve: no matching entries in passwd file" },
    { user: "evil", what: "unable to find user evil: no matching entries in passwd file" },
    { user: "huge", what: "unable to find user huge: no matching entries in passwd file" },
    { user: "bob:nobody", what: "unable to find group nobody: no matching entries in group file" },
    { user: "0x0", what: "unable to find user 0x0: no matching entries in passwd file" },
    { user: "1e3", what: "unable to find user 1e3: no matching entries in passwd file" },
    { user: "4294967296", what: /range 0-2147483647/ },
    { user: "2147483648", what: /range 0-2147483647/ },
    { user: "-1", what: /range 0-2147483647/ },
    { user: "0:-1", what: /range 0-2147483647/ },
    { user: "99999999999999999999999", what: /range 0-2147483647/ },
  ])("$user is refused", ({ user, what }) => {
    let error: unknown;
    try {
      resolveUser(user, read);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(TsbuildError);
    expect(error).toMatchObject({ code: "USER_NOT_FOUND", message: expect.stringMatching(what) });
  });

  test("a line of two megabytes is skipped, the next one is read", () => {
    const long = reader({ passwd: `${"a".repeat(2 ** 21)}:x:0:0::/:\nbob:x:9:9::/b:\n` });
    expect(resolveUser("bob", long)).toMatchObject({ uid: 9, home: "/b" });
  });

  test("a file of eleven megabytes is refused", () => {
    expect(() => resolveUser("bob", reader({ passwd: "#\n".repeat(6 * 2 ** 20) }))).toThrow("larger than 10 MiB");
  });

  test("no text yields an id outside 0…2³¹−1", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), (user, anyPasswd, anyGroup) => {
        try {
          const resolved = resolveUser(user, reader({ passwd: anyPasswd, group: anyGroup }));
          for (const id of [resolved.uid, resolved.gid, ...resolved.additionalGids]) {
            expect(Number.isInteger(id) && id >= 0 && id <= 2147483647).toBe(true);
          }
        } catch (error) {
          expect(error).toMatchObject({ code: "USER_NOT_FOUND" });
        }
      }),
    );
  });
});

describe("lookupOwner", () => {
  test.for([
    { text: "7", uid: 7, gid: 7 },
    { text: "1001", uid: 1001, gid: 1001 },
    { text: "7:8", uid: 7, gid: 8 },
    { text: ":8", uid: 0, gid: 8 },
    { text: "bob", uid: 1001, gid: 100 },
    { text: "bob:staff", uid: 1001, gid: 70 },
    { text: "5:staff", uid: 5, gid: 70 },
    { text: "bob:", uid: 1001, gid: 0 },
    { text: "5:", uid: 5, gid: 0 },
    { text: "root", uid: 0, gid: 0 },
    { text: "root:wheel", uid: 0, gid: 10 },
    { text: "-1", uid: -1, gid: -1 },
    { text: "-1:5", uid: -1, gid: 5 },
  ])("$text is $uid:$gid", ({ text, uid, gid }) => {
    expect(lookupOwner(text, read)).toEqual({ uid, gid, unknown: [] });
  });

  test.for([
    { text: "eve", uid: 0, gid: 0, unknown: ["eve"] },
    { text: "bob:nobody", uid: 1001, gid: 100, unknown: ["nobody"] },
    { text: "5:nobody", uid: 5, gid: 5, unknown: ["nobody"] },
    { text: "2147483648", uid: 0, gid: 0, unknown: ["2147483648"] },
  ])("$text counts as $uid:$gid and is reported", ({ text, uid, gid, unknown }) => {
    expect(lookupOwner(text, read)).toEqual({ uid, gid, unknown });
  });
});
