/**
 * What COPY, ADD and bind mounts take, entry by entry, from a context or a tree of layers. Only paths that are named are
 * looked at. Source: Dockerfile reference, "ADD" and "COPY".
 */
import { readlinkSync } from "node:fs";
import type { TsbuildError } from "../errors.ts";
import { type BytePath, bytePath, bytePathOfLatin1, textOfBytePath } from "../kernel/byte-path.ts";
import { sha256 } from "../oci/digest.ts";
import type { CopySource } from "./build-graph.ts";
import { fileNameOf, type RemoteFile } from "./download.ts";
import { ignoreMatcher } from "./ignore-matcher.ts";
import { excludeRules, type FolderMatches, type IgnoreRules } from "./ignore-rules.ts";
import { hasWildcard, matchPath } from "./match-path.ts";
import type { FileFacts, Origin, OriginNode } from "./origin.ts";
import type { SelectedEntry, SelectedSource, Selection } from "./selection.ts";
import { selectionLines } from "./selection-lines.ts";

export interface SelectionRequest {
  readonly origin: Origin;
  readonly sources: readonly CopySource[];
  readonly parents: boolean;
  readonly exclude: readonly string[];
  /** Of a URL: fetched and checked by the caller. */
  readonly fetched: ReadonlyMap<string, RemoteFile>;
  /** Of git sources, in their order. */
  readonly checkouts?: readonly Origin[];
  /** `ADD --unpack`: what is fetched is unpacked too. */
  readonly unpackFetched: boolean;
  /** Of a source that is not there: the origin's owner knows why. */
  readonly missing: (path: string) => TsbuildError;
  /** Epoch ms: the mtime of heredoc files, which have no other. */
  readonly now: number;
}

/** @throws {TsbuildError} `SOURCE_NOT_FOUND` (by `missing`), `INVALID_ARGUMENT` for a bad exclude pattern */
export async function selectSources(request: SelectionRequest, signal: AbortSignal): Promise<Selection> {
  const exclude = excludeRules(request.exclude);
  const drafts: Draft[] = [];
  const checkouts = [...(request.checkouts ?? [])];
  for (const source of request.sources) {
    if (source.kind === "heredoc") drafts.push(heredocDraft(source, request.now));
    else if (source.kind === "url") drafts.push(urlDraft(source.url, request));
    else if (source.kind === "git") drafts.push(checkoutDraft(checkouts.shift(), exclude));
    else
      drafts.push(
        ...(request.parents ? keptDrafts(source.path, request, exclude) : pathDrafts(source.path, request, exclude)),
      );
  }
  const sources = await withFacts(drafts, request.origin, signal);
  const lines = sources.flatMap(selectionLines);
  return { digest: sha256(lines.join("\n")), sources, lines };
}

/** Entries whose files have no digests yet: those are found for all of them at once. */
interface Draft {
  readonly basename: BytePath;
  readonly matched: boolean;
  readonly entries: readonly DraftEntry[];
  readonly keptParents: readonly DraftEntry[];
  readonly verbatim?: true;
  /** When that is not the request's. */
  readonly origin?: Origin;
}

type DraftEntry =
  | { readonly kind: "node"; readonly path: BytePath; readonly node: OriginNode }
  | { readonly kind: "content"; readonly entry: SelectedEntry };

// Sources --------------------------------------------------------------------------------------------------------

function heredocDraft({ name, content }: { readonly name: string; readonly content: string }, now: number): Draft {
  const bytes = Buffer.from(content, "utf8");
  const entry: SelectedEntry = {
    path: root,
    type: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeNs: BigInt(Math.trunc(now)) * 1_000_000n,
    size: bytes.byteLength,
    digest: sha256(bytes),
    hostPath: "",
    content: bytes,
  };
  return { basename: bytePath(name), matched: false, entries: [{ kind: "content", entry }], keptParents: [] };
}

/** Mode 0600 and the time the server says, whatever came. */
function urlDraft(url: string, { fetched, unpackFetched }: SelectionRequest): Draft {
  const file = fetched.get(url);
  if (file === undefined) throw new Error("a URL that nobody fetched");
  const entry: SelectedEntry = {
    path: root,
    type: "file",
    mode: 0o600,
    uid: 0,
    gid: 0,
    mtimeNs: BigInt(file.lastModifiedSeconds ?? 0) * 1_000_000_000n,
    size: file.sizeBytes,
    digest: file.digest,
    hostPath: file.path ?? "",
  };
  return {
    basename: bytePath(fileNameOf(url)),
    matched: false,
    entries: [{ kind: "content", entry }],
    keptParents: [],
    ...(!unpackFetched && { verbatim: true }),
  };
}

/** A folder without a name, whose contents are taken. */
function checkoutDraft(origin: Origin | undefined, exclude: IgnoreRules): Draft {
  const node = origin?.lookup(root);
  if (origin === undefined || node === undefined) throw new Error("a repository that nobody checked out");
  return { ...draftOf(node, root, false, origin, exclude), origin };
}

const root = bytePathOfLatin1("");

function pathDrafts(path: string, request: SelectionRequest, exclude: IgnoreRules): readonly Draft[] {
  const { origin } = request;
  if (!hasWildcard(path)) {
    const node = origin.lookup(bytePath(path));
    if (node === undefined || node.type === "socket") throw request.missing(path);
    return [draftOf(node, basenameOf(bytePath(path)), false, origin, exclude)];
  }
  return wildcardMatches(path, origin).flatMap((match) => {
    if (match.type === "socket") return [];
    // A link that was matched is taken as what it leads to, under its own name.
    const node = match.type === "symlink" ? origin.lookup(match.path) : match;
    if (node === undefined) throw request.missing(`/${textOfBytePath(match.path)}`);
    return draftOf(node, basenameOf(match.path), true, origin, exclude);
  });
}

/** Component by component; links are followed up to the first wildcard and not behind it. */
function wildcardMatches(path: string, origin: Origin): readonly OriginNode[] {
  const components = path.split("/").filter((component) => component !== "");
  const first = components.findIndex(hasWildcard);
  const start = origin.lookup(bytePath(components.slice(0, first).join("/")));
  let matches = start === undefined ? [] : [start];
  for (const component of components.slice(first)) {
    matches = matches.flatMap((folder) =>
      folder.type === "dir"
        ? origin.readdir(folder).filter((child) => matchPath(component, textOfBytePath(basenameOf(child.path))))
        : [],
    );
  }
  return matches;
}

function draftOf(node: OriginNode, basename: BytePath, matched: boolean, origin: Origin, exclude: IgnoreRules): Draft {
  const entries: DraftEntry[] = [draftEntry(node, root)];
  if (node.type === "dir") addBelow(node, { origin, exclude, top: node.path, folder: undefined }, entries);
  return { basename, matched, entries, keptParents: [] };
}

interface Walk {
  readonly origin: Origin;
  readonly exclude: IgnoreRules;
  /** What paths in the selection are relative to. */
  readonly top: BytePath;
  readonly folder: FolderMatches | undefined;
}

/** Parents before children, names in byte order. An excluded folder comes along only for what is kept in it. */
function addBelow(folder: OriginNode, walk: Walk, entries: DraftEntry[]): void {
  for (const child of walk.origin.readdir(folder)) {
    if (child.type === "socket") continue;
    const path = relativeTo(walk.top, child.path);
    if (walk.exclude.isEmpty) {
      entries.push(draftEntry(child, path));
      if (child.type === "dir") addBelow(child, walk, entries);
      continue;
    }
    const { excluded, matches } = walk.exclude.match(textOfBytePath(path), walk.folder);
    const at = entries.length;
    entries.push(draftEntry(child, path));
    if (child.type === "dir" && (!excluded || walk.exclude.mayIncludeBelow(textOfBytePath(path))))
      addBelow(child, { ...walk, folder: matches }, entries);
    if (excluded && entries.length === at + 1) entries.length = at;
  }
}

// --parents ------------------------------------------------------------------------------------------------------

/** Links in the kept part are not followed. */
function keptDrafts(path: string, request: SelectionRequest, exclude: IgnoreRules): readonly Draft[] {
  const { origin } = request;
  const pivot = path.indexOf("/./");
  const start = origin.lookup(bytePath(pivot < 0 ? "/" : path.slice(0, pivot)));
  const kept = (pivot < 0 ? path : path.slice(pivot + 3)).replace(/^\/+/, "");
  if (start === undefined || start.type !== "dir") throw request.missing(path);
  const wild = hasWildcard(kept);
  const matches = wild ? deepMatches(kept, start, origin) : [walkKept(kept, start, origin)];
  return matches.map((chain) => {
    const node = chain?.at(-1);
    if (chain === undefined || node === undefined) throw request.missing(path);
    const parents = chain.slice(0, -1).map((parent) => draftEntry(parent, relativeTo(start.path, parent.path)));
    return { ...draftOf(node, basenameOf(node.path), wild, origin, exclude), keptParents: parents };
  });
}

/** The nodes from the first kept component to the last, or undefined when one is missing or a link. */
function walkKept(kept: string, start: OriginNode, origin: Origin): readonly OriginNode[] | undefined {
  const chain: OriginNode[] = [];
  let here = start;
  for (const name of kept.split("/")) {
    if (here.type !== "dir") return undefined;
    const path = (here.path === "" ? bytePath(name) : `${here.path}/${bytePath(name)}`) as BytePath;
    const next = origin.lookup(path, { followLast: false });
    if (next === undefined || next.type === "socket") return undefined;
    chain.push(next);
    here = next;
  }
  return chain;
}

/** As ignore patterns match, two stars included; what lies below a match belongs to it. */
function deepMatches(pattern: string, start: OriginNode, origin: Origin): readonly (readonly OriginNode[])[] {
  const matches = ignoreMatcher(pattern) ?? (() => false);
  const found: (readonly OriginNode[])[] = [];
  const depth = pattern.includes("**") ? Number.POSITIVE_INFINITY : pattern.split("/").length;
  const visit = (chain: readonly OriginNode[], folder: OriginNode): void => {
    for (const child of origin.readdir(folder)) {
      if (child.type === "socket") continue;
      const own = [...chain, child];
      if (matches(textOfBytePath(relativeTo(start.path, child.path)))) found.push(own);
      else if (child.type === "dir" && own.length < depth) visit(own, child);
    }
  };
  visit([], start);
  return found;
}

// Entries --------------------------------------------------------------------------------------------------------

function basenameOf(path: BytePath): BytePath {
  return bytePathOfLatin1(path.slice(path.lastIndexOf("/") + 1));
}

function relativeTo(top: BytePath, path: BytePath): BytePath {
  return bytePathOfLatin1(top === "" ? path : path.slice(top.length + 1));
}

function draftEntry(node: OriginNode, path: BytePath): DraftEntry {
  return { kind: "node", path, node };
}

async function withFacts(
  drafts: readonly Draft[],
  main: Origin,
  signal: AbortSignal,
): Promise<readonly SelectedSource[]> {
  const files = new Map<Origin, OriginNode[]>();
  for (const { entries, origin = main } of drafts)
    for (const one of entries)
      if (one.kind === "node" && one.node.type === "file") {
        const known = files.get(origin);
        if (known === undefined) files.set(origin, [one.node]);
        else known.push(one.node);
      }
  const facts = new Map<Origin, Iterator<FileFacts>>();
  for (const [origin, nodes] of files) facts.set(origin, (await origin.facts(nodes, signal)).values());
  return drafts.map(({ basename, matched, entries, keptParents, verbatim, origin = main }) => {
    const known = facts.get(origin);
    const complete = (draft: DraftEntry): SelectedEntry => {
      if (draft.kind === "content") return draft.entry;
      return selectedEntry(
        draft.node,
        draft.path,
        origin,
        draft.node.type === "file" ? known?.next().value : undefined,
      );
    };
    const [first, ...rest] = entries.map(complete);
    if (first === undefined) throw new Error("a source without entries");
    const above = keptParents.map(complete);
    return { basename, matched, entries: [first, ...rest], keptParents: above, ...(verbatim && { verbatim }) };
  });
}

function selectedEntry(
  { stat, type, hostPath }: OriginNode,
  path: BytePath,
  origin: Origin,
  facts: FileFacts | undefined,
): SelectedEntry {
  if (type === "socket") throw new Error("a socket is never selected");
  const ofRoot = origin.owners === "root";
  const entry: SelectedEntry = {
    path,
    type,
    mode: Number(stat.mode) & 0o7777,
    uid: ofRoot ? 0 : Number(stat.uid),
    gid: ofRoot ? 0 : Number(stat.gid),
    mtimeNs: stat.mtimeNs,
    size: type === "file" ? Number(stat.size) : 0,
    hostPath,
  };
  if (type === "dir" || type === "fifo") return entry;
  // Files are by far the most: no needless object for each.
  if (type === "file" && facts !== undefined && facts.capability === undefined && stat.nlink === 1n) {
    const { digest, content } = facts;
    return Object.assign(entry, content === undefined ? { digest } : { digest, content });
  }
  return {
    ...entry,
    ...facts,
    ...(type === "symlink" && { target: bytePathOfLatin1(readlinkSync(hostPath, { encoding: "latin1" })) }),
    ...((type === "char" || type === "block") && deviceNumbers(stat.rdev)),
    ...(type === "file" && stat.nlink > 1n && { inode: `${stat.dev}:${stat.ino}` }),
  };
}

/** Source: makedev(3) of glibc. */
function deviceNumbers(rdev: bigint): { readonly major: number; readonly minor: number } {
  return {
    major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n)),
    minor: Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n)),
  };
}
