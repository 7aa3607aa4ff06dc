/**
 * Removing an image by what a user typed: takes names away, and the image with its last one. A conflict changes
 * nothing. Source: moby, daemon/containerd/image_delete.go and daemon/images/image_delete.go.
 */
import { TsbuildError } from "../errors.ts";
import { hexOf, type ImageId } from "../oci/digest.ts";
import { familiarName, familiarReference, parseReference, type Reference } from "../oci/reference.ts";
import type { Store, StoredImage } from "./store.ts";

/** A container that stands on an image; the store does not know containers. */
export interface ImageUser {
  readonly id: string;
  readonly image: ImageId;
  readonly running: boolean;
}

export interface RemovedImage {
  readonly untagged: readonly Reference[];
  readonly deleted: ImageId | undefined;
  readonly freedBytes: number;
}

/** @throws {TsbuildError} `IMAGE_NOT_FOUND`, `CONFLICT` */
export function removeImage(
  store: Store,
  text: string,
  settings: { readonly force: boolean; readonly users: readonly ImageUser[] },
): RemovedImage {
  const image = store.images.lookupDamaged(text);
  const users = settings.users.filter((user) => user.image === image.id);
  const removal: Removal = { store, image, users, force: settings.force };
  if (isIdOf(text, image)) return removeById(removal);
  const index = image.damage === undefined ? store.images.index(parseReference(text)) : undefined;
  const removed = removeByName(removal, text);
  // The images of other platforms have no other name, mostly: they go with the index.
  const others = (index?.images ?? [])
    .filter(({ id }) => store.images.identify(id) !== undefined)
    .map(({ id }) => store.images.lookupDamaged(id));
  const freed = others.map((other) =>
    isNamed(other) || settings.users.some((user) => user.image === other.id) ? 0 : store.images.remove(other.id),
  );
  return { ...removed, freedBytes: freed.reduce((sum, bytes) => sum + bytes, removed.freedBytes) };
}

function isNamed({ references, repoDigests, indexReferences }: StoredImage): boolean {
  return references.length + repoDigests.length + indexReferences.length > 0;
}

interface Removal {
  readonly store: Store;
  readonly image: StoredImage;
  readonly users: readonly ImageUser[];
  readonly force: boolean;
}

function removeByName(removal: Removal, text: string): RemovedImage {
  const { store, image, users, force } = removal;
  const reference = parseReference(text);
  const all = [...image.references, ...image.repoDigests, ...otherIndexes(image)];
  const user = users[0];
  if (user !== undefined && !force && isOneName(all)) throw nameInUse(text, user, image.id);
  const isMeant = (other: Reference): boolean => familiarReference(other) === familiarReference(reference);
  const gone = all.filter(isMeant);
  const isLastTag =
    reference.digest === undefined && !image.references.some((other) => sameName(other, reference) && !isMeant(other));
  // With the last tag of a repository its digests go too: nothing but the tag made them worth keeping.
  if (isLastTag) gone.push(...image.repoDigests.filter((other) => sameName(other, reference)));
  if (gone.length === all.length) checkConflict(removal, { countsNames: false });
  for (const name of gone) store.images.untag(name);
  if (gone.length < all.length) return { untagged: gone, deleted: undefined, freedBytes: 0 };
  return { untagged: gone, deleted: image.id, freedBytes: store.images.remove(image.id) };
}

function removeById(removal: Removal): RemovedImage {
  const { store, image } = removal;
  const names = [...image.references, ...image.repoDigests];
  const [index] = otherIndexes(image);
  if (index !== undefined)
    throw cannotDelete(image.id, "cannot be forced", `image is part of ${familiarReference(index)}`);
  checkConflict(removal, { countsNames: !isOneName(names) });
  return { untagged: names, deleted: image.id, freedBytes: store.images.remove(image.id) };
}

/** Nothing is taken from under a running container; the rest gives way to force. */
function checkConflict({ image, users, force }: Removal, { countsNames }: { readonly countsNames: boolean }): void {
  const running = users.find((user) => user.running);
  if (running !== undefined) {
    throw cannotDelete(image.id, "cannot be forced", `image is being used by running container ${short(running.id)}`);
  }
  if (force) return;
  if (countsNames) throw cannotDelete(image.id, "must be forced", "image is referenced in multiple repositories");
  const stopped = users[0];
  if (stopped !== undefined) {
    throw cannotDelete(image.id, "must be forced", `image is being used by stopped container ${short(stopped.id)}`);
  }
}

/** One tag, or one tag with digests of its own repository. */
function isOneName(names: readonly Reference[]): boolean {
  const tags = names.filter((name) => name.digest === undefined);
  const repositories = new Set(names.map(familiarName));
  return names.length <= 1 || (tags.length <= 1 && repositories.size === 1);
}

function isIdOf(text: string, image: StoredImage): boolean {
  const isPrefix = image.id.startsWith(text) || hexOf(image.id).startsWith(text);
  // A name made of hex digits wins over the ID that begins like it.
  return isPrefix && !image.references.some((name) => familiarReference(name) === `${text}:latest`);
}

/** Names of indexes in which it is one platform among others, and not the one that runs. */
function otherIndexes({ references, indexReferences }: StoredImage): readonly Reference[] {
  const own = new Set(references.map(familiarReference));
  return indexReferences.filter((reference) => !own.has(familiarReference(reference)));
}

function sameName(a: Reference, b: Reference): boolean {
  return a.domain === b.domain && a.path === b.path;
}

function nameInUse(text: string, user: ImageUser, image: ImageId): TsbuildError {
  return new TsbuildError({
    code: "CONFLICT",
    what:
      `conflict: unable to remove repository reference ${JSON.stringify(text)} (must force) - ` +
      `container ${short(user.id)} is using its referenced image ${short(hexOf(image))}`,
    hint: `remove the container first: tsbuild rm ${short(user.id)}`,
  });
}

function cannotDelete(image: ImageId, force: string, why: string): TsbuildError {
  const what = `conflict: unable to delete ${short(hexOf(image))} (${force}) - ${why}`;
  return new TsbuildError({ code: "CONFLICT", what });
}

function short(id: string): string {
  return id.slice(0, 12);
}
