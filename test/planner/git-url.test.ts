import { expect, test } from "vitest";
import { gitContext, isGitUrl, parseGitUrl, shownGitUrl } from "../../src/planner/git-url.ts";
import { caught } from "../support/caught.ts";

test.for([
  ["https://h/x.git", true],
  ["http://h/x.git#main:sub", true],
  ["https://h/x.git?branch=a", true],
  ["git://h/x", true],
  ["ssh://git@h/x", true],
  ["git@h:x/y.git", true],
  ["me@h.example:x#v1", true],
  ["https://h/x.git/y", false],
  ["https://h/x?a=b.git", false],
  ["https://h/x#y.git", false],
  ["github.com/x/y", false],
  ["github.com/x/y.git", false],
  ["git@-oProxyCommand=x:y", false],
  ["file:///x.git", false],
  ["x/y.git", false],
  ["a@b", false],
] as const)("%s is a git URL: %s", ([text, expected]) => {
  expect(isGitUrl(text)).toBe(expected);
});

test("a context may be a repository of github without a scheme", () => {
  expect(gitContext("github.com/x/y#v1", undefined)).toMatchObject({ remote: "https://github.com/x/y", ref: "v1" });
  expect(gitContext("https://h/x.tar", undefined)).toBeUndefined();
  expect(gitContext("folder", undefined)).toBeUndefined();
});

const plain = {
  remote: "https://h/x.git",
  ref: undefined,
  folder: "/",
  checksum: undefined,
  keepGitDir: false,
  submodules: true,
  mtime: "checkout",
};
const commit = "0123456789abcdef0123456789abcdef01234567";

test.for([
  ["", {}],
  ["#main", { ref: "main" }],
  ["#main:a/b", { ref: "main", folder: "/a/b" }],
  ["#:a/", { folder: "/a" }],
  ["#main:../../a/./b", { ref: "main", folder: "/a/b" }],
  ["#a/b", { ref: "a/b" }],
  ["?ref=main", { ref: "main" }],
  ["?tag=v1", { ref: "refs/tags/v1" }],
  ["?tag=refs/tags/v1", { ref: "refs/tags/v1" }],
  ["?branch=b&subdir=s", { ref: "refs/heads/b", folder: "/s" }],
  ["?ref=main#main", { ref: "main" }],
  [`?commit=${commit}`, { ref: commit, checksum: commit }],
  ["?checksum=abc1234#main", { ref: "main", checksum: "abc1234" }],
  ["?keep-git-dir=1", { keepGitDir: true }],
  ["?keep-git-dir", { keepGitDir: true }],
  ["?keep-git-dir=false&submodules=0", { submodules: false }],
  ["?fetch-by-commit=true", {}],
  ["?mtime=commit", { mtime: "commit" }],
] as const)("https://h/x.git%s", ([rest, expected]) => {
  expect(parseGitUrl(`https://h/x.git${rest}`, undefined)).toEqual({ ...plain, ...expected });
});

test.for([
  ["?foo=1", /unexpected query key "foo"/],
  ["?ref=", /query key "ref" has no value/],
  ["?ref=a&ref=a", /"ref" is given twice/],
  ["?ref=a#b", /ref is given as "b" and "a"/],
  ["?tag=a&branch=a", /ref is given as "refs\/tags\/a" and "refs\/heads\/a"/],
  ["?subdir=a#x:b", /subdir is given as "b" and "a"/],
  ["?checksum=a&commit=b", /checksum is given as/],
  ["?keep-git-dir=x", /must be true or false, not "x"/],
  ["?mtime=now", /mtime must be checkout or commit/],
  ["#-x", /"-x" is no name of a branch or tag/],
] as const)("rejected: https://h/x.git%s", ([rest, what]) => {
  const error = caught(() => parseGitUrl(`https://h/x.git${rest}`, undefined));
  expect(error).toMatchObject({ code: "INSTRUCTION_INVALID", message: expect.stringMatching(what) });
});

test("a message has no password of a URL in it", () => {
  expect(shownGitUrl(parseGitUrl("https://me:secret@h/x.git?ref=a", undefined))).toBe("https://h/x.git");
  expect(shownGitUrl(parseGitUrl("https://token@h/x.git", undefined))).toBe("https://h/x.git");
  expect(shownGitUrl(parseGitUrl("ssh://git@h/x", undefined))).toBe("ssh://git@h/x");
  expect(shownGitUrl(parseGitUrl("git@h:x/y?z.git#main", undefined))).toBe("git@h:x/y?z.git");
});
