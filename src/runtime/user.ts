/**
 * Who a process in a container runs as: `user[:group]`, each a name or a number, resolved in the image's own
 * /etc/passwd and /etc/group. Nothing of the host's accounts and no NSS library is ever asked. The files belong to the
 * image, so they are hostile: lines that are malformed or too long are skipped, and a string of digits is a number
 * before it is a name (CVE-2016-3697).
 */
import { accountFileTooLarge, groupNotFound, idOutOfRange, userNotFound } from "./container-errors.ts";

/** Reads a regular file inside the container's root; undefined when it is absent or no regular file. */
export type ReadRootFile = (path: "/etc/passwd" | "/etc/group") => Buffer | undefined;

export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  /** The primary gid comes first: without it "other" permissions could apply to its files (CVE-2022-36109). */
  readonly additionalGids: readonly number[];
  /** The passwd entry's field as it is, even empty; `/` for a uid without an entry. */
  readonly home: string;
}

/** What `--chown` names. */
export interface Owner {
  /** −1 leaves the owner as it is. */
  readonly uid: number;
  readonly gid: number;
  /** Names that the files do not know: they count as 0:0, and the caller warns. */
  readonly unknown: readonly string[];
}

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

const maxId = 2 ** 31 - 1;
const maxFileBytes = 10 * 1024 * 1024;
const maxLineBytes = 1024 * 1024;

/**
 * The ids and groups of a `USER` instruction, `--user` or `exec --user`. `""` is root.
 * @throws {TsbuildError} `USER_NOT_FOUND`, also for ids outside 0…2³¹−1 (CVE-2024-40635).
 */
export function resolveUser(user: string, read: ReadRootFile, groupAdd: readonly string[] = []): ResolvedUser {
  const colon = user.indexOf(":");
  const userPart = (colon < 0 ? user : user.slice(0, colon)) || "0";
  const groupPart = colon < 0 ? "" : user.slice(colon + 1);
  const number = idOf(userPart);
  const entry = first(passwdEntries(read), (each) =>
    number === undefined ? each.name === userPart : each.uid === number,
  );
  const uid = entry?.uid ?? number ?? (userPart === "root" ? 0 : undefined);
  if (uid === undefined) throw userNotFound(userPart);

  const gids: number[] = [];
  let gid = entry?.gid ?? 0;
  if (groupPart !== "") {
    gid = groupId(groupPart, read);
    gids.push(gid);
  } else {
    gids.push(gid);
    // Group lists name members, so a uid without a name is in none.
    const name = entry?.name ?? (uid === 0 ? "root" : undefined);
    if (name !== undefined) {
      for (const group of groupEntries(read)) if (group.members.includes(name)) gids.push(group.gid);
    }
  }
  for (const group of groupAdd) gids.push(groupId(group, read));
  return { uid, gid, additionalGids: [...new Set(gids)], home: entry?.home ?? "/" };
}

/**
 * The owner that `--chown` names. Unlike `USER`, unknown names are no error, one number is uid *and* gid, and an empty
 * group is 0. Numbers beyond 32 bits count as names. Source: BuildKit's `llb.WithUser` and its file backend's readUser.
 */
export function lookupOwner(text: string, read: ReadRootFile): Owner {
  const colon = text.indexOf(":");
  const userPart = colon < 0 ? text : text.slice(0, colon);
  const unknown: string[] = [];
  let uid = chownNumber(userPart);
  let gid = uid ?? 0;
  if (uid === undefined) {
    const entry = first(passwdEntries(read), (each) => each.name === userPart);
    if (entry === undefined && userPart !== "") unknown.push(userPart);
    uid = entry?.uid ?? 0;
    gid = entry?.gid ?? 0;
  }
  if (colon >= 0) {
    const groupPart = text.slice(colon + 1);
    const number = groupPart === "" ? 0 : chownNumber(groupPart);
    const entry = number === undefined ? first(groupEntries(read), (each) => each.name === groupPart) : undefined;
    if (number === undefined && entry === undefined) unknown.push(groupPart);
    gid = number ?? entry?.gid ?? gid;
  }
  return { uid, gid, unknown };
}

function groupId(group: string, read: ReadRootFile): number {
  const gid = idOf(group) ?? first(groupEntries(read), (each) => each.name === group)?.gid;
  if (gid === undefined) throw groupNotFound(group);
  return gid;
}

/** Undefined for what can only be a name. A sign makes a number too: it is out of range, never a name. */
function idOf(text: string): number | undefined {
  if (!/^[+-]?[0-9]+$/.test(text)) return undefined;
  const id = Number(text);
  if (text.startsWith("-") || id > maxId) throw idOutOfRange(text);
  return id;
}

function chownNumber(text: string): number | undefined {
  if (text === "root") return 0;
  if (!/^[+-]?[0-9]+$/.test(text)) return undefined;
  const id = Number(text);
  if (id < -(2 ** 31) || id > maxId) return undefined;
  return id < -1 ? id >>> 0 : id;
}

function* passwdEntries(read: ReadRootFile): Generator<PasswdEntry> {
  for (const fields of records(read, "/etc/passwd")) {
    const [name = "", , uid = "", gid = "", , home = ""] = fields;
    if (name !== "" && isId(uid) && isId(gid)) yield { name, uid: Number(uid), gid: Number(gid), home };
  }
}

function* groupEntries(read: ReadRootFile): Generator<GroupEntry> {
  for (const fields of records(read, "/etc/group")) {
    const [name = "", , gid = "", members = ""] = fields;
    if (name !== "" && isId(gid))
      yield { name, gid: Number(gid), members: members.split(",").map((each) => each.trim()) };
  }
}

function isId(text: string): boolean {
  return /^[0-9]{1,10}$/.test(text) && Number(text) <= maxId;
}

function* records(read: ReadRootFile, path: "/etc/passwd" | "/etc/group"): Generator<readonly string[]> {
  const bytes = read(path);
  if (bytes === undefined) return;
  if (bytes.length > maxFileBytes) throw accountFileTooLarge(path);
  for (let start = 0; start < bytes.length; ) {
    const newline = bytes.indexOf(10, start);
    const end = newline < 0 ? bytes.length : newline;
    if (end - start <= maxLineBytes) {
      const line = bytes.toString("utf8", start, end).trim();
      if (line !== "" && !line.startsWith("#")) yield line.split(":");
    }
    start = end + 1;
  }
}

function first<T>(entries: Iterable<T>, fits: (entry: T) => boolean): T | undefined {
  for (const entry of entries) if (fits(entry)) return entry;
  return undefined;
}
