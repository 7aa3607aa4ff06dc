/** Secrets that go into a header of HTTP. */
import { readFileSync } from "node:fs";
import type { SecretSource } from "./build-options.ts";
import { secretIsNoHeader } from "./errors.ts";

/** Undefined when the build has none of this ID. @throws {TsbuildError} `INVALID_ARGUMENT` for what no header may have */
export function headerSecret(id: string, secrets: ReadonlyMap<string, SecretSource>): string | undefined {
  const secret = secrets.get(id);
  if (secret === undefined) return undefined;
  const text = (secret.kind === "file" ? readFileSync(secret.path, "utf8") : secret.value).trim();
  if (/[^\x20-\x7e]/.test(text)) throw secretIsNoHeader(id);
  return text;
}
