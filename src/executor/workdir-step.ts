/**
 * WORKDIR: makes the folder with its parents, owned by the current USER; what exists is not touched.
 * Source: Dockerfile reference, "WORKDIR".
 */
import { bytePath } from "../kernel/byte-path.ts";
import type { WorkdirInput } from "../planner/build-graph.ts";
import { lookupOwner } from "../runtime/user.ts";
import { noAccountsForName, workdirIsNoFolder } from "./errors.ts";
import { type ImpliedMetadata, parentOf, UpperTree } from "./upper-tree.ts";

/** @throws {TsbuildError} `COPY_FAILED` for a file in the way, or a named user where there is no file system yet */
export function workdirStep(input: WorkdirInput, upperdir: string, lowerdirs: readonly string[]): void {
  const tree = new UpperTree(upperdir, lowerdirs);
  const { path, node } = tree.resolve(bytePath(input.path));
  if (node !== undefined && node.type !== "dir") throw workdirIsNoFolder(input.path);
  if (node !== undefined) return;
  const owner = ownerOf(input.user, tree, lowerdirs.length === 0);
  const missing = [];
  for (let at = path; at !== "" && tree.find(at) === undefined; at = parentOf(at)) missing.push(at);
  tree.makeFolders(path, { mode: 0o755, owner });
  if (input.sourceDateEpoch !== undefined)
    for (const folder of missing) tree.setFolderTime(folder, BigInt(input.sourceDateEpoch) * 1_000_000_000n);
  tree.finish();
}

function ownerOf(user: string, tree: UpperTree, isEmpty: boolean): ImpliedMetadata["owner"] {
  if (user === "") return undefined;
  if (isEmpty && hasName(user)) throw noAccountsForName(`the user ${user}`, "the stage has no files yet");
  const { uid, gid } = lookupOwner(user, (path) => tree.readFile(bytePath(path)));
  return { uid: Math.max(uid, 0), gid: Math.max(gid, 0) };
}

/** Does looking up this owner need /etc/passwd or /etc/group? */
export function hasName(owner: string): boolean {
  return owner.split(":").some((part) => part !== "" && part !== "root" && !/^[+-]?[0-9]+$/.test(part));
}
