// Builds dist/: the launcher, the pack with the programs that run it, threads, the library, and declaration files.
// Plain JavaScript that an older Node runs too: `npm ci` calls it before anyone knows which Node there is.
//   --all    launchers of all architectures, for the package
//   --fast   no declaration files: what the tests use when a source is newer than dist/
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { buildLauncher } from "./build-launcher.mjs";
import { makePacks } from "./pack.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const dist = join(root, "dist");
const fast = process.argv.includes("--fast");
const packageJson = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

if (!existsSync(join(root, "node_modules/esbuild"))) {
  fail("the development dependencies are not installed: npm ci (without --omit=dev)");
}
if (!fast) rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
launchers();
await bundle();
linkProgram();
placeHelloCompiler();
if (!fast) declarations();

function fail(message) {
  process.stderr.write(`build: ${message}\n`);
  process.exit(1);
}

/** The launcher of this machine; with --all of every architecture the package serves. */
function launchers() {
  const { built, problems } = buildLauncher({ all: process.argv.includes("--all") });
  if (built.length === 0 || problems.length > 0) fail(problems.join("\n       "));
}

function sourceFiles(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? sourceFiles(path) : entry.name.endsWith(".ts") ? [path] : [];
  });
}

/** The pack with the programs that run it, the threads, and the library. */
async function bundle() {
  const esbuild = (await import(pathToFileURL(join(root, "node_modules/esbuild/lib/main.js")).href)).default;
  const define = {
    TSBUILD_BUNDLED: "true",
    TSBUILD_VERSION_INFO: JSON.stringify({ version: packageJson.version, commit: commit() }),
    TSBUILD_PARSER_ID: JSON.stringify(parserId()),
  };
  const options = {
    absWorkingDir: root,
    bundle: true,
    platform: "node",
    target: "node24",
    // Node 24 has it; esbuild would write it out.
    supported: { using: true },
    // koffi finds its binary beside itself.
    external: ["koffi"],
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: "none",
    logLevel: "warning",
  };
  const commonJs = {
    ...options,
    format: "cjs",
    define: { ...define, "import.meta.dirname": "__dirname", "import.meta.filename": "__filename" },
  };
  const programs = { tsbuild: "src/cli/main.ts", monitor: "src/runtime/monitor.ts" };
  const packs = await makePacks(esbuild, { root, entries: Object.values(programs), options: commonJs });
  mkdirSync(join(dist, "vendor"), { recursive: true });
  for (const [name, text] of packs) writeFileSync(join(dist, `${name}.js`), text);
  for (const [name, entry] of Object.entries(programs)) writeProgram(esbuild, { name, entry, packs });
  const threads = sourceFiles(join(root, "src")).filter((file) => file.endsWith(".worker.ts"));
  await esbuild.build({
    ...commonJs,
    entryPoints: threads.map((file) => ({ in: file, out: basename(file, ".ts") })),
    outdir: "dist",
    outExtension: { ".js": ".cjs" },
  });
  await esbuild.build({
    ...options,
    define,
    entryPoints: ["src/index.ts"],
    outdir: "dist",
    format: "esm",
    // Whoever uses the library has installed them.
    packages: "external",
  });
}

/** One program: `program.cjs` with what it has to know, for any Node. */
function writeProgram(esbuild, { name, entry, packs }) {
  const digest = createHash("sha256");
  for (const text of packs.values()) digest.update(text);
  const { code } = esbuild.transformSync(readFileSync(join(root, "scripts/program.cjs"), "utf8"), {
    target: "node12",
    minifySyntax: true,
    define: {
      TSBUILD_ENTRY: JSON.stringify(entry),
      TSBUILD_COMMANDS: JSON.stringify(name === "tsbuild" ? commandWords() : []),
      TSBUILD_DEFAULT_COMMAND: JSON.stringify(name === "tsbuild" ? "build" : name),
      TSBUILD_NODE_MAJOR: String(Number.parseInt(packageJson.engines.node.replace(/\D+/, ""), 10)),
      TSBUILD_PACK_ID: JSON.stringify(digest.digest("hex").slice(0, 12)),
    },
  });
  const file = join(dist, `${name}.cjs`);
  // A shell reads the second line as a command, JavaScript as a string and a comment. Between `node` and the file stands
  // `--`: without it Node takes `run --env-file FILE` for its own flag (github.com/nodejs/node/issues/54232). Not
  // `env -S`, which busybox has not.
  writeFileSync(file, `#!/bin/sh\n":" //; exec node -- "$0" "$@"\n${code}`);
  chmodSync(file, 0o755);
}

/** First words of commands, and of groups of commands. */
function commandWords() {
  return readdirSync(join(root, "src/cli/commands")).map((name) => basename(name, ".ts"));
}

/** Changes with every change of the parser, so that nobody reads back what another one said. */
function parserId() {
  const hash = createHash("sha256").update(packageJson.dependencies.chevrotain);
  for (const file of sourceFiles(join(root, "src/parser")).sort()) hash.update(readFileSync(file));
  return hash.digest("hex").slice(0, 16);
}

function commit() {
  try {
    const output = execFileSync("git", ["rev-parse", "--short=7", "HEAD"], {
      cwd: root,
      stdio: ["ignore", "pipe", "ignore"],
    });
    return output.toString().trim();
  } catch {
    return "package";
  }
}

/** npm links the programs of dependencies, not our own: this makes \`npx tsbuild\` work in a working copy. */
function linkProgram() {
  const link = join(root, "node_modules/.bin/tsbuild");
  // A node_modules that is itself a link belongs to another working copy.
  if (!existsSync(dirname(link)) || lstatSync(join(root, "node_modules")).isSymbolicLink()) return;
  rmSync(link, { force: true });
  symlinkSync("../../dist/tsbuild.cjs", link);
}

/** fixtures/hello runs esbuild in its build: the context needs its own copy, for this machine's architecture. */
function placeHelloCompiler() {
  const from = join(root, `node_modules/@esbuild/linux-${process.arch}/bin/esbuild`);
  const to = join(root, "fixtures/hello/esbuild");
  if (!existsSync(from) || !existsSync(dirname(to))) return;
  rmSync(to, { force: true });
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to, constants.COPYFILE_FICLONE);
  }
  chmodSync(to, 0o755);
}

function declarations() {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  execFileSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { stdio: "inherit", cwd: root });
}
