/** The folder of one platform among several: `linux_arm64`, `linux_arm_v7`. Source: BuildKit, exporter/local. */
import { formatPlatform, type Platform } from "../../oci/platform.ts";

export function platformFolder(platform: Platform): string {
  return formatPlatform(platform).replaceAll("/", "_");
}
