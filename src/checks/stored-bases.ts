import { parseReference } from "../oci/reference.ts";
import type { Store } from "../store/store.ts";
import type { BaseImage } from "./checked-file.ts";

/** The config of a base image that the store has; a name that is no reference is the planner's to refuse. */
export function storedBase(store: Pick<Store, "images">, name: string): BaseImage | undefined {
  try {
    return store.images.resolve(parseReference(name))?.config;
  } catch {
    return undefined;
  }
}
