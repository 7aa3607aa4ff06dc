/** A container that a user named, with a record that can be read. */
import { recordUnreadable } from "../../runtime/container-errors.ts";
import { type Container, findContainer, type LiveContainer } from "../../runtime/containers/container-folder.ts";
import type { Store } from "../../store/store.ts";

/** @throws {TsbuildError} `CONTAINER_NOT_FOUND`, `CONTAINER_STATE` for a damaged one. */
export function knownContainer(store: Store, text: string): LiveContainer {
  return withRecord(findContainer(store, text));
}

export function withRecord(container: Container): LiveContainer {
  const { folder, record } = container;
  if (record === undefined) throw recordUnreadable(folder.id);
  return { folder, record };
}
