/** Which containers stand on which image: what `rmi` and `prune` must know. */
import type { ImageUser } from "../store/remove-image.ts";
import type { Store } from "../store/store.ts";

export async function imageUsers(store: Store): Promise<readonly ImageUser[]> {
  const { containersUsing } = await import("../runtime/containers/containers-using.ts");
  return containersUsing(store);
}
