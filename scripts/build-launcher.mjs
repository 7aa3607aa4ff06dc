/**
 * Compiles native/launcher.c into dist/launcher-<arch>: for this machine, or with `--all` for every architecture a
 * compiler is found for. No compiler for this machine: one line that names the package to install, and exit code 1.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, renameSync } from "node:fs";
import { fileURLToPath } from "node:url";

const flags = [
  "-std=c17",
  "-Os",
  "-static",
  "-nostdlib",
  "-ffreestanding",
  "-fno-pie",
  "-no-pie",
  "-fno-stack-protector",
  "-fno-asynchronous-unwind-tables",
  "-fno-tree-loop-distribute-patterns",
  "-fcf-protection=none",
  "-s",
  "-Wall",
  "-Wextra",
  "-Werror",
  "-Wconversion",
  "-Wl,--build-id=none",
  "-Wl,-z,noexecstack",
  "-Wl,-z,noseparate-code",
  "-Wl,-z,norelro",
];

/** Candidates in order; clang needs no second installation for another target. */
const compilers = {
  x64: [["x86_64-linux-gnu-gcc"], ["gcc"], ["cc"], ["clang", "--target=x86_64-linux-gnu", "-fuse-ld=lld"]],
  arm64: [["aarch64-linux-gnu-gcc"], ["gcc"], ["cc"], ["clang", "--target=aarch64-linux-gnu", "-fuse-ld=lld"]],
};

/** What a compiler says it makes code for, as Node names it. */
function targetOf(command) {
  const [program, ...rest] = command;
  const run = spawnSync(program, [...rest, "-dumpmachine"], { encoding: "utf8" });
  if (run.status !== 0) return undefined;
  return run.stdout.startsWith("x86_64") ? "x64" : run.stdout.startsWith("aarch64") ? "arm64" : undefined;
}

function compile(command, arch, root) {
  const [program, ...rest] = command;
  const to = `${root}dist/launcher-${arch}`;
  // -fcf-protection is an x86 option.
  const own = arch === "x64" ? flags : flags.filter((flag) => !flag.startsWith("-fcf-protection"));
  const run = spawnSync(program, [...rest, ...own, "-o", `${to}.new`, `${root}native/launcher.c`], {
    encoding: "utf8",
  });
  if (run.status !== 0) return run.stderr.trim() || `${program}: cannot be run`;
  renameSync(`${to}.new`, to);
  return undefined;
}

/**
 * @param {{ all?: boolean, root?: string }} options
 * @returns {{ built: string[], problems: string[] }} paths below `root`, and one line a problem. Only what concerns this
 * machine's own architecture is a problem, unless `all` asks for more.
 */
export function buildLauncher({ all = false, root = fileURLToPath(new URL("../", import.meta.url)) } = {}) {
  const built = [];
  const problems = [];
  mkdirSync(`${root}dist`, { recursive: true });
  for (const arch of all ? Object.keys(compilers) : [process.arch]) {
    const candidates = compilers[arch];
    if (candidates === undefined) {
      problems.push(`there is no launcher for ${arch}; tsbuild runs on x64 and arm64`);
      continue;
    }
    const compiler = candidates.find((command) => targetOf(command) === arch);
    if (compiler === undefined) {
      const gcc = arch === process.arch ? "gcc" : arch === "arm64" ? "gcc-aarch64-linux-gnu" : "gcc-x86-64-linux-gnu";
      problems.push(`no C compiler for the ${arch} launcher; on Debian: apt-get install ${gcc}`);
      continue;
    }
    const problem = compile(compiler, arch, root);
    if (problem === undefined) built.push(`dist/launcher-${arch}`);
    else problems.push(`the ${arch} launcher does not compile: ${problem}`);
  }
  return { built, problems };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { built, problems } = buildLauncher({ all: process.argv.includes("--all") });
  for (const path of built) console.log(path);
  for (const problem of problems) console.error(`error: ${problem}`);
  if (problems.length > 0) process.exitCode = 1;
}
