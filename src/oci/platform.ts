/** Platforms: `os/arch[/variant]`, normalised as containerd does. Source: image-spec, image-index.md, "platform". */
import { TsbuildError } from "../errors.ts";

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

const architectures: Readonly<Record<string, readonly [string, string?]>> = {
  x86_64: ["amd64"],
  "x86-64": ["amd64"],
  aarch64: ["arm64"],
  armhf: ["arm", "v7"],
  armel: ["arm", "v6"],
  i386: ["386"],
};

/** Source: containerd/platforms, `isKnownArch`. */
const knownArchitectures: ReadonlySet<string> = new Set([
  ...[
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
  ],
  ...["mips64p32", "mips64p32le", "ppc", "ppc64", "ppc64le", "riscv", "riscv64", "s390", "s390x", "sparc", "sparc64"],
  "wasm",
]);

/** amd64/v1 and arm64/v8 have no variant, arm means v7. */
export function normalisePlatform(platform: Platform): Platform {
  const [architecture, implied] = architectures[platform.architecture.toLowerCase()] ?? [
    platform.architecture.toLowerCase(),
  ];
  let variant: string | undefined = platform.variant?.toLowerCase() || implied;
  if (architecture === "arm64" && (variant === "8" || variant === "v8")) variant = undefined;
  if (architecture === "amd64" && variant === "v1") variant = undefined;
  if (architecture === "arm") variant = variant === undefined ? "v7" : /^\d/.test(variant) ? `v${variant}` : variant;
  const os = platform.os.toLowerCase();
  return variant === undefined ? { os, architecture } : { os, architecture, variant };
}

/** @throws {TsbuildError} `INVALID_PLATFORM` */
export function parsePlatform(text: string): Platform {
  const parts = text.split("/");
  const invalid = (): TsbuildError =>
    new TsbuildError({
      code: "INVALID_PLATFORM",
      what: `invalid platform ${JSON.stringify(text)}`,
      hint: "a platform is os/arch or os/arch/variant, such as linux/arm64",
    });
  if (parts.length > 3 || parts.some((part) => !/^[A-Za-z0-9_.-]+$/.test(part))) throw invalid();
  const [first = "", second, third] = parts;
  if (second === undefined) {
    // One word is an operating system or an architecture, as docker reads it.
    if (/^(linux|windows|darwin|freebsd)$/i.test(first))
      return normalisePlatform({ os: first, architecture: hostPlatform().architecture });
    const platform = normalisePlatform({ os: "linux", architecture: first });
    if (!knownArchitectures.has(platform.architecture)) throw invalid();
    return platform;
  }
  return normalisePlatform(
    third === undefined ? { os: first, architecture: second } : { os: first, architecture: second, variant: third },
  );
}

export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter((part) => part !== undefined).join("/");
}

export function samePlatform(a: Platform, b: Platform): boolean {
  return formatPlatform(normalisePlatform(a)) === formatPlatform(normalisePlatform(b));
}

const nodeArchitectures: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386", ppc64: "ppc64le" };

/** The platform this process runs on. */
export function hostPlatform(): Platform {
  return normalisePlatform({ os: "linux", architecture: nodeArchitectures[process.arch] ?? process.arch });
}
