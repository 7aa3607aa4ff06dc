/** What came of one build, by either builder. */
import type { BuiltImage } from "./image.ts";
import type { BuildCall } from "./workspace.ts";

export interface BuildRun {
  readonly ok: boolean;
  /** Of a build that failed: no step had begun. */
  readonly refused: boolean;
  /** What the builder wrote. */
  readonly log: string;
  /** Lines that steps printed. */
  readonly printed: readonly string[];
  /** Texts of the steps that came from the cache. */
  readonly hits: readonly string[];
  /** Texts of the steps that ran. */
  readonly misses: readonly string[];
  /** Its ID. */
  readonly image: string | undefined;
}

export interface Builder {
  readonly name: string;
  build(call: BuildCall): Promise<BuildRun>;
  /** What was built, by way of an archive that it writes into `folder`. */
  read(run: BuildRun, folder: string): Promise<BuiltImage>;
}
