import { mkdtempSync, rmSync } from "node:fs";

export interface TemporaryTestFolder extends Disposable {
  readonly path: string;
}

/** Removed with all that is in it when it is disposed. */
export function temporaryTestFolder(name: string): TemporaryTestFolder {
  const path = mkdtempSync(`/tmp/tsbuild-test-${name}-`);
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
