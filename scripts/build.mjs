// Builds dist/: the launcher, one bundle an entry point, the program `tsbuild` in front of them, and declaration files.
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
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { buildLauncher } from "./build-launcher.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const dist = join(root, "dist");
const fast = process.argv.includes("--fast");
const packageJson = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/**
 * Packages that few commands need, or that are heavy: a file each, read when the first module that imports it is run.
 * They are CommonJS, because a `require` can wait and an `import` cannot.
 */
const vendored = [
  "chevrotain",
  "lru-cache",
  "p-queue",
  "tar-stream",
  "unbzip2-stream",
  "undici",
  "xz-decompress",
  "zod",
];

if (!existsSync(join(root, "node_modules/esbuild"))) {
  fail("the development dependencies are not installed: npm ci (without --omit=dev)");
}
if (!fast) rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
launchers();
await bundle();
writeProgram();
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

/** Each entry lies directly in dist/, so that a file URL means the same in all of them. */
function entryPoints() {
  const entries = { main: "src/cli/main.ts", index: "src/index.ts", monitor: "src/runtime/monitor.ts" };
  for (const file of sourceFiles(join(root, "src"))) {
    if (file.endsWith(".worker.ts")) entries[basename(file, ".ts")] = relative(root, file);
  }
  return Object.fromEntries(Object.entries(entries).filter(([, file]) => existsSync(join(root, file))));
}

function sourceFiles(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? sourceFiles(path) : entry.name.endsWith(".ts") ? [path] : [];
  });
}

/**
 * One file an entry, not one a chunk: opening and linking the fifty chunks of a build took longer than the build. Inside
 * the file a module still runs only when something imports it. `__builtin` gets Node's modules as late as that.
 */
async function bundle() {
  const esbuild = (await import(pathToFileURL(join(root, "node_modules/esbuild/lib/main.js")).href)).default;
  const entries = entryPoints();
  const common = {
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
  await esbuild.build({
    ...common,
    entryPoints: vendored.map((name) => ({ in: name, out: name })),
    outdir: "dist/vendor",
    outExtension: { ".js": ".cjs" },
    format: "cjs",
  });
  await esbuild.build({
    ...common,
    entryPoints: Object.entries(entries).map(([out, file]) => ({ in: file, out })),
    outdir: "dist",
    format: "esm",
    define: {
      TSBUILD_VERSION_INFO: JSON.stringify({ version: packageJson.version, commit: commit() }),
      TSBUILD_PARSER_ID: JSON.stringify(parserId()),
    },
    // `require` is also what bundled CommonJS asks for.
    banner: {
      js: [
        "const __builtins = new Map();",
        "const __builtin = (name) => __builtins.get(name) ?? (__builtins.set(name, process.getBuiltinModule(name)), __builtins.get(name));",
        'const require = __builtin("node:module").createRequire(import.meta.url);',
      ].join("\n"),
    },
    plugins: [lateVendors(), sources(entries)],
  });
}

function lateVendors() {
  const filter = new RegExp(`^(?:${vendored.join("|")})$`);
  return {
    name: "late-vendors",
    setup(build) {
      build.onResolve({ filter }, ({ path }) => ({ path, namespace: "vendor" }));
      build.onLoad({ filter, namespace: "vendor" }, ({ path }) => ({
        // `load` is a name that esbuild does not look behind. A package whose default export is its main thing (p-queue)
        // is that thing, as its importers expect of the default of a CommonJS module.
        contents: [
          `const load = require, exported = load("./vendor/${path}.cjs");`,
          'module.exports = typeof exported.default === "function" ? exported.default : exported;',
        ].join("\n"),
        loader: "js",
      }));
    },
  };
}

/** `import { a, type B, c as d } from "node:fs"` becomes `const { a, c: d } = __builtin("node:fs")`. */
function lateBuiltins(text) {
  return text
    .replace(/^import \{([^}]*)\} from "(node:[^"]+)";$/gm, (_whole, names, module) => {
      const values = names
        .split(",")
        .map((name) => name.trim())
        .filter((name) => name !== "" && !name.startsWith("type "))
        .map((name) => name.replace(/^(\w+) as (\w+)$/, "$1: $2"));
      return values.length === 0 ? "" : `const { ${values.join(", ")} } = __builtin("${module}");`;
    })
    .replace(/^import (\w+) from "(node:[^"]+)";$/gm, 'const $1 = __builtin("$2");');
}

/** `new URL("./x.worker.ts", import.meta.url)` in a source becomes the place of that file beside the bundle. */
function sources(entries) {
  const outputs = new Map(Object.entries(entries).map(([out, file]) => [join(root, file), `./${out}.js`]));
  const pattern = /new URL\(\s*(["'])([^"'$]+)\1,\s*import\.meta\.url\s*,?\s*\)/g;
  const placeOf = (target) => {
    const output = outputs.get(target);
    if (output !== undefined) return output;
    const fromDist = relative(dist, target);
    if (target === join(root, "package.json") || fromDist === "" || !fromDist.startsWith("..")) {
      return fromDist.startsWith("..") ? fromDist : `./${fromDist}`;
    }
    return undefined;
  };
  return {
    name: "sources",
    setup(build) {
      build.onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => {
        const errors = [];
        const contents = lateBuiltins(readFileSync(path, "utf8")).replace(pattern, (whole, _quote, target) => {
          const place = placeOf(resolve(dirname(path), target));
          if (place === undefined) errors.push({ text: `${target} is not shipped: ${whole}` });
          return `new URL(${JSON.stringify(place ?? target)}, import.meta.url)`;
        });
        return { contents, loader: "ts", errors };
      });
    },
  };
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

/**
 * The file that `tsbuild` is. It must be read by any Node there is, so that an old one can say what is wrong instead of
 * stumbling over new syntax. Compiled code is kept beside it, or where the user's caches are.
 */
function writeProgram() {
  const major = Number.parseInt(packageJson.engines.node.replace(/\D+/, ""), 10);
  const program = `#!/usr/bin/env node
if (Number.parseInt(process.versions.node, 10) < ${major}) {
  process.stderr.write(
    "tsbuild: needs Node ${major} or newer, and this is " + process.version + ": install a current one (npm install -g node@${major}), or put it first on the PATH\\n",
  );
  process.exit(1);
}
const environment = process.env;
process.getBuiltinModule("node:module").enableCompileCache(environment.NODE_COMPILE_CACHE || cacheFolder());
await import("./main.js");

function cacheFolder() {
  const fs = process.getBuiltinModule("node:fs");
  try {
    fs.accessSync(import.meta.dirname, fs.constants.W_OK);
    return import.meta.dirname + "/.compiled";
  } catch {
    return (environment.XDG_CACHE_HOME || (environment.HOME || "") + "/.cache") + "/tsbuild";
  }
}
`;
  writeFileSync(join(dist, "tsbuild.js"), program);
  chmodSync(join(dist, "tsbuild.js"), 0o755);
}

/** npm links the programs of dependencies, not our own: this makes \`npx tsbuild\` work in a working copy. */
function linkProgram() {
  const link = join(root, "node_modules/.bin/tsbuild");
  // A node_modules that is itself a link belongs to another working copy.
  if (!existsSync(dirname(link)) || lstatSync(join(root, "node_modules")).isSymbolicLink()) return;
  rmSync(link, { force: true });
  symlinkSync("../../dist/tsbuild.js", link);
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
