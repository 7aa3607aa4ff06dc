/**
 * Compiles the default seccomp profile for the default capabilities and writes it to
 * src/runtime/seccomp/default-filters.ts: nearly every container takes this filter, and compiling it cold is a
 * noticeable part of a short command. Run it after a change of the profile, the compiler or the system call tables; a
 * test says when.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defaultCapabilities } from "../src/runtime/container-spec.ts";
import { compileSeccomp } from "../src/runtime/seccomp/compile-seccomp.ts";
import { defaultSeccomp } from "../src/runtime/seccomp/profile.ts";

const filters = (["x64", "arm64"] as const).map((arch) => {
  const spec = defaultSeccomp({ capabilities: [...defaultCapabilities].sort(), arch, kernel: "5.12" });
  const lines =
    compileSeccomp(spec, arch)
      .toString("base64")
      .match(/.{1,114}/g) ?? [];
  return `  ${arch}: [\n${lines.map((line) => `    "${line}",`).join("\n")}\n  ].join(""),`;
});

writeFileSync(
  fileURLToPath(new URL("../src/runtime/seccomp/default-filters.ts", import.meta.url)),
  `/** Made by scripts/update-seccomp.ts: the default profile for the default capabilities, compiled, in base64. */
export const defaultFilters: Readonly<Record<"x64" | "arm64", string>> = {
${filters.join("\n")}
};
`,
);
