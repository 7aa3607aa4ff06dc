import type { ImageId } from "../../oci/digest.ts";
import type { Store } from "../../store/store.ts";
import { listContainers } from "./container-folder.ts";
import type { ContainerId } from "./container-id.ts";
import { observe } from "./container-state.ts";
import { isUp } from "./stop-container.ts";

export interface ImageUse {
  readonly id: ContainerId;
  readonly image: ImageId;
  readonly running: boolean;
}

/** Each container and the image it stands on; with `image`, only those of that image. */
export function containersUsing(store: Store, image?: ImageId): readonly ImageUse[] {
  return listContainers(store).flatMap(({ folder, record }) => {
    if (record === undefined || (image !== undefined && record.image.id !== image)) return [];
    return [{ id: folder.id, image: record.image.id, running: isUp(observe(folder)) }];
  });
}
