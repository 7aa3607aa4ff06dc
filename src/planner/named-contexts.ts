/** `--build-context name=value`: which one a name means. Source: docker buildx build, "--build-context". */
import { assertNever } from "../errors.ts";
import { formatPlatform, type Platform } from "../oci/platform.ts";
import { canonicalReference, parseReference } from "../oci/reference.ts";
import type { NamedContext, OciLayout } from "./build-options.ts";
import { contextUnsupported } from "./errors.ts";

export interface FoundContext {
  /** Its key in the options. */
  readonly name: string;
  readonly context: NamedContext;
}

/**
 * The context of this name, compared as image references are: `alpine` is `docker.io/library/alpine:latest`.
 * `name::os/arch` goes before `name`. `scratch` and `context` are never taken.
 */
export function findNamedContext(
  contexts: ReadonlyMap<string, NamedContext>,
  name: string,
  platform: Platform,
): FoundContext | undefined {
  if (contexts.size === 0 || name === "scratch" || name === "context") return undefined;
  const wanted = normalForm(name);
  let found: FoundContext | undefined;
  for (const [key, context] of contexts) {
    const [keyName = "", keyPlatform] = key.split("::", 2);
    if (normalForm(keyName) !== wanted) continue;
    if (keyPlatform === formatPlatform(platform)) return { name: key, context };
    if (keyPlatform === undefined) found = { name: key, context };
  }
  return found;
}

/** What there is behind a context, now that it is used. */
export type ContextTree =
  | { readonly kind: "scratch" }
  | { readonly kind: "folder" }
  | { readonly kind: "image"; readonly reference: string; readonly layout: OciLayout | undefined };

/** @throws {TsbuildError} `UNSUPPORTED` */
export function treeOfContext({ name, context }: FoundContext): ContextTree {
  switch (context.kind) {
    case "directory":
    case "git":
    case "url":
      return { kind: "folder" };
    case "image":
      if (context.reference === "scratch") return { kind: "scratch" };
      return { kind: "image", reference: context.reference, layout: undefined };
    case "ociLayout":
      return { kind: "image", reference: name.split("::", 1)[0] ?? name, layout: context.layout };
    case "unknown":
      throw contextUnsupported(name, context.value);
    default:
      return assertNever(context);
  }
}

function normalForm(name: string): string {
  const lower = name.toLowerCase();
  try {
    return canonicalReference(parseReference(lower));
  } catch {
    return lower; // a name that is no reference can only equal itself
  }
}
