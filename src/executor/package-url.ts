/** An image as a package URL. Source: package-url/purl-spec, "docker"; BuildKit, util/purl. */
import type { Digest } from "../oci/digest.ts";
import { formatPlatform, type Platform } from "../oci/platform.ts";
import { familiarName, type Reference } from "../oci/reference.ts";

export function packageUrl(
  reference: Reference,
  { digest, platform }: { readonly digest?: Digest; readonly platform: Platform },
): string {
  const query = [
    ...(digest === undefined ? [] : [`digest=${digest}`]),
    `platform=${encodeURIComponent(formatPlatform(platform))}`,
  ];
  const name = familiarName(reference).split("/").map(encodeURIComponent).join("/");
  const tag = encodeURIComponent(reference.tag ?? "latest");
  return `pkg:docker/${name}@${tag}?${query.join("&")}`;
}
