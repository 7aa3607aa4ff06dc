/** Which images a list or a prune means. Source: docker image ls, "Filtering". */
import { familiarName, familiarReference } from "../oci/reference.ts";
import type { ImageStore, StoredImage } from "../store/store.ts";
import { type Filters, globMatches, labelsFit, someFits, switchFilter } from "./filters.ts";
import { parseTime } from "./render/time.ts";

export const imageFilterKeys = ["before", "dangling", "id", "label", "label!", "reference", "since", "until"] as const;

/** @throws {TsbuildError} `IMAGE_NOT_FOUND` for `before` and `since`, `INVALID_ARGUMENT` */
export function imageFilter(images: ImageStore, filters: Filters, nowMs: number): (image: StoredImage) => boolean {
  const dangling = switchFilter(filters, "dangling");
  const before = (filters.get("before") ?? []).map((name) => createdMs(images.lookup(name)));
  const since = (filters.get("since") ?? []).map((name) => createdMs(images.lookup(name)));
  const until = (filters.get("until") ?? []).map((text) => parseTime(text, nowMs));
  return (image) => {
    const created = createdMs(image);
    return (
      (dangling === undefined || dangling === isDangling(image)) &&
      before.every((time) => created < time) &&
      since.every((time) => created > time) &&
      until.every((time) => created < time) &&
      someFits(filters, "id", (id) => image.id.startsWith(id) || image.id.slice("sha256:".length).startsWith(id)) &&
      someFits(filters, "reference", (pattern) => referenceMatches(image, pattern)) &&
      labelsFit(filters, image.config.config.Labels ?? {})
    );
  };
}

/** A glob over `repo:tag`, or over the repository alone. */
export function referenceMatches(image: StoredImage, pattern: string): boolean {
  return [...image.references, ...image.indexReferences, ...image.repoDigests].some(
    (reference) => globMatches(pattern, familiarReference(reference)) || globMatches(pattern, familiarName(reference)),
  );
}

/** Without a name, of its own or of an index it is part of. */
export function isDangling(image: Pick<StoredImage, "references" | "indexReferences">): boolean {
  return image.references.length + image.indexReferences.length === 0;
}

function createdMs(image: StoredImage): number {
  return image.created?.getTime() ?? 0;
}
